//! What a client understood of a response, whatever the dialect.

use serde_json::Value;

/// A response, as its reader understood it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// The upstream's id of the response.
    pub id: String,
    /// The model, as the response names it.
    pub model: String,
    /// The alternative answers, by index; Anthropic has one.
    pub choices: Vec<Choice>,
    /// The dialect's own usage object, merged where it came in pieces.
    pub usage: Option<Value>,
    /// The error that ended the stream.
    pub failure: Option<Failure>,
}

/// One alternative answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// Its content, in order.
    pub blocks: Vec<Block>,
    /// The dialect's own word for why it ended; empty: it did not.
    pub finish: String,
}

/// A piece of content.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Text for the reader.
    Text(String),
    /// Reasoning.
    Thinking {
        /// As far as it is shown.
        text: String,
        /// The provider's proof; empty: none.
        signature: String,
    },
    /// Reasoning that only its provider can read.
    RedactedThinking(String),
    /// The model declines.
    Refusal(String),
    /// A tool is called.
    ToolCall(ToolCall),
    /// Anything else, as it began.
    Other(Value),
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Its id; a legacy function call has none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The text of its arguments.
    pub arguments: String,
    /// How it is called.
    pub form: Form,
}

/// How a tool is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By JSON, and the client runs it.
    Function,
    /// By free text, and the client runs it.
    Custom,
    /// OpenAI's `function_call`.
    Legacy,
    /// The provider runs it.
    Server,
}

/// An error, as a client was told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The dialect's type of it.
    pub type_: String,
    /// What it says.
    pub message: String,
    /// The whole of it.
    pub body: Value,
}

impl Turn {
    /// All text of the first choice.
    pub fn text(&self) -> String {
        self.choices.first().map(Choice::text).unwrap_or_default()
    }

    /// All reasoning of the first choice.
    pub fn thinking(&self) -> String {
        self.choices.first().map(Choice::thinking).unwrap_or_default()
    }

    /// What the first choice says to decline.
    pub fn refusal(&self) -> String {
        self.choices.first().map(Choice::refusal).unwrap_or_default()
    }

    /// The tool calls of the first choice.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        self.choices.first().map(Choice::tool_calls).unwrap_or_default()
    }

    /// The names of the tools that the first choice calls.
    pub fn tool_names(&self) -> Vec<String> {
        self.tool_calls().into_iter().map(|call| call.name).collect()
    }

    /// Why the first choice ended; empty: it did not.
    pub fn finish(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.finish)
    }
}

impl Choice {
    /// All its text.
    pub fn text(&self) -> String {
        self.collect(|block| match block {
            Block::Text(text) => Some(text),
            _ => None,
        })
    }

    /// All its reasoning.
    pub fn thinking(&self) -> String {
        self.collect(|block| match block {
            Block::Thinking { text, .. } => Some(text),
            _ => None,
        })
    }

    /// What it says to decline.
    pub fn refusal(&self) -> String {
        self.collect(|block| match block {
            Block::Refusal(text) => Some(text),
            _ => None,
        })
    }

    /// Its tool calls.
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        let call = |block: &Block| match block {
            Block::ToolCall(call) => Some(call.clone()),
            _ => None,
        };
        self.blocks.iter().filter_map(call).collect()
    }

    fn collect(&self, pick: impl Fn(&Block) -> Option<&String>) -> String {
        self.blocks.iter().filter_map(pick).map(String::as_str).collect()
    }
}
