//! The request of the canonical call.

use serde_json::Value;

use crate::{event::ToolCall, json::Extras};

/// A wire format of a model provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// Anthropic Messages.
    AnthropicMessages,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Google Gemini.
    Gemini,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 4] = [Self::OpenAiChat, Self::AnthropicMessages, Self::OpenAiResponses, Self::Gemini];

    /// The name, as configurations and the record spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai-chat",
            Self::AnthropicMessages => "anthropic-messages",
            Self::OpenAiResponses => "openai-responses",
            Self::Gemini => "gemini",
        }
    }

    /// The dialect of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// What the client asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The model as the client named it.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Alternative answers asked for; at least 1.
    pub choices: u32,
    /// Instructions that stand before the conversation.
    pub system: Vec<Content>,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    /// The dialect's own JSON for the choice of tools.
    pub tool_choice: Option<Value>,
    /// How to pick tokens.
    pub sampling: Sampling,
    /// Every other top-level field.
    pub extras: Extras,
}

/// How the model is to pick its tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// The most tokens to make.
    pub max_output_tokens: Option<u64>,
    /// Randomness.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Sampling from the likeliest k.
    pub top_k: Option<u64>,
    /// Sequences to stop at.
    pub stop: Vec<String>,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The dialect's own word for who speaks.
    pub role: String,
    /// What is said.
    pub content: Vec<Content>,
    /// Unknown fields.
    pub extras: Extras,
}

/// One block of a message, and its unknown fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The block.
    pub block: ContentBlock,
    /// Its unknown fields.
    pub extras: Extras,
}

impl From<ContentBlock> for Content {
    fn from(block: ContentBlock) -> Self {
        Self { block, extras: Extras::NONE }
    }
}

/// What a block of a message is.
#[derive(Clone, Debug, PartialEq)]
pub enum ContentBlock {
    /// Text.
    Text(String),
    /// Reasoning of an earlier answer.
    Thinking {
        /// As it was shown.
        text: String,
        /// The provider's proof; empty: unsigned.
        signature: String,
    },
    /// Reasoning that only its provider can read.
    RedactedThinking(String),
    /// The model declined.
    Refusal(String),
    /// The model called a tool.
    ToolCall {
        /// The call.
        call: ToolCall,
        /// As the model wrote them.
        arguments: String,
    },
    /// What a tool answered.
    ToolResult {
        /// The id of the tool call.
        id: String,
        /// Whether the tool failed.
        is_error: Option<bool>,
        /// The answer.
        content: Vec<Content>,
    },
    /// Any other block, in the dialect's own JSON.
    Opaque(Value),
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name; empty where the dialect gives none.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The tool as the dialect wrote it, whole.
    pub raw: Value,
}
