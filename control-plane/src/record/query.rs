//! Which calls are asked for.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use luthien_proto::message::{Outcome, Severity};
use uuid::Uuid;

use super::text::words;

/// Which calls, and how many. A filter that is `None` matches every call.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The model as the client named it.
    pub model: Option<String>,
    /// The client's dialect.
    pub dialect: Option<String>,
    /// Whose key it was.
    pub client: Option<String>,
    /// The pattern of the route.
    pub route: Option<String>,
    /// The upstream's name.
    pub upstream: Option<String>,
    /// How it ended.
    pub outcome: Option<Ended>,
    /// The session that it belongs to.
    pub session: Option<String>,
    /// At least so grave is the gravest note on it.
    pub severity: Option<Severity>,
    /// A policy that decided more than to pass, or noted something.
    pub policy: Option<String>,
    /// What was said in it.
    pub text: Option<Search>,
    /// Began then or later: microseconds since 1970.
    pub since_us: Option<i64>,
    /// Began earlier.
    pub until_us: Option<i64>,
    /// Behind the page that gave this cursor.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: u32,
}

/// A filter by how calls ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// They have not.
    Not,
    /// So.
    As(Outcome),
}

impl Query {
    /// How many calls a page has where nobody says.
    pub const LIMIT_DEFAULT: u32 = 50;
    /// How many it has at most.
    pub const LIMIT_MAX: u32 = 1000;
}

impl Default for Query {
    fn default() -> Self {
        Self {
            model: None,
            dialect: None,
            client: None,
            route: None,
            upstream: None,
            outcome: None,
            session: None,
            severity: None,
            policy: None,
            text: None,
            since_us: None,
            until_us: None,
            after: None,
            limit: Self::LIMIT_DEFAULT,
        }
    }
}

/// Words that were said in a call, all of them, in whatever part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search(Vec<String>);

impl Search {
    /// Reads words, and phrases between double quotes. `None`: there is no word.
    pub fn parse(text: &str) -> Option<Self> {
        let quoted = text.split('"').zip([false, true].into_iter().cycle());
        let phrases = quoted.flat_map(|(part, is_phrase)| match is_phrase {
            true => vec![words(part).collect::<Vec<_>>().join(" ")],
            false => part.split_whitespace().map(|part| words(part).collect::<Vec<_>>().join(" ")).collect(),
        });
        let phrases: Vec<String> = phrases.filter(|phrase| !phrase.is_empty()).collect();
        (!phrases.is_empty()).then_some(Self(phrases))
    }

    /// Each a word, or words that follow one another.
    pub(super) fn phrases(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// A place in the order of calls. It stays where it is when calls are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the last call of the page began.
    pub started_at_us: i64,
    /// That call.
    pub call_id: Uuid,
}

impl Cursor {
    /// The cursor as clients see it: opaque text, safe in a URL.
    pub fn to_text(self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.started_at_us.to_be_bytes());
        bytes[8..].copy_from_slice(self.call_id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (time, id) = bytes.split_at(8);
        Some(Self { started_at_us: i64::from_be_bytes(time.try_into().ok()?), call_id: Uuid::from_slice(id).ok()? })
    }
}
