//! Strict readers of what a client gets: each accepts a response only if the whole of it keeps the grammar of its dialect,
//! and gives back what a client would have understood.

pub mod anthropic;
pub mod gemini;
pub mod openai;
pub mod responses;
pub mod sse;

mod json;
mod turn;

pub use json::strict as parse_json;
pub use turn::{Block, Choice, Failure, Form, ToolCall, Turn};

use serde_json::Value;

/// The dialects that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI Chat Completions.
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses.
    Responses,
}

impl Dialect {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Responses];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai-chat",
            Self::Anthropic => "anthropic-messages",
            Self::Responses => "openai-responses",
        }
    }

    /// Reads a streamed response, complete.
    ///
    /// # Errors
    /// The first rule that it breaks, and where.
    pub fn stream(self, body: &[u8]) -> Result<Turn, String> {
        match self {
            Self::OpenAi => openai::stream(body),
            Self::Anthropic => anthropic::stream(body),
            Self::Responses => responses::stream(body),
        }
    }

    /// Reads a response that was not streamed.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn whole(self, body: &[u8]) -> Result<Turn, String> {
        match self {
            Self::OpenAi => openai::whole(body),
            Self::Anthropic => anthropic::whole(body),
            Self::Responses => responses::whole(body),
        }
    }

    /// Reads the body of a response with an error status.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn error(self, body: &[u8]) -> Result<Failure, String> {
        match self {
            Self::OpenAi => openai::error(body),
            Self::Anthropic => anthropic::error(body),
            Self::Responses => responses::error(body),
        }
    }

    /// Writes what an agent sends next: the turn as the assistant's message, and an answer to each of its tool calls.
    ///
    /// # Errors
    /// The rule for which the provider would refuse that request.
    pub fn next_turn(self, turn: &Turn) -> Result<Vec<Value>, String> {
        match self {
            Self::OpenAi => openai::next_turn(turn),
            Self::Anthropic => anthropic::next_turn(turn),
            Self::Responses => responses::next_turn(turn),
        }
    }
}
