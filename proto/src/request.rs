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

    /// Whether it knows alternative answers.
    pub fn has_choices(self) -> bool {
        match self {
            Self::OpenAiChat | Self::Gemini => true,
            Self::AnthropicMessages | Self::OpenAiResponses => false,
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
    /// Which of them it may or must call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// How to pick tokens.
    pub sampling: Sampling,
    /// How much to reason before the answer, and whether to show it.
    pub reasoning: Reasoning,
    /// What the answer is to look like.
    pub output: Option<OutputFormat>,
    /// What the provider is asked for beside an answer.
    pub service: ServiceOptions,
    /// Every other top-level field.
    pub extras: Extras,
}

/// Which tools the model may or must call.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// Any or none.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
    /// Only these: at least one of them if `required`.
    Allowed {
        /// Whether one has to be called.
        required: bool,
        /// The tools.
        names: Vec<String>,
    },
    /// Any other, in the dialect's own JSON.
    Opaque(Value),
}

/// How much the model is to reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// Whether, and how it is limited.
    pub mode: ReasoningMode,
    /// How hard: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, or a provider's own word; empty: not said.
    pub effort: String,
    /// Whether it is to be shown; `None`: not said.
    pub shown: Option<bool>,
}

/// Whether a model is to reason, and how that is limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasoningMode {
    /// Not said.
    #[default]
    Unset,
    /// Not at all.
    Off,
    /// As much as the model sees fit.
    Adaptive,
    /// Up to so many tokens.
    Budget(u64),
}

/// What an answer is to look like.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputFormat {
    /// Text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of that schema.
    JsonSchema {
        /// The schema's name; empty: none.
        name: String,
        /// What it is for; empty: not said.
        description: String,
        /// The schema, untouched.
        schema: Value,
        /// Whether the provider is to enforce it; `None`: not said.
        strict: Option<bool>,
    },
}

/// What the provider is asked for beside an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceOptions {
    /// Who the client's own user is; empty: not said.
    pub end_user: String,
    /// What prompts with the same beginning share; empty: not said.
    pub cache_key: String,
    /// How fast, for which price: the dialect's own word; empty: not said.
    pub tier: String,
    /// How long answers should be: the dialect's own word; empty: not said.
    pub verbosity: String,
    /// Whether the provider is to keep the answer.
    pub store: Option<bool>,
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
    /// What makes an answer repeatable.
    pub seed: Option<i64>,
    /// Against tokens by how often they were said.
    pub frequency_penalty: Option<f64>,
    /// Against tokens that were said at all.
    pub presence_penalty: Option<f64>,
    /// Log probabilities are wanted, of that many alternatives for each token.
    pub logprobs: Option<u32>,
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
        /// The provider's id of it; empty where the dialect has none.
        id: String,
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
    /// A picture.
    Image {
        /// Where it is.
        source: Source,
        /// How closely to look: the dialect's own word; empty: not said.
        detail: String,
    },
    /// A document.
    Document {
        /// Where it is.
        source: Source,
        /// Its title or file name; empty: none.
        title: String,
    },
    /// Sound.
    Audio {
        /// Base64.
        data: String,
        /// `wav`, `mp3` …
        format: String,
    },
    /// Any other block, in the dialect's own JSON.
    Opaque(Value),
}

/// Where the content of a picture or a document is.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Here.
    Base64 {
        /// `image/png`, `application/pdf` …
        media_type: String,
        /// Base64.
        data: String,
    },
    /// At a URL that the provider is to fetch.
    Url(String),
    /// In a file that the provider keeps.
    FileId(String),
    /// Here, as text.
    Text(String),
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name; empty where the dialect gives none.
    pub name: String,
    /// The group that it belongs to, by which it is called together with its name; empty: none.
    pub namespace: String,
    /// What it is for.
    pub description: String,
    /// How it is called.
    pub kind: ToolKind,
    /// Its unknown fields.
    pub extras: Extras,
}

/// How a tool is called.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolKind {
    /// By JSON arguments; the client runs it.
    Function {
        /// The JSON Schema of the arguments, untouched; null: none was given.
        schema: Value,
        /// Whether the provider is to enforce it; `None`: not said.
        strict: Option<bool>,
    },
    /// By free text; the client runs it.
    Custom {
        /// What the text looks like, in the dialect's own JSON; null: not said.
        format: Value,
    },
    /// The provider's own, or one whose schema the model knows: the tool as the dialect wrote it, whole.
    Hosted(Value),
}

/// The top-level fields, of whatever dialect, that the request model names as a whole: written over by a field of the same
/// name, a request would be another one than policies and driver have seen.
const NAMED: [&str; 34] = [
    "frequency_penalty",
    "functions",
    "generationConfig",
    "input",
    "instructions",
    "logprobs",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "contents",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "stop_sequences",
    "store",
    "stream",
    "system",
    "systemInstruction",
    "temperature",
    "tool_choice",
    "toolConfig",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
];

/// Whether the request model names a top-level field as a whole: no [`Edit`](crate::message::Edit) may set it past the model.
pub fn is_named(field: &str) -> bool {
    NAMED.contains(&field)
}
