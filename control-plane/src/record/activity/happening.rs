//! What happened in a call: what was decided, and not what was said.

use luthien_proto::message::{Outcome as Ended, Severity};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Place;
use crate::record::summary::{outcome_from_name, severity_from_name};

/// Something that happened in a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// Behind it.
    pub place: Place,
    /// The call.
    pub call: Call,
    /// Which of its streams.
    pub epoch: u32,
    /// The entry of the record that tells all of it; `None`: none does.
    pub seq: Option<u64>,
    /// When: microseconds since 1970, by the proxy's clock.
    pub at_us: i64,
    /// What.
    pub what: What,
}

/// The call, as far as those need it who watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its id.
    pub call_id: Uuid,
    /// The agent run or conversation that it belongs to.
    pub session: String,
    /// The model as the client named it.
    pub model: String,
    /// Whose key it was.
    pub client: Option<String>,
}

/// What happened: the entry of the same type in the record, without what was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// A call began.
    Request(Request),
    /// Another control plane took a call over. What happened until then is told again, with this epoch.
    Resumed(Resumed),
    /// What the policies said to the request.
    Admission(Admission),
    /// A block of the response is settled.
    Block(Block),
    /// The policies decided something else than to pass.
    Verdict(Verdict),
    /// A note of a policy.
    Note(Note),
    /// A policy has asked a model.
    Consult(Consult),
    /// What a proxy reports of a call that no control plane had at its end.
    Report(Box<Report>),
    /// The call ended.
    Outcome(Box<Outcome>),
    /// An entry that this program can't read.
    Unreadable,
}

/// A call began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Request {
    /// The client's dialect.
    pub dialect: String,
    /// The upstream's dialect.
    pub upstream_dialect: String,
    /// The upstream's name.
    pub upstream: String,
    /// The pattern of the route that picked it.
    pub route: String,
    /// The model as the upstream is asked for it.
    pub upstream_model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
}

/// A call was taken over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resumed {
    /// Whether the call had been admitted or rejected.
    pub admitted: bool,
    /// The last chunk that had its verdict; 0: none.
    pub settled: u64,
    /// Whether the policies had ended the response.
    pub ended: bool,
    /// The revision of the policies.
    pub revision: String,
}

/// What the policies said to the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Admission {
    /// `forward`, `reject` or `answer`.
    pub decision: String,
    /// The HTTP status, for `reject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The policy that rejected or answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The revision of the policies.
    pub revision: String,
    /// The policies that the call goes through.
    pub pipeline: Vec<String>,
    /// What the policies noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Note>,
}

/// A block of the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(from = "WrittenBlock")]
pub struct Block {
    /// The alternative answer that it belongs to, from 0.
    pub choice: u32,
    /// Its key: the model's from 0, the policies' own from 2³¹.
    pub block: u32,
    /// `text`, `thinking`, `refusal`, `tool_call`, `opaque`.
    pub kind: String,
    /// The name of the tool, of a tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Its first chunk.
    pub first: u64,
    /// Its last chunk.
    pub last: u64,
    /// What became of it.
    pub status: BlockStatus,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockStatus {
    /// It was let through as it was.
    Unchanged,
    /// Something else stands in its place.
    Changed,
    /// Nothing of it was let through.
    Withheld,
    /// A policy made it.
    Made,
}

/// As it stands in the record.
#[derive(Deserialize)]
struct WrittenBlock {
    choice: u32,
    block: u32,
    kind: String,
    tool: Option<String>,
    first: u64,
    last: u64,
    unchanged: bool,
    original: Option<IgnoredAny>,
    #[serde(rename = "final")]
    settled: Option<IgnoredAny>,
}

/// A decision that is more than to pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// The first chunk that was decided so.
    pub first: u64,
    /// The last one.
    pub through: u64,
    /// How many were.
    pub chunks: u64,
    /// How many of those were replaced by nothing.
    pub dropped: u64,
    /// `replace`, `drop`, `end`, `fail`.
    pub decision: String,
    /// The policies that caused it.
    pub policies: Vec<String>,
    /// What the policies noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Note>,
    /// Whether the upstream was read no further.
    pub cancel_upstream: bool,
}

/// A note of a policy. Its details are in the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// The policy.
    pub policy: String,
    /// The chunk that it is about; 0: the call.
    #[serde(rename = "chunk", alias = "seq")]
    pub seq: u64,
    /// `debug`, `info`, `warning`, `error`.
    pub severity: String,
    /// For people.
    pub summary: String,
}

/// A question of a policy to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Consult {
    /// The policy.
    pub policy: String,
    /// Its id in the call.
    pub id: String,
    /// `answered`, `failed`, `cancelled`, `unanswered`.
    pub state: String,
    /// The model. (That of the call is `model` too: this is another one.)
    #[serde(rename = "asked_model", alias = "model")]
    pub model: String,
}

/// How a call ended, by its proxy's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// What kept a control plane from having it.
    pub cause: String,
    /// As in an outcome.
    pub outcome: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What passed unjudged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
}

