//! What only its provider can read, in the hands of a client of another dialect.
//!
//! Clients bring back what a provider signed or encrypted, in the slot that their own dialect has for that. So that
//! nothing foreign is ever shown to a provider, what comes of another dialect is in an envelope that says whose it is.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use luthien_proto::{json, request::Dialect};
use serde_json::{Map, Value};

const PREFIX: &str = "luth1.";

/// What is in an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Whose it is.
    pub origin: Dialect,
    /// The model that it was made by; empty: not said.
    pub model: String,
    /// What it is.
    pub kind: Kind,
    /// The provider's own text.
    pub data: String,
    /// The provider's id of the block; empty: none.
    pub id: String,
}

/// What the text in an envelope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: the reasoning came unsigned.
    Unsigned,
    /// The proof of reasoning that is shown beside it.
    Signature,
    /// The reasoning itself, for the provider's eyes.
    Redacted,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Unsigned, Self::Signature, Self::Redacted];

    fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signature => "signature",
            Self::Redacted => "redacted",
        }
    }
}

/// The text for the slot of the client's dialect.
pub fn wrap(origin: Dialect, model: &str, kind: Kind, data: &str, id: &str) -> String {
    let mut object = Map::new();
    object.insert("o".to_owned(), origin.name().into());
    for (key, text) in [("m", model), ("k", kind.name()), ("d", data), ("id", id)] {
        if !text.is_empty() {
            object.insert(key.to_owned(), text.into());
        }
    }
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(Value::Object(object).to_string()))
}

/// What is in the envelope; `None`: it is none, but the client dialect's own.
pub fn unwrap(text: &str) -> Option<Envelope> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?.trim_end_matches('=')).ok()?;
    let object = json::parse_object(&bytes).ok()?;
    let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Envelope {
        origin: Dialect::from_name(&text("o"))?,
        model: text("m"),
        kind: Kind::ALL.into_iter().find(|kind| kind.name() == text("k"))?,
        data: text("d"),
        id: text("id"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_comes_back() {
        for origin in Dialect::ALL {
            for kind in Kind::ALL {
                let text = wrap(origin, "m", kind, "dé\"", "rs_1");
                assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
                let (data, id) = ("dé\"".to_owned(), "rs_1".to_owned());
                assert_eq!(unwrap(&text), Some(Envelope { origin, model: "m".to_owned(), kind, data, id }));
            }
        }
    }

    #[test]
    fn anything_else_is_no_envelope() {
        let encode = |text: &str| format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(text));
        for text in ["", "EqQB", "luth1.", "luth1.!", "luth1.é", "luth2.e30", "xluth1.e30"] {
            assert_eq!(unwrap(text), None, "{text}");
        }
        for inner in ["{}", "[]", r#"{"o":"x","k":"signature"}"#, r#"{"o":"gemini","k":"x"}"#, r#"{"o":1}"#, "\u{0}"] {
            assert_eq!(unwrap(&encode(inner)), None, "{inner}");
        }
    }
}
