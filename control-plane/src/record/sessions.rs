//! Sessions at a glance.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use luthien_proto::message::Severity;

use super::{Query, Tokens};

/// Which sessions, and how many.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionQuery {
    /// Those that have such a call; at most [`Query::limit`], whose [`Query::after`] says nothing here.
    pub calls: Query,
    /// Behind the page that gave this cursor.
    pub after: Option<SessionCursor>,
}

/// Some of the sessions that a query matches.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPage {
    /// The sessions, that with the latest call first.
    pub sessions: Vec<Session>,
    /// Where to go on, if there are more.
    pub next: Option<SessionCursor>,
}

/// A session at a glance: all of its calls that are on record, whatever was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The client's marker; without one, the id of the call.
    pub id: String,
    /// When its first call began: microseconds since 1970.
    pub first_at_us: i64,
    /// When its last one did.
    pub last_at_us: i64,
    /// How many there are.
    pub calls: u64,
    /// How many have not ended.
    pub running: u64,
    /// The tokens of all.
    pub tokens: Tokens,
    /// The models, as the client named them.
    pub models: Vec<String>,
    /// Whose keys they were.
    pub clients: Vec<String>,
    /// The gravest note of a policy.
    pub severity: Option<Severity>,
}

/// A place in the order of sessions. One that gets another call moves to the front, and does not come again behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCursor {
    /// When the last call of the last session of the page began.
    pub last_at_us: i64,
    /// That session.
    pub id: String,
}

impl SessionCursor {
    /// The cursor as clients see it: opaque text, safe in a URL.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode([&self.last_at_us.to_be_bytes(), self.id.as_bytes()].concat())
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (time, id) = bytes.split_first_chunk()?;
        Some(Self { last_at_us: i64::from_be_bytes(*time), id: std::str::from_utf8(id).ok()?.to_owned() })
    }
}
