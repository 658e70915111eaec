//! Sessions as the API shows them.

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use utoipa::ToSchema;

use super::repeated::Said;
use crate::{
    admin::{
        calls::{CallView, TokensView},
        time,
    },
    record::{Conversation, Cursor, Entry, Session, SessionPage, Turn},
};

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionPage)]
pub(in crate::admin) struct SessionPageView {
    sessions: Vec<SessionView>,
    /// The `cursor` of the next page; `null`: this is the last.
    next: Option<String>,
}

/// A session at a glance: all of its calls that are on record, whatever was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct SessionView {
    /// The client's marker; without one, the id of the call.
    id: String,
    /// When its first call began.
    first_at: String,
    /// When its last call began.
    last_at: String,
    /// How many there are.
    calls: u64,
    /// How many have not ended.
    running: u64,
    /// The tokens of all.
    tokens: TokensView,
    /// As the client named them.
    models: Vec<String>,
    /// Whose keys they were.
    clients: Vec<String>,
    /// Of the gravest note of a policy.
    severity: Option<&'static str>,
}

/// Some calls of a session, in the order in which they began.
#[derive(Serialize, ToSchema)]
#[schema(as = Conversation)]
pub(in crate::admin) struct ConversationView {
    session: String,
    turns: Vec<TurnView>,
    /// The `cursor` of the next page; `null`: this is the last.
    next: Option<String>,
}

/// A call of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = Turn)]
struct TurnView {
    call: CallView,
    /// Which of its epochs is told of.
    epoch: u32,
    /// What the client said that no call of the session before it had; without what only repeats the answer before.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Box<RawValue>>,
    /// The response, block by block.
    response: Vec<BlockView>,
    /// What was decided and noted: entries of the types `admission`, `verdict`, `note`, `consult`, `report`, `outcome`,
    /// without requests.
    beside: Vec<BesideView>,
}

/// A block of a response.
#[derive(Serialize, ToSchema)]
#[schema(as = TurnBlock)]
struct BlockView {
    seq: u64,
    choice: u64,
    block: u64,
    kind: String,
    /// Of a tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    status: BlockStatus,
    /// As the client got it; `null`: it did not.
    #[serde(rename = "final")]
    settled: Value,
    /// As the model gave it, where that is something else; `null`: a policy made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<Value>,
}

/// What became of a block.
#[derive(Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TurnBlockStatus)]
enum BlockStatus {
    Unchanged,
    Changed,
    Withheld,
    Made,
}

/// An entry that tells what was decided.
#[derive(Serialize, ToSchema)]
#[schema(as = TurnEntry)]
struct BesideView {
    seq: u64,
    at_us: u64,
    /// An object with its `type`.
    #[schema(value_type = Object)]
    body: Value,
}

impl From<SessionPage> for SessionPageView {
    fn from(SessionPage { sessions, next }: SessionPage) -> Self {
        Self {
            sessions: sessions.into_iter().map(SessionView::from).collect(),
            next: next.map(|cursor| cursor.to_text()),
        }
    }
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            first_at: time(session.first_at_us),
            last_at: time(session.last_at_us),
            calls: session.calls,
            running: session.running,
            tokens: session.tokens.into(),
            models: session.models,
            clients: session.clients,
            severity: session.severity.map(|severity| severity.name()),
        }
    }
}

impl ConversationView {
    pub(super) fn new(session: String, Conversation { turns, next }: Conversation) -> Self {
        let mut answered = Said::default();
        let turns = turns.into_iter().map(|turn| {
            let view = TurnView::new(turn, &answered);
            answered = view.said();
            view
        });
        Self { session, turns: turns.collect(), next: next.map(Cursor::to_text) }
    }
}

impl TurnView {
    fn new(Turn { call, epoch, messages, entries }: Turn, answered: &Said) -> Self {
        let is_news =
            |message: &String| !serde_json::from_str(message).is_ok_and(|message| answered.is_repeated_by(&message));
        let messages = messages.into_iter().filter(is_news);
        let messages = messages.filter_map(|message| RawValue::from_string(message).ok()).collect();
        let (mut response, mut beside) = (Vec::new(), Vec::new());
        for Entry { seq, at_us, kind, body, .. } in entries {
            let body = || serde_json::from_str::<Value>(&body).unwrap_or_default();
            match &*kind {
                "block" => response.push(BlockView::new(seq, body())),
                "admission" | "verdict" | "note" | "consult" | "report" | "outcome" => {
                    beside.push(BesideView { seq, at_us, body: without_requests(body()) });
                }
                _ => {}
            }
        }
        Self { call: call.into(), epoch, messages, response, beside }
    }

    /// What the client was answered.
    fn said(&self) -> Said {
        let first = self.response.iter().filter(|block| block.choice == 0);
        Said::in_response(first.map(|block| (block.kind.as_str(), &block.settled)))
    }
}

impl BlockView {
    fn new(seq: u64, mut body: Value) -> Self {
        let (original, settled) = (body["original"].take(), body["final"].take());
        let status = match (&original, &settled) {
            _ if body["unchanged"] == true => BlockStatus::Unchanged,
            (Value::Null, _) => BlockStatus::Made,
            (_, Value::Null) => BlockStatus::Withheld,
            _ => BlockStatus::Changed,
        };
        let number = |name: &str| body[name].as_u64().unwrap_or_default();
        let (settled, original) = match status {
            BlockStatus::Unchanged => (original, None),
            BlockStatus::Changed | BlockStatus::Withheld | BlockStatus::Made => (settled, Some(original)),
        };
        Self {
            seq,
            choice: number("choice"),
            block: number("block"),
            kind: body["kind"].as_str().unwrap_or_default().to_owned(),
            tool: body["tool"].as_str().map(str::to_owned),
            status,
            settled,
            original,
        }
    }
}

/// A request that was edited, or that a policy made, has the conversation in it once more.
fn without_requests(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| !["sent", "request"].contains(&name.as_str()));
    }
    body
}
