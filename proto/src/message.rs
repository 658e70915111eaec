//! The messages of the verdict protocol. `policy.proto` tells what each is owed.

mod answer;

use serde_json::Value;
use uuid::Uuid;

pub use answer::{Answer, NoAnswer};

use crate::{
    event::{BlockDelta, BlockStarted, Chunk, Event, FinishReason, Kind, Usage},
    json::Extras,
    request::{Content, Dialect, Message, Request, Sampling, Tool},
};

/// From the proxy.
#[derive(Clone, Debug, PartialEq)]
pub enum ToService {
    /// First and once.
    CallStarted(Box<CallStarted>),
    /// What has arrived since the last batch; not empty.
    Chunks(Vec<Chunk>),
    /// A recorded block, whole.
    Block(Block),
    /// Last.
    CallEnded(CallEnded),
    /// First on another stream, before [`Self::CallStarted`] and all else that was told.
    CallResumed(Box<CallResumed>),
    /// The answer to a consult.
    Consultation(Consultation),
}

/// How a call stands that goes on with another stream.
#[derive(Clone, Debug, PartialEq)]
pub struct CallResumed {
    /// How many streams there were before; at least 1.
    pub epoch: u32,
    /// The Admission as it was applied; `None`: none was given.
    pub admission: Option<Admission>,
    /// What verdicts have done.
    pub applied: Applied,
}

/// What the verdicts on a response have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The last chunk that one has settled; 0: none.
    pub settled: u64,
    /// How many events were injected behind it.
    pub injected: u64,
    /// Whether one has ended the response.
    pub ended: bool,
}

/// The answer to a [`Consult`].
#[derive(Clone, Debug, PartialEq)]
pub struct Consultation {
    /// That of the consult.
    pub id: String,
    /// What the model said; not empty, and the last one is the last of a response.
    pub events: Vec<Event>,
    /// Whether it said so to an equal question before, and was not asked again.
    pub reused: bool,
}

/// From the policy service: a message, and how many Chunks and Block messages it has taken so far.
#[derive(Clone, Debug, PartialEq)]
pub struct FromService {
    /// What it says.
    pub message: Reply,
    /// The Chunks and Block messages it has taken, on this stream.
    pub seen: u64,
}

/// What the policy service says.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// First and once.
    Admission(Admission),
    /// Settles chunks.
    Verdict(Verdict),
    /// Alive, nothing to say yet.
    Working,
    /// What is wanted from now on: it may only fall.
    Interest(Interest),
    /// A question to a model.
    Consult(Box<Consult>),
    /// The answer to the consult of that id is not needed any more.
    CancelConsult(String),
}

/// A question to a model, beside the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Consult {
    /// The policy's name and a running number.
    pub id: String,
    /// What is asked.
    pub request: Request,
    /// The upstream to ask; empty: where the model's route leads.
    pub upstream: String,
    /// With whose credentials.
    pub credentials: Credentials,
    /// How long the answer may take, in milliseconds; `None`: as long as the proxy lets it.
    pub deadline_ms: Option<u64>,
    /// Whether the answer to an equal question of the same session will do.
    pub reuse: bool,
}

/// With whose credentials a model is consulted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Those of the client; they go nowhere but to the call's own upstream.
    #[default]
    Caller,
    /// Those that the proxy has for the upstream.
    Configured,
}

/// The names of what one end can do beyond the first version of the protocol.
pub mod capability {
    /// The proxy takes an [`super::Answer`].
    pub const ANSWER: &str = "answer";
    /// The proxy takes [`super::Consult`]s.
    pub const CONSULT: &str = "consult";
    /// The proxy takes [`super::Edit`]s.
    pub const EDITS: &str = "edits";
    /// The proxy takes [`super::Interest`] during a call.
    pub const INTEREST: &str = "interest";
    /// The proxy says [`super::CallResumed`]; the service takes it.
    pub const RESUME: &str = "resume";
}

/// A client wants to call a model.
#[derive(Clone, Debug, PartialEq)]
pub struct CallStarted {
    /// A UUIDv7, made by the proxy.
    pub call_id: Uuid,
    /// Microseconds since 1970, by the proxy's clock.
    pub started_at_us: i64,
    /// The client's dialect.
    pub dialect: Dialect,
    /// The upstream's dialect.
    pub upstream_dialect: Dialect,
    /// The upstream's name in the proxy's configuration.
    pub upstream: String,
    /// The pattern of the route that picked it.
    pub route: String,
    /// The model as the upstream will be asked for it.
    pub upstream_model: String,
    /// Whose key it was; else empty.
    pub client: String,
    /// The agent's own marker of its session; empty: none came.
    pub session: String,
    /// Fields of the request that the upstream's dialect has no counterpart for: the client is told of them.
    pub dropped: Vec<String>,
    /// The same, of fields without which nothing is missed: only the record has them.
    pub omitted: Vec<String>,
    /// What the proxy can do; see [`capability`].
    pub capabilities: Vec<String>,
    /// Headers that policies may be picked by; not for the record.
    pub headers: Vec<Header>,
    /// What was asked for.
    pub request: Request,
}

