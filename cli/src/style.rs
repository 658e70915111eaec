//! Colour, where a person reads.

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal},
};

/// How text looks on stdout: plain, unless it is a terminal.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colour: bool,
}

/// A text with its look.
pub struct Styled<T> {
    text: T,
    code: Option<&'static str>,
}

impl Style {
    /// By what stdout is, and `NO_COLOR` (<https://no-color.org>).
    pub fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && io::stdout().is_terminal() }
    }

    /// A heading.
    pub fn heading<T: Display>(self, text: T) -> Styled<T> {
        self.styled(text, "1")
    }

    /// What stands behind the rest.
    pub fn quiet<T: Display>(self, text: T) -> Styled<T> {
        self.styled(text, "2")
    }

    /// What was withheld.
    pub fn withheld<T: Display>(self, text: T) -> Styled<T> {
        self.styled(text, "31")
    }

    /// What a policy put in.
    pub fn made<T: Display>(self, text: T) -> Styled<T> {
        self.styled(text, "32")
    }

    fn styled<T: Display>(self, text: T, code: &'static str) -> Styled<T> {
        Styled { text, code: self.colour.then_some(code) }
    }
}

impl<T: Display> Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "\x1b[{code}m{}\x1b[0m", self.text),
            None => self.text.fmt(f),
        }
    }
}
