//! Strings that must not be shown.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};
use subtle::ConstantTimeEq;

/// A key, token or password. It can't be printed or serialized, and is compared in constant time (the length aside).
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret, if it is one that can be sent in a header: not empty, and of visible ASCII characters and spaces.
    pub fn new(text: impl Into<Box<str>>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())).then_some(Self(text))
    }

    /// The content. Whoever asks for it answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether somebody presented this secret; in constant time (the length aside).
    pub fn matches(&self, presented: impl AsRef<[u8]>) -> bool {
        self.0.as_bytes().ct_eq(presented.as_ref()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SecretVisitor)
    }
}

struct SecretVisitor;

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key or token: a string of visible ASCII characters, not empty")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        let shown = if text.is_empty() { "an empty string" } else { "other characters in it" };
        Secret::new(text).ok_or_else(|| E::invalid_value(Unexpected::Other(shown), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("sk-1234").unwrap();
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret Some(Secret)");
    }

    #[test]
    fn a_secret_matches_itself_alone() {
        let secret = Secret::new("sk-1234").unwrap();
        assert!(secret.matches("sk-1234"));
        assert!(["", "sk-123", "sk-1235", "sk-12345"].iter().all(|other| !secret.matches(other)));
    }

    #[test]
    fn what_would_break_a_header_is_no_secret() {
        assert!(["", "a\nb", "a\r", "a\0", "schlüssel"].iter().all(|text| Secret::new(*text).is_none()));
        assert!(Secret::new("two words").is_some());
    }
}