/// What was released without a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Opened {
    /// Its first chunk.
    pub first: u64,
    /// Its last chunk.
    pub last: u64,
    /// How many chunks were owed a verdict.
    pub chunks: u64,
}

/// How a call ended. What is left out is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// `delivered`, `cut_by_client`, `ended_by_policy`, `failed`, `unknown`.
    pub outcome: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The HTTP status that the client got; 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The HTTP status that the upstream gave; 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// Chunks that were received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Chunks that were passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u64>,
    /// Chunks that were replaced by something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<u64>,
    /// Chunks that were replaced by nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Chunks that were still held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// Chunks that came when the policies had ended the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_shown: Option<u64>,
    /// Tokens, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<serde_json::Value>,
    /// What the policies noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Note>,
}

impl What {
    /// What an entry tells.
    pub(in crate::record) fn of(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or(Self::Unreadable)
    }

    /// The type of the entry.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Resumed(_) => "resumed",
            Self::Admission(_) => "admission",
            Self::Block(_) => "block",
            Self::Verdict(_) => "verdict",
            Self::Note(_) => "note",
            Self::Consult(_) => "consult",
            Self::Report(_) => "report",
            Self::Outcome(_) => "outcome",
            Self::Unreadable => "unreadable",
        }
    }

    /// The policies that did or noted something.
    pub fn policies(&self) -> Vec<&str> {
        let (acted, notes): (Vec<&String>, _) = match self {
            Self::Admission(admission) => (admission.policy.iter().collect(), &*admission.annotations),
            Self::Verdict(verdict) => (verdict.policies.iter().collect(), &*verdict.annotations),
            Self::Note(note) => (vec![&note.policy], &[] as _),
            Self::Consult(consult) => (vec![&consult.policy], &[] as _),
            Self::Outcome(outcome) => (Vec::new(), &*outcome.annotations),
            Self::Request(_) | Self::Resumed(_) | Self::Block(_) | Self::Report(_) | Self::Unreadable => {
                return Vec::new();
            }
        };
        acted.into_iter().chain(notes.iter().map(|note| &note.policy)).map(String::as_str).collect()
    }

    /// That of its gravest note.
    pub fn severity(&self) -> Option<Severity> {
        let notes = match self {
            Self::Admission(admission) => &*admission.annotations,
            Self::Verdict(verdict) => &*verdict.annotations,
            Self::Note(note) => std::slice::from_ref(note),
            Self::Outcome(outcome) => &*outcome.annotations,
            Self::Request(_)
            | Self::Resumed(_)
            | Self::Block(_)
            | Self::Consult(_)
            | Self::Report(_)
            | Self::Unreadable => return None,
        };
        notes.iter().filter_map(|note| severity_from_name(&note.severity)).max()
    }

    /// How the call ended, if this is its end.
    pub fn outcome(&self) -> Option<Ended> {
        match self {
            Self::Report(report) => outcome_from_name(&report.outcome),
            Self::Outcome(outcome) => outcome_from_name(&outcome.outcome),
            Self::Request(_)
            | Self::Resumed(_)
            | Self::Admission(_)
            | Self::Block(_)
            | Self::Verdict(_)
            | Self::Note(_)
            | Self::Consult(_)
            | Self::Unreadable => None,
        }
    }
}

impl From<WrittenBlock> for Block {
    fn from(written: WrittenBlock) -> Self {
        let WrittenBlock { choice, block, kind, tool, first, last, unchanged, original, settled } = written;
        let status = match (original, settled) {
            _ if unchanged => BlockStatus::Unchanged,
            (None, _) => BlockStatus::Made,
            (Some(_), None) => BlockStatus::Withheld,
            (Some(_), Some(_)) => BlockStatus::Changed,
        };
        Self { choice, block, kind, tool, first, last, status }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_said_is_not_told() {
        let body = json!({
            "type": "block", "choice": 0, "block": 1, "kind": "text", "first": 2, "last": 4, "arrived_us": 7,
            "stopped": true, "unchanged": false, "original": { "text": "secret" }, "final": null,
        });
        let what = What::of(&body.to_string());
        let told = json!({
            "type": "block", "choice": 0, "block": 1, "kind": "text", "first": 2, "last": 4, "status": "withheld",
        });
        assert_eq!(serde_json::to_value(&what).unwrap(), told);
        assert_eq!(What::of("{\"type\":\"step\"}"), What::Unreadable);
    }

    #[test]
    fn notes_count_wherever_they_stand() {
        let note = |severity: &str| json!({ "policy": "p", "seq": 1, "severity": severity, "summary": "s" });
        let verdict = json!({
            "type": "verdict", "first": 1, "through": 1, "chunks": 1, "dropped": 1, "decision": "drop",
            "policies": ["q"], "annotations": [note("info"), note("warning")], "cancel_upstream": false,
        });
        let what = What::of(&verdict.to_string());
        assert_eq!((what.policies(), what.severity()), (vec!["q", "p", "p"], Some(Severity::Warning)));
        let mut alone = note("debug");
        alone["type"] = json!("note");
        let what = What::of(&alone.to_string());
        assert_eq!((what.policies(), what.severity()), (vec!["p"], Some(Severity::Debug)));
    }
}
