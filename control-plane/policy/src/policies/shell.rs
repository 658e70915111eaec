//! What a tool call would run: the commands in its arguments, as a shell would read them.
//!
//! It reads what agents write: lists of commands, quotes, substitutions, here documents, lists of arguments, and commands that
//! run others (`sudo`, `sh -c`, `xargs`, `find -exec`). It knows no variables and no files, so it is no sandbox.

mod lexer;
mod programs;
mod reading;
mod spoken;

use std::sync::Arc;

pub(super) use programs::segments;
pub(super) use reading::{Reading, Unseen};

/// A command as it is run.
#[derive(Clone, Debug)]
pub(super) struct Command {
    words: Arc<[String]>,
    start: usize,
    /// Its name, without its path, in lower case.
    pub program: String,
}

impl Command {
    /// Its arguments, without quotes.
    pub fn args(&self) -> &[String] {
        &self.words[self.start + 1..]
    }

    /// Whether an argument is there.
    pub fn has(&self, arg: &str) -> bool {
        self.args().iter().any(|other| other == arg)
    }

    /// Whether one of the options is given that are written with one letter, alone or together with others.
    pub fn has_letter(&self, letters: &str) -> bool {
        let options = self.args().iter().filter_map(|arg| arg.strip_prefix('-')).filter(|arg| !arg.starts_with('-'));
        options.into_iter().any(|option| option.chars().any(|letter| letters.contains(letter)))
    }

    /// What is no option.
    pub fn operands(&self) -> impl Iterator<Item = &str> {
        self.args().iter().map(String::as_str).filter(|arg| !arg.starts_with('-'))
    }

    /// Its words, with one space between them.
    pub fn line(&self) -> String {
        self.words[self.start..].join(" ")
    }
}