/// A header of the client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// What it says.
    pub value: String,
}

impl Header {
    /// Whether a policy service is told of headers with this name, which is in lower case: it begins with `x-` and does
    /// not sound like a credential.
    pub fn is_told(name: &str) -> bool {
        const CREDENTIALS: [&str; 7] = ["key", "token", "secret", "auth", "cookie", "credential", "password"];
        name.starts_with("x-") && !CREDENTIALS.iter().any(|word| name.contains(word))
    }
}

/// A recorded block, whole. The client has it as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The seq of its first chunk.
    pub first: u64,
    /// The seq of its last chunk.
    pub last: u64,
    /// When the first arrived: microseconds since the call began.
    pub first_arrived_us: u64,
    /// When the last arrived.
    pub last_arrived_us: u64,
    /// Its start.
    pub started: BlockStarted,
    /// Unknown fields of its start.
    pub extras: Extras,
    /// Its content; neighbouring pieces of one sort joined.
    pub deltas: Vec<(BlockDelta, Extras)>,
    /// Whether it stopped before the response ended.
    pub stopped: bool,
}

/// The call is over.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEnded {
    /// How.
    pub outcome: Outcome,
    /// The last chunk that the client got, or whose replacement it got; 0: none.
    pub written: u64,
    /// What went wrong, for [`Outcome::Failed`]; never content.
    pub reason: String,
    /// The HTTP status that the client got; 0: none.
    pub status: u16,
    /// The HTTP status that the upstream gave; 0: none.
    pub upstream_status: u16,
    /// Microseconds since the call began: the upstream's first byte; 0: none.
    pub upstream_first_us: u64,
    /// The client's first byte; 0: none.
    pub client_first_us: u64,
    /// The end.
    pub ended_us: u64,
    /// What passed unjudged.
    pub opened: Option<Opened>,
    /// How long chunks waited for their verdicts.
    pub waited: Waited,
}

/// How long chunks that had a verdict were held before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// How many.
    pub chunks: u64,
    /// All of them together, in microseconds.
    pub total_us: u64,
    /// The one that waited longest, in microseconds.
    pub longest_us: u64,
}

impl CallEnded {
    /// Of a call of which nobody tells how it ended.
    pub fn unknown() -> Self {
        Self {
            outcome: Outcome::Unknown,
            written: 0,
            reason: String::new(),
            status: 0,
            upstream_status: 0,
            upstream_first_us: 0,
            client_first_us: 0,
            ended_us: 0,
            opened: None,
            waited: Waited::default(),
        }
    }
}

/// What was released without the verdict that it was owed: an operator wrote so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The seq of its first chunk; 0: the response was not read.
    pub first: u64,
    /// The seq of its last chunk.
    pub last: u64,
    /// How many chunks were owed a verdict and had none.
    pub chunks: u64,
    /// Why nobody judged it.
    pub cause: ServiceFailure,
    /// The same, for people; never content.
    pub reason: String,
}

/// What went wrong with the policy service of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceFailure {
    /// None admitted the call.
    NotAdmitted,
    /// It was lost during the call.
    Lost,
    /// It broke the protocol, or did not decide in time or within the limits.
    Faulted,
    /// It did not say that the record of the call is complete.
    NotRecorded,
}

impl ServiceFailure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NotAdmitted, Self::Lost, Self::Faulted, Self::NotRecorded];

    /// The name, as the record and metrics spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAdmitted => "not_admitted",
            Self::Lost => "lost",
            Self::Faulted => "faulted",
            Self::NotRecorded => "not_recorded",
        }
    }
}

/// How a call ended that no service had at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct CallReport {
    /// One more than that of the call's last stream; at least 1.
    pub epoch: u32,
    /// As it was told.
    pub started: Box<CallStarted>,
    /// Whether [`Self::leave_request_out`] was done.
    pub request_left_out: bool,
    /// As a service would have been told.
    pub ended: CallEnded,
    /// What kept a service from having it.
    pub cause: ServiceFailure,
    /// The same, for people; never content.
    pub reason: String,
    /// The revision of the Admission as it was applied; empty: there was none.
    pub revision: String,
    /// The policies of that.
    pub pipeline: Vec<String>,
    /// What the call has cost, as far as that is known.
    pub usage: Option<Usage>,
}

impl CallReport {
    /// Takes out what the request says, and gives it back. What remains is what lists and filters need.
    pub fn leave_request_out(&mut self) -> Request {
        let Request { model, stream, choices, .. } = &self.started.request;
        let outline = Request { model: model.clone(), stream: *stream, choices: *choices, ..Request::default() };
        self.request_left_out = true;
        std::mem::replace(&mut self.started.request, outline)
    }
}

/// How a call ended, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response that ended by itself.
    Delivered,
    /// The client went away first.
    CutByClient,
    /// Rejected or answered at admission, or ended by a verdict.
    EndedByPolicy,
    /// An error, the upstream's or the proxy's.
    Failed,
    /// The proxy was lost, or said nothing that can be read.
    Unknown,
}

