//! The record of a call: what a session says of it, item by item.
//!
//! Every body is a JSON object with its `type`, written to be read by people: `null` and empty fields are left out,
//! except where their absence would say something else.

mod consult;
mod content;
mod deltas;
mod report;
mod request;
mod resumed;
mod step;

use std::collections::BTreeMap;

use luthien_proto::message::{Annotation, CallStarted, FailureMode, Interest, Level};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use serde_json::{Map, Value};

pub use consult::{ConsultBlockEntry, ConsultEntry};
pub use content::ContentEntry;
pub(crate) use content::form_from_name;
pub use deltas::{DeltaEntry, Deltas, Piece};
pub use report::{OpenedEntry, ReportEntry, WaitedEntry};
pub(crate) use request::to_json as request_json;
pub use resumed::{InterestEntry, ResumedEntry};
pub(crate) use step::{merge_usage, reason_from_name, step_json, step_name, usage_json};

/// One durable item of the record of a call, in the order in which it was made.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Microseconds since the call began, by the proxy's clock.
    pub at_us: u64,
    /// What is on record.
    pub body: EntryBody,
}

/// What is on record.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EntryBody {
    /// First and once, where the call was taken over: the state that was given.
    Resumed(ResumedEntry),
    /// First of a call that was not taken over, and once: what the client asked for.
    Request(RequestEntry),
    /// Behind it, and once: what the policies said to the request.
    Admission(AdmissionEntry),
    /// A block of the response, once it has stopped or the response is over. One that was only recorded and outgrew a
    /// message of the protocol is on record in parts, of which the last one has stopped.
    Block(Box<BlockEntry>),
    /// Under strict audit: what has come and was settled of a block that is not over, since the last part of it. Put
    /// together, the parts of a block are what was decided of it so far; once it is on record whole, they say nothing new.
    Part(Box<PartEntry>),
    /// A step of the response that belongs to no block.
    Step(StepEntry),
    /// What the policies decided, where it is more than to pass.
    Verdict(VerdictEntry),
    /// A note of a policy that belongs to no other entry.
    Note(NoteEntry),
    /// What a policy asked a model, once that is answered, cancelled or will not be answered any more.
    Consult(Box<ConsultEntry>),
    /// The policies want less from here on.
    Interest(InterestEntry),
    /// Last but one: what the policies saw.
    Coverage(CoverageEntry),
    /// Last and once: how the call ended.
    Outcome(OutcomeEntry),
    /// Behind the request, in an epoch of its own: how a call ended that no control plane had at its end.
    Report(Box<ReportEntry>),
}

/// What the client asked for.
#[derive(Clone, Debug, Serialize)]
pub struct RequestEntry {
    /// The client's dialect.
    pub dialect: &'static str,
    /// The upstream's dialect.
    pub upstream_dialect: &'static str,
    /// The upstream's name in the proxy's configuration.
    pub upstream: String,
    /// The pattern of the route that picked it.
    pub route: String,
    /// The model as the client named it.
    pub model: String,
    /// The model as the upstream is asked for it.
    pub upstream_model: String,
    /// Whose key it was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// The agent's own marker of its session.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Fields that the upstream's dialect has no counterpart for: the client was told of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// The same, of fields without which nothing is missed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
    /// The request as it was received, in the canonical form: system, messages, tools, sampling, extras.
    pub request: Value,
}

/// What the policies said to the request.
#[derive(Clone, Debug, Serialize)]
pub struct AdmissionEntry {
    /// `forward`, `reject` or `answer`. The blocks and steps of an answer follow, as ones that a policy made.
    pub decision: &'static str,
    /// The HTTP status, for `reject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the client is told, for `reject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The policy that rejected or answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The revision of the policies.
    pub revision: String,
    /// The policies that the call goes through.
    pub pipeline: Vec<String>,
    /// What they want of each kind: `record`, `observe`, `gate`. For `forward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interest: Option<Value>,
    /// `closed` or `open`. For `forward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_mode: Option<&'static str>,
    /// The request as it goes upstream, in the form of [`RequestEntry::request`], if that was edited. For `forward`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Value>,
    /// What the policies noted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<NoteEntry>,
}

