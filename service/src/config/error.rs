//! What is wrong with a configuration, and where.

use std::{fmt, io};

use thiserror::Error;

use super::node::Mark;

/// A configuration that can't be used: file, line, column, key and reason, as far as they are known. Programs end with
/// exit code 2.
#[derive(Debug, Error)]
pub struct ConfigError {
    file: Option<String>,
    mark: Option<Mark>,
    key: String,
    reason: String,
    #[source]
    source: Option<io::Error>,
}

impl ConfigError {
    /// An error of which no more than the reason is known.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { file: None, mark: None, key: String::new(), reason: reason.into(), source: None }
    }

    /// The key at fault, as a path; empty: none in particular.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The line at fault, from 1.
    pub fn line(&self) -> Option<u64> {
        self.mark.map(|mark| mark.line)
    }

    pub(super) fn unreadable(file: &str, source: io::Error) -> Self {
        Self { source: Some(source), ..Self::new("the file can't be read").in_file(file) }
    }

    pub(super) fn in_file(self, file: &str) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }

    pub(super) fn at(self, mark: Option<Mark>, key: impl Into<String>) -> Self {
        Self { mark, key: key.into(), ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(Mark { line, column }) = self.mark {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}
