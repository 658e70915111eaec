//! `reasoning_details`: what of its reasoning a provider wants to see again, as it was.

use luthien_proto::json::Extras;
use serde_json::Value;

use super::{encode::merge_from, place};
use crate::dialect::fields::{Object, put_back, take_string};

/// Whose form a signature has, where nobody says.
pub(super) const FORMAT: &str = "anthropic";

/// An entry, and its unknown fields.
#[derive(Clone, Debug)]
pub(super) enum Detail {
    Text { text: String, signature: String, id: String, rest: Object },
    Encrypted { data: String, rest: Object },
}

/// The entry of a signature, in a stream: the text of what it signs went before it.
pub(super) fn signature(signature: &str, index: u64, extras: &Extras) -> Value {
    let mut entry = Object::new();
    entry.insert("type".to_owned(), "reasoning.text".into());
    entry.insert("signature".to_owned(), signature.into());
    merge_from(&mut entry, extras, place::REASONING_DETAIL);
    with_defaults(entry, index)
}

/// What is left of an entry, for the step that it became.
pub(super) fn rest(rest: Object) -> Extras {
    let mut extras = Object::new();
    put_back(&mut extras, place::REASONING_DETAIL, rest);
    extras.into()
}

fn with_defaults(mut entry: Object, index: u64) -> Value {
    entry.entry("index").or_insert_with(|| index.into());
    entry.entry("format").or_insert_with(|| FORMAT.into());
    entry.into()
}

/// The entry of reasoning that only its provider can read.
pub(super) fn encrypted(data: &str, extras: &Extras) -> Value {
    let mut entry = Object::new();
    entry.insert("type".to_owned(), "reasoning.encrypted".into());
    entry.insert("data".to_owned(), data.into());
    merge_from(&mut entry, extras, place::REASONING_DETAIL);
    entry.into()
}

/// The entries of a whole message: what is signed, and all else of the reasoning between it.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: Vec<Object>,
    has_proof: bool,
}

impl Entries {
    /// A block of readable reasoning begins; gives its place.
    pub(super) fn begin(&mut self) -> usize {
        self.entries.push(Object::from_iter([
            ("type".to_owned(), Value::from("reasoning.text")),
            ("text".to_owned(), Value::from("")),
        ]));
        self.entries.len() - 1
    }

    pub(super) fn push_text(&mut self, at: usize, more: &str) {
        if let Some(Value::String(text)) = self.entries.get_mut(at).and_then(|entry| entry.get_mut("text")) {
            text.push_str(more);
        }
    }

    pub(super) fn sign(&mut self, at: usize, signature: &str, extras: &Extras) {
        self.has_proof = true;
        if let Some(entry) = self.entries.get_mut(at) {
            entry.insert("signature".to_owned(), signature.into());
            merge_from(entry, extras, place::REASONING_DETAIL);
        }
    }

    pub(super) fn push_encrypted(&mut self, data: &str, extras: &Extras) {
        self.has_proof = true;
        if let Value::Object(entry) = encrypted(data, extras) {
            self.entries.push(entry);
        }
    }

    /// Nothing, where the text alone says everything.
    pub(super) fn finish(self) -> Vec<Value> {
        if !self.has_proof {
            return Vec::new();
        }
        let says_something = |entry: &Object| entry.get("text").is_none_or(|text| text != "") || entry.len() > 2;
        let entries = self.entries.into_iter().filter(says_something);
        let finish = |(at, entry): (u64, Object)| {
            if entry.contains_key("signature") { with_defaults(entry, at) } else { entry.into() }
        };
        (0..).zip(entries).map(finish).collect()
    }
}

/// The entries, if all of them are known.
pub(super) fn read(entries: &[Value]) -> Option<Vec<Detail>> {
    entries.iter().map(|entry| Detail::read(entry.as_object()?.clone())).collect()
}

impl Detail {
    fn read(mut entry: Object) -> Option<Self> {
        match take_string(&mut entry, "type")?.as_str() {
            "reasoning.text" => {
                let mut text = |key| take_string(&mut entry, key).unwrap_or_default();
                let (text, signature, id) = (text("text"), text("signature"), text("id"));
                let is_known = ["text", "signature", "id"].iter().all(|key| !entry.contains_key(*key));
                is_known.then_some(Self::Text { text, signature, id, rest: entry })
            }
            "reasoning.encrypted" => take_string(&mut entry, "data").map(|data| Self::Encrypted { data, rest: entry }),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Encrypted { .. } => None,
        }
    }

    pub(super) fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Encrypted { .. } => None,
        }
    }

    /// Whether it is what a provider wants to see again, and not only what everybody can read.
    pub(super) fn is_proof(&self) -> bool {
        match self {
            Self::Text { signature, .. } => !signature.is_empty(),
            Self::Encrypted { .. } => true,
        }
    }

    /// Whether all that it says has a place among the steps of a response: one that is no proof is its text.
    pub(super) fn has_place(&self) -> bool {
        let is_number = |(key, value): (&String, &Value)| key == "index" && value.is_u64();
        match self {
            Self::Text { signature, id, rest, .. } if signature.is_empty() => {
                id.is_empty() && rest.iter().all(is_number)
            }
            Self::Text { .. } | Self::Encrypted { .. } => true,
        }
    }

    /// Whether the other is the next piece of this one.
    pub(super) fn goes_on_with(&self, other: &Self) -> bool {
        let (Self::Text { signature, id, rest, .. }, Self::Text { id: next_id, rest: next, .. }) = (self, other) else {
            return false;
        };
        let same = |key: &str| rest.get(key) == next.get(key) || !rest.contains_key(key) || !next.contains_key(key);
        signature.is_empty()
            && (id == next_id || next_id.is_empty())
            && rest.contains_key("index")
            && rest.get("index") == next.get("index")
            && rest.keys().chain(next.keys()).all(|key| same(key))
    }

    pub(super) fn append(&mut self, other: Self) {
        if let (Self::Text { text, signature, rest, .. }, Self::Text { text: more, signature: proof, rest: next, .. }) =
            (self, other)
        {
            text.push_str(&more);
            *signature = proof;
            for (key, value) in next {
                rest.entry(key).or_insert(value);
            }
        }
    }
}