impl Outcome {
    /// The name, as the record spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::CutByClient => "cut_by_client",
            Self::EndedByPolicy => "ended_by_policy",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer to [`CallStarted`].
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// Whether the call may go upstream.
    pub decision: AdmissionDecision,
    /// The revision of the policies: hexadecimal SHA-256.
    pub revision: String,
    /// The names of the policies, in order.
    pub pipeline: Vec<String>,
    /// What the service can do; see [`capability`].
    pub capabilities: Vec<String>,
}

/// Whether a call may go upstream.
#[derive(Clone, Debug, PartialEq)]
pub enum AdmissionDecision {
    /// It may, with the request as it was or as it is edited.
    Forward(Forward),
    /// It may not.
    Reject(Reject),
    /// It does not: this is its response.
    Answer(Answer),
}

/// On which terms a call goes upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// What the service wants of each kind.
    pub interest: Interest,
    /// What a loss of the service does.
    pub failure_mode: FailureMode,
    /// What may be spent on holding.
    pub limits: Limits,
    /// The kinds of block that the service knows.
    pub known_kinds: Vec<Kind>,
    /// What is changed in the request.
    pub edits: Vec<Edit>,
}

/// One change of a request. Positions are those of the request as it was told: edits do not move each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Another message in place of the one there.
    ReplaceMessage(u32, Message),
    /// A message before the one there; at the number of messages, behind the last.
    InsertMessage(u32, Message),
    /// No message in place of the one there.
    DropMessage(u32),
    /// Instead of all system content.
    System(Vec<Content>),
    /// Instead of all tools.
    Tools(Vec<Tool>),
    /// Instead of all that was said of how to pick tokens.
    Sampling(Sampling),
    /// A field that the request model does not name; `None`: it is taken out.
    Field(String, Option<Value>),
}

/// What the client of a rejected call is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// The dialect's type of error; empty: the one that fits the status.
    pub type_: String,
    /// For the client.
    pub message: String,
}

/// What a policy wants of a kind; the greater is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Released at once, reported whole afterwards.
    Record,
    /// Released at once, every chunk reported.
    Observe,
    /// Held until its verdict.
    Gate,
}

/// What a policy wants of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    levels: [Level; Kind::ALL.len()],
}

impl Interest {
    /// The same of every kind.
    pub const fn all(level: Level) -> Self {
        Self { levels: [level; Kind::ALL.len()] }
    }

    /// This, but for one kind.
    #[must_use]
    pub const fn with(mut self, kind: Kind, level: Level) -> Self {
        self.levels[kind as usize] = level;
        self
    }

    /// What is wanted of a kind.
    pub const fn of(&self, kind: Kind) -> Level {
        self.levels[kind as usize]
    }

    /// The strictest of all kinds: what holds for whatever belongs to no block.
    pub fn strictest(&self) -> Level {
        self.levels.into_iter().max().unwrap_or(Level::Gate)
    }

    /// Whether anything is gated.
    pub fn gates(&self) -> bool {
        self.strictest() == Level::Gate
    }

    /// The laxer of both, kind by kind.
    #[must_use]
    pub fn meet(mut self, other: Self) -> Self {
        for (level, other) in self.levels.iter_mut().zip(other.levels) {
            *level = (*level).min(other);
        }
        self
    }

    /// The stricter of both, kind by kind.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        for (level, other) in self.levels.iter_mut().zip(other.levels) {
            *level = (*level).max(other);
        }
        self
    }
}

/// What a loss of the policy service, or a fault of it, does to what is held; the greater is the stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureMode {
    /// It passes unjudged; only where an operator wrote so.
    Open,
    /// It is never released; the response ends with an error.
    #[default]
    Closed,
}

/// What may be spent on holding; `None`: the proxy's own limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How long a chunk may be held, in milliseconds.
    pub hold_ms: Option<u64>,
    /// How many bytes of the call may be held.
    pub held_bytes: Option<u64>,
}

/// Settles every unsettled chunk up to and including `through`.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The last chunk that it settles.
    pub through: u64,
    /// How.
    pub decision: Decision,
    /// What the policies say about it.
    pub annotations: Vec<Annotation>,
    /// Stop reading the upstream.
    pub cancel_upstream: bool,
}

/// What becomes of chunks.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// As they are.
    Pass,
    /// These events instead.
    Replace(Vec<Event>),
    /// These events instead, and the response is over.
    End {
        /// The events.
        events: Vec<Event>,
        /// Why each unfinished choice finishes; `None`: what fits what is left.
        reason: Option<FinishReason>,
    },
}

/// A note of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The policy's name.
    pub policy: String,
    /// The chunk that it is about; 0: the call.
    pub seq: u64,
    /// How grave.
    pub severity: Severity,
    /// For people.
    pub summary: String,
    /// For programs.
    pub details: Option<Value>,
}

/// How grave a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For those who look for it.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Something is wrong.
    Error,
}

impl Severity {
    /// The name, as the record spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}