/// A block of the response. Where nothing was changed, its content is kept once, and written as both.
#[derive(Clone, Debug)]
pub struct BlockEntry {
    /// The alternative answer that it belongs to, from 0.
    pub choice: u32,
    /// Its key: the model's from 0, the policies' own from 2³¹.
    pub block: u32,
    /// `text`, `thinking`, `refusal`, `tool_call`, `opaque`.
    pub kind: &'static str,
    /// The name of the tool, of a tool call.
    pub tool: Option<String>,
    /// The seq of its first chunk.
    pub first: u64,
    /// The seq of its last chunk.
    pub last: u64,
    /// When the first one arrived: microseconds since the call began.
    pub arrived_us: u64,
    /// Whether it stopped before the response was over.
    pub stopped: bool,
    /// Whether what was settled is what the model gave.
    pub unchanged: bool,
    /// As the model gave it; `null`: a policy made it.
    pub original: Option<ContentEntry>,
    /// As the policies settled it, where that was changed: `final`. `null`: nothing of it was let through.
    pub settled: Option<ContentEntry>,
    /// How the original came. Of a block that was only recorded, when it stopped.
    pub deltas: Deltas,
}

impl Serialize for BlockEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { choice, block, kind, tool, first, last, arrived_us, stopped, unchanged, original, settled, deltas } =
            self;
        let settled = if *unchanged { original } else { settled };
        let fields = 10 + usize::from(tool.is_some()) + usize::from(!deltas.is_empty());
        let mut json = serializer.serialize_struct("BlockEntry", fields)?;
        json.serialize_field("choice", choice)?;
        json.serialize_field("block", block)?;
        json.serialize_field("kind", kind)?;
        if let Some(tool) = tool {
            json.serialize_field("tool", tool)?;
        }
        json.serialize_field("first", first)?;
        json.serialize_field("last", last)?;
        json.serialize_field("arrived_us", arrived_us)?;
        json.serialize_field("stopped", stopped)?;
        json.serialize_field("unchanged", unchanged)?;
        json.serialize_field("original", original)?;
        json.serialize_field("final", settled)?;
        if !deltas.is_empty() {
            json.serialize_field("deltas", deltas)?;
        }
        json.end()
    }
}

/// A part of a block of the response.
#[derive(Clone, Debug, Serialize)]
pub struct PartEntry {
    /// The alternative answer that the block belongs to, from 0.
    pub choice: u32,
    /// Its key.
    pub block: u32,
    /// Its kind.
    pub kind: &'static str,
    /// The seq of the first chunk of this part.
    pub first: u64,
    /// The seq of its last one.
    pub last: u64,
    /// Whether what was settled is what came.
    pub unchanged: bool,
    /// What came; `null`: nothing did.
    pub original: Option<ContentEntry>,
    /// What was settled, of this or of earlier parts. Left out while `unchanged`, and if nothing was.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub settled: Option<ContentEntry>,
}

/// A step of the response that belongs to no block.
#[derive(Clone, Debug, Serialize)]
pub struct StepEntry {
    /// The seq of its chunk; of one that a policy made, of the chunk that it stands for.
    pub seq: u64,
    /// `started`, `usage`, `finished`, `opaque`, `ended`, `failed`. Usage is on record only if it was changed: the outcome
    /// has the sum. `block_delta`: opaque pieces of a recorded block that came behind it.
    pub step: &'static str,
    /// Whether what was settled is what the model gave.
    pub unchanged: bool,
    /// As the model gave it; `null`: a policy made it.
    pub original: Option<Value>,
    /// As the policies settled it; `null`: it was not let through. Left out while `unchanged`.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub settled: Option<Value>,
}

/// What the policies decided, where it is more than to pass. Replacements by the same policies within a block make one
/// entry.
#[derive(Clone, Debug, Serialize)]
pub struct VerdictEntry {
    /// The first chunk that was decided so.
    pub first: u64,
    /// The last one.
    pub through: u64,
    /// How many were; passed ones between them do not count.
    pub chunks: u64,
    /// How many of those were replaced by nothing.
    pub dropped: u64,
    /// `replace`, `drop` (all of them by nothing), `end`, or `fail`: a policy failed, and the call ended closed.
    pub decision: &'static str,
    /// The policies that caused it.
    pub policies: Vec<String>,
    /// What the policies noted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<NoteEntry>,
    /// Whether the upstream was read no further.
    pub cancel_upstream: bool,
}

