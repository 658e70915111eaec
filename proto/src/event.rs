//! The response of the canonical call: chunks, and what happens in each.

use serde_json::Value;

use crate::json::Extras;

/// The key of a block within its call: counted from 0 for the upstream's, from [`BlockKey::POLICY_FIRST`] for those that
/// a policy makes. A key, not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey(pub u32);

impl BlockKey {
    /// The first key of the policies' own blocks.
    pub const POLICY_FIRST: Self = Self(1 << 31);

    /// Whether a policy made the block.
    pub fn is_policys(self) -> bool {
        self >= Self::POLICY_FIRST
    }
}

/// One numbered step of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// 1 for the first chunk of a call, dense.
    pub seq: u64,
    /// When its bytes arrived: microseconds since the call began.
    pub arrived_us: u64,
    /// What happened.
    pub event: Event,
}

/// What happened in a step, and its fields that the model has no place for.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub step: Step,
    /// The unknown fields of it, in the dialect's own JSON.
    pub extras: Extras,
}

impl From<Step> for Event {
    fn from(step: Step) -> Self {
        Self { step, extras: Extras::NONE }
    }
}

/// The steps that a response is made of. Their order is told in `call.proto`.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// First and once.
    Started(Started),
    /// A block began.
    BlockStarted(BlockStarted),
    /// A piece of an open block.
    BlockDelta(BlockDelta),
    /// The block is whole.
    BlockStopped(BlockKey),
    /// Tokens so far.
    Usage(Usage),
    /// A choice is complete: once per choice.
    Finished(Finished),
    /// Fits nowhere else: the dialect's own JSON.
    Opaque(Value),
    /// The response is complete. Last.
    Ended,
    /// The response is not complete and will not be. Last.
    Failed(CallError),
}

impl Step {
    /// Whether nothing may follow.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Ended | Self::Failed(_))
    }
}

/// The model began to answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Started {
    /// The upstream's id of the response.
    pub id: String,
    /// The model as the upstream named it.
    pub model: String,
    /// Seconds since 1970, where the dialect says so.
    pub created: Option<i64>,
}

/// A block began.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockStarted {
    /// Its key.
    pub block: BlockKey,
    /// The alternative answer that it belongs to, from 0.
    pub choice: u32,
    /// What it is.
    pub kind: BlockKind,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockKind {
    /// Text for the reader.
    Text,
    /// Reasoning, as far as it is shown.
    Thinking {
        /// The dialect's field that carried it, where servers differ; else empty.
        field: String,
        /// The upstream's id of it; empty where the dialect has none.
        id: String,
    },
    /// Reasoning that only its provider can read; no deltas.
    RedactedThinking {
        /// The provider's text.
        data: String,
    },
    /// The model declines.
    Refusal,
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// A block of an unknown type, as it began.
    Opaque(Value),
}

/// The kinds of content that a policy can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Text.
    Text,
    /// Thinking, redacted thinking, signatures.
    Thinking,
    /// Refusals.
    Refusal,
    /// Tool calls of every form.
    ToolCall,
    /// Opaque blocks, and opaque deltas of any block.
    Opaque,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Text, Self::Thinking, Self::Refusal, Self::ToolCall, Self::Opaque];

    /// The kind's name, as configurations and the record spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Thinking => "thinking",
            Self::Refusal => "refusal",
            Self::ToolCall => "tool_call",
            Self::Opaque => "opaque",
        }
    }
}

impl BlockKind {
    /// The kind that interest in the block is asked by.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text => Kind::Text,
            Self::Thinking { .. } | Self::RedactedThinking { .. } => Kind::Thinking,
            Self::Refusal => Kind::Refusal,
            Self::ToolCall(_) => Kind::ToolCall,
            Self::Opaque(_) => Kind::Opaque,
        }
    }
}

/// A tool call's head: everything but its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The upstream's id; empty where the dialect has none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The group that the tool belongs to, where the dialect has such; else empty.
    pub namespace: String,
    /// How it is called.
    pub form: ToolForm,
    /// The dialect's own name of the block's type, where the form has several; else empty.
    pub type_: String,
}

/// How a tool is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolForm {
    /// JSON arguments; the client runs it.
    Function,
    /// Free text; the client runs it.
    Custom,
    /// OpenAI Chat's `function_call`; the client runs it.
    Legacy,
    /// The provider runs it.
    Server,
}

impl ToolForm {
    /// Whether the client is to run it, so that the turn finishes with tool use.
    pub fn is_clients(self) -> bool {
        match self {
            Self::Function | Self::Custom | Self::Legacy => true,
            Self::Server => false,
        }
    }

    /// Whether the arguments are JSON.
    pub fn is_json(self) -> bool {
        match self {
            Self::Function | Self::Legacy | Self::Server => true,
            Self::Custom => false,
        }
    }
}

/// A piece of an open block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockDelta {
    /// The block.
    pub block: BlockKey,
    /// The piece.
    pub delta: Delta,
}

/// What a piece holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// Of text, thinking, refusals.
    Text(String),
    /// Of tool calls: the next piece of the model's own text.
    Arguments(String),
    /// Of thinking: the provider's proof, whole.
    Signature(String),
    /// Anything else: the dialect's own JSON.
    Opaque(Value),
}

/// Tokens so far; present fields overwrite. Inputs are disjoint; `thinking` is a part of `output`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Input read anew.
    pub input: Option<u64>,
    /// Input read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Input written to the provider's cache.
    pub cache_write: Option<u64>,
    /// Output.
    pub output: Option<u64>,
    /// Of the output, reasoning.
    pub thinking: Option<u64>,
    /// The dialect's own usage object, whole.
    pub raw: Extras,
}

/// A choice is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The choice, from 0.
    pub choice: u32,
    /// Why.
    pub reason: FinishReason,
    /// The dialect's own word, where it says more than `reason`; else empty.
    pub word: String,
    /// The stop sequence that was met.
    pub stop_sequence: Option<String>,
}

impl Finished {
    /// A finish that says no more than its reason.
    pub fn new(choice: u32, reason: FinishReason) -> Self {
        Self { choice, reason, word: String::new(), stop_sequence: None }
    }
}

/// Why a choice is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model is done.
    EndTurn,
    /// As much as was asked for.
    MaxTokens,
    /// A stop sequence was met.
    StopSequence,
    /// The client is to run tools.
    ToolUse,
    /// The model declined.
    Refusal,
    /// The provider withheld content.
    ContentFilter,
    /// The context is full.
    ContextWindow,
    /// The provider wants the turn to be sent again.
    Pause,
    /// See [`Finished::word`].
    Other,
}

/// An error as it is told to a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallError {
    /// The HTTP status; 0: it came within a stream.
    pub status: u16,
    /// The dialect's own type; empty: the one that fits the status.
    pub type_: String,
    /// For the client.
    pub message: String,
    /// OpenAI's machine-readable code; else empty.
    pub code: String,
    /// OpenAI's parameter at fault; else empty.
    pub param: String,
}
