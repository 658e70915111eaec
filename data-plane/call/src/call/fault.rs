//! What ends a call with an error of our own, and what the client is told of it.

use luthien_proto::{event::CallError, proxy::turn};

use crate::gate;

/// Why a call ends closed.
#[derive(Debug)]
pub enum Fault {
    /// No policy service admitted the call.
    NotAdmitted(String),
    /// The policy service went away, or fell silent.
    Lost(String),
    /// The policy service broke the protocol.
    Protocol(String),
    /// A chunk was held longer than it may be.
    HoldTime,
    /// The window is full, and nothing that is under way will empty it.
    HoldLimit,
}

impl Fault {
    /// What went wrong, for the record and the log; never content.
    pub fn reason(&self) -> String {
        match self {
            Self::NotAdmitted(why) => format!("no policy service admitted the call: {why}"),
            Self::Lost(why) => format!("the policy service was lost: {why}"),
            Self::Protocol(why) => format!("the policy service broke the protocol: {why}"),
            Self::HoldTime => "a chunk was held for longer than the hold time".to_owned(),
            Self::HoldLimit => {
                "more is held than the limit allows, and nothing is left that could settle it".to_owned()
            }
        }
    }

    /// What the client is told.
    pub fn error(&self) -> CallError {
        let (status, message) = match self {
            Self::NotAdmitted(_) => (503, "No policy service is available to judge this call; try again later"),
            Self::Lost(_) => (503, "The policy service was lost during this call; what it had not judged is withheld"),
            Self::Protocol(_) => (500, "The policy service gave a verdict that can't be applied"),
            Self::HoldTime => (504, "The policy service did not decide in time"),
            Self::HoldLimit => (502, "The response is larger than what may be held for judgement"),
        };
        CallError { status, message: message.to_owned(), ..CallError::default() }
    }

    /// `retry-after`, in seconds, where trying again may help.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NotAdmitted(_) | Self::Lost(_) => Some(5),
            Self::Protocol(_) | Self::HoldTime | Self::HoldLimit => None,
        }
    }
}

impl From<gate::Error> for Fault {
    fn from(error: gate::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<turn::Error> for Fault {
    fn from(error: turn::Error) -> Self {
        Self::Protocol(format!("its events can't be written: {error}"))
    }
}