/// A note of a policy.
#[derive(Clone, Debug, Serialize)]
pub struct NoteEntry {
    /// The policy.
    pub policy: String,
    /// The chunk that it is about; 0: the call.
    pub seq: u64,
    /// `debug`, `info`, `warning`, `error`.
    pub severity: &'static str,
    /// For people.
    pub summary: String,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// What the policies saw, counted from the hooks that ran.
#[derive(Clone, Debug, Serialize)]
pub struct CoverageEntry {
    /// The revision of the policies.
    pub revision: String,
    /// One for each policy of the pipeline, in order.
    pub policies: Vec<PolicyCoverage>,
}

/// What one policy saw.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyCoverage {
    /// The policy.
    pub policy: String,
    /// Which one it was, of a policy that somebody else serves and that said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whether it failed; it saw nothing after that.
    pub failed: bool,
    /// What it wanted of each kind.
    pub interest: Value,
    /// By kind of content, and `call` for what belongs to no block. A kind of which nothing came is left out.
    pub kinds: Map<String, Value>,
}

/// How often a policy saw and decided something of one kind; a value of [`PolicyCoverage::kinds`].
/// What is 0 is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// How often each hook ran; of a policy that somebody else serves, how often it was `told` something.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<&'static str, u64>,
    /// Chunks and recorded blocks of which it saw nothing: it has no hook for them.
    #[serde(skip_serializing_if = "is_zero")]
    pub unseen: u64,
    /// Chunks that it let by as they were.
    #[serde(skip_serializing_if = "is_zero")]
    pub passed: u64,
    /// Chunks that it did not decide at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Chunks in whose place it put something else.
    #[serde(skip_serializing_if = "is_zero")]
    pub replaced: u64,
    /// Chunks in whose place it put nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Chunks at which it ended the response.
    #[serde(skip_serializing_if = "is_zero")]
    pub ended: u64,
    /// Chunks that it never decided, because the call was over.
    #[serde(skip_serializing_if = "is_zero")]
    pub undecided: u64,
}

/// How the call ended.
#[derive(Clone, Debug, Serialize)]
pub struct OutcomeEntry {
    /// `delivered`, `cut_by_client`, `ended_by_policy`, `failed`, `unknown`.
    pub outcome: &'static str,
    /// What went wrong, by the proxy's account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the proxy did against the protocol, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What passed unjudged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<OpenedEntry>,
    /// The HTTP status that the client got; 0: none.
    pub status: u16,
    /// The HTTP status that the upstream gave; 0: none.
    pub upstream_status: u16,
    /// The last chunk that the client got, or whose replacement it got; 0: none.
    pub written: u64,
    /// Microseconds since the call began: the upstream's first byte; 0: none.
    pub upstream_first_us: u64,
    /// The client's first byte; 0: none.
    pub client_first_us: u64,
    /// The end; 0: not known.
    pub ended_us: u64,
    /// How long chunks waited for their verdicts; none: none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<WaitedEntry>,
    /// What the call has cost, in tokens: `input`, `cache_read`, `cache_write`, `output`, `thinking`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
    /// The chunks that were received.
    pub received: u64,
    /// The chunks that were passed.
    pub passed: u64,
    /// The chunks that were replaced by something.
    pub replaced: u64,
    /// The chunks that were replaced by nothing.
    pub dropped: u64,
    /// The chunks that were still held when the call ended.
    pub held: u64,
    /// The chunks that came when the policies had ended the response.
    pub not_shown: u64,
    /// What the policies noted at the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<NoteEntry>,
}

impl RequestEntry {
    pub(crate) fn new(started: &CallStarted) -> Self {
        Self {
            dialect: started.dialect.name(),
            upstream_dialect: started.upstream_dialect.name(),
            upstream: started.upstream.clone(),
            route: started.route.clone(),
            model: started.request.model.clone(),
            upstream_model: started.upstream_model.clone(),
            client: started.client.clone(),
            session: started.session.clone(),
            dropped: started.dropped.clone(),
            omitted: started.omitted.clone(),
            request: request::to_json(&started.request),
        }
    }
}

impl From<Annotation> for NoteEntry {
    fn from(annotation: Annotation) -> Self {
        Self {
            policy: annotation.policy,
            seq: annotation.seq,
            severity: annotation.severity.name(),
            summary: annotation.summary,
            details: annotation.details,
        }
    }
}

/// An interest, by the names of kinds and levels.
pub(crate) fn interest_json(interest: &Interest) -> Value {
    let level = |kind| match interest.of(kind) {
        Level::Record => "record",
        Level::Observe => "observe",
        Level::Gate => "gate",
    };
    let levels: Map<String, Value> =
        luthien_proto::event::Kind::ALL.into_iter().map(|kind| (kind.name().to_owned(), level(kind).into())).collect();
    Value::Object(levels)
}

/// A failure mode, as configurations spell it.
pub(crate) fn failure_mode_name(mode: FailureMode) -> &'static str {
    match mode {
        FailureMode::Open => "open",
        FailureMode::Closed => "closed",
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
