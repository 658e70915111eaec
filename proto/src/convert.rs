//! The one conversion between the wire and the checked types.

use thiserror::Error;

/// A message that can't be read: which field, and what is wrong with it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{field}: {reason}")]
pub struct Malformed {
    /// The path of the field, as the `.proto` names it.
    pub field: String,
    /// What is wrong with it; never content.
    pub reason: String,
}
