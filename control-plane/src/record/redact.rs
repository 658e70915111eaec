//! What must not be on record: texts that match a configured pattern are masked before anything is written.

mod builtin;
mod json;
mod parts;
mod tail;

use std::{cmp::Reverse, fmt, ops::Range, sync::Arc};

use regex::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::DFA;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::Summary;
pub use builtin::BUILTIN;
use parts::Parts;

/// A pattern takes no more memory than this.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// The same of the states that a search for it makes.
const CACHE_BYTES_MAX: usize = 2 << 20;

/// What is masked: patterns, each with a name that stands where it matched, `[redacted:name]`. Cheap to clone.
#[derive(Clone, Default)]
pub struct Redaction(Arc<[Pattern]>);

struct Pattern {
    name: String,
    regex: Regex,
    /// Says whether a text may still become a match.
    growing: DFA,
}

/// A pattern can't be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unusable {
    /// Its name is not one.
    #[error("a name is made of a-z, A-Z, 0-9, `_` and `-`, 64 at most")]
    Name,
    /// It has no pattern, and is none that is built in.
    #[error("there is no pattern, and none of that name is built in: there are {}", BUILTIN.map(|(name, _)| name).join(", "))]
    NotBuiltIn,
    /// It is no pattern.
    #[error("{0}")]
    Pattern(String),
    /// It matches a text without anything in it, and so everywhere.
    #[error("it matches the empty text")]
    Empty,
}

impl Unusable {
    /// Whether it is the name that is wrong.
    pub fn is_of_name(&self) -> bool {
        match self {
            Self::Name | Self::NotBuiltIn => true,
            Self::Pattern(_) | Self::Empty => false,
        }
    }
}

impl Redaction {
    /// Of names and their patterns; where there is none, the name is one of [`BUILTIN`].
    ///
    /// # Errors
    /// Which of them can't be used, and why.
    pub fn new<'a>(patterns: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Result<Self, (usize, Unusable)> {
        let read = |(at, (name, pattern))| Pattern::new(name, pattern).map_err(|why| (at, why));
        patterns.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>().map(|all| Self(all.into()))
    }

    /// Whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text without what matches; `None`: nothing does.
    fn mask(&self, text: &str) -> Option<String> {
        self.mask_within(text, 0..text.len())
    }

    /// The same of a part of a text, in which no match begins that ends behind it.
    fn mask_within(&self, text: &str, part: Range<usize>) -> Option<String> {
        let mut found = self.matches(text, part.start);
        found.retain(|(span, _)| span.end <= part.end);
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|(span, _)| (span.start, Reverse(span.end)));
        let (mut masked, mut at) = (String::with_capacity(part.len()), part.start);
        for (span, name) in found {
            if span.start >= at {
                masked.push_str(&text[at..span.start]);
                masked.push_str(&placeholder(name));
            }
            at = at.max(span.end);
        }
        masked.push_str(&text[at..part.end]);
        Some(masked)
    }

    /// What matches from there on, whatever it is called.
    fn matches(&self, text: &str, from: usize) -> Vec<(Range<usize>, &str)> {
        let mut found = Vec::new();
        for Pattern { name, regex, .. } in &*self.0 {
            let mut at = from;
            while let Some(span) = regex.find_at(text, at).map(|found| found.range()) {
                at = if span.is_empty() { text.ceil_char_boundary(span.end + 1) } else { span.end };
                found.extend((!span.is_empty()).then_some((span, name.as_str())));
                if at >= text.len() {
                    break;
                }
            }
        }
        found
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|pattern| &pattern.name)).finish()
    }
}

impl Pattern {
    fn new(name: &str, pattern: Option<&str>) -> Result<Self, Unusable> {
        let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_ours) {
            return Err(Unusable::Name);
        }
        let built_in = || BUILTIN.iter().find(|(built_in, _)| *built_in == name).map(|(_, pattern)| *pattern);
        let pattern = pattern.or_else(built_in).ok_or(Unusable::NotBuiltIn)?;
        let regex = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        let regex = regex.map_err(|error| Unusable::Pattern(error.to_string()))?;
        if regex.is_match("") {
            return Err(Unusable::Empty);
        }
        let config =
            DFA::config().unicode_word_boundary(true).cache_capacity(CACHE_BYTES_MAX).skip_cache_capacity_check(true);
        let growing = DFA::builder().configure(config).build(pattern);
        let growing = growing.map_err(|error| Unusable::Pattern(error.to_string()))?;
        Ok(Self { name: name.to_owned(), regex, growing })
    }
}

fn placeholder(name: &str) -> String {
    format!("[redacted:{name}]")
}

/// Masks what is written.
pub(super) struct Redactor {
    redaction: Redaction,
    parts: Parts,
}

impl Redactor {
    /// `None`: there is nothing to mask.
    pub(super) fn new(redaction: &Redaction) -> Option<Self> {
        let new = || Self { redaction: redaction.clone(), parts: Parts::new(redaction) };
        (!redaction.is_empty()).then(new)
    }

    /// Masks an entry of a call's stream.
    pub(super) fn entry(&mut self, call_id: Uuid, epoch: u32, body: &mut Value) {
        let kind = body["type"].as_str().unwrap_or_default();
        match kind {
            "part" => self.parts.mask((call_id, epoch), body),
            "block" => {
                self.parts.over((call_id, epoch), &body["block"]);
                let is_masked = json::mask(&self.redaction, &mut body["original"]);
                // The lengths in it are those of another text.
                if let (true, Value::Object(block)) = (is_masked, &mut *body) {
                    block.remove("deltas");
                }
            }
            _ => {}
        }
        json::mask_entry(&self.redaction, body);
    }

    /// A stream has ended.
    pub(super) fn closed(&mut self, call_id: Uuid, epoch: u32) {
        self.parts.closed((call_id, epoch));
    }

    /// Masks what is known of a call at a glance.
    pub(super) fn summary(&self, summary: &mut Summary) {
        let mask = |text: &mut String| {
            if let Some(masked) = self.redaction.mask(text) {
                *text = masked;
            }
        };
        let Summary {
            session, client, upstream, route, model, upstream_model, dropped, omitted, reason, answered, ..
        } = summary;
        [session, client, reason, &mut answered.response_id, &mut answered.conversation]
            .into_iter()
            .flatten()
            .for_each(mask);
        [upstream, route, model, upstream_model].into_iter().for_each(mask);
        dropped.iter_mut().chain(omitted).for_each(mask);
        answered.withheld.iter_mut().for_each(|call| {
            mask(&mut call.id);
            mask(&mut call.kind);
        });
    }
}
