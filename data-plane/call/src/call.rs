//! A call, from the decoded request to the last word of the policy service.

mod answer;
mod clocks;
mod consults;
mod fault;
mod heard;
mod judged;
mod life;
mod made;
mod reported;
mod service;
mod source;
mod stream;
mod telling;

use std::time::Duration;

use bytes::Bytes;
use luthien_proto::{
    Event, Request,
    codec::Encoded,
    message::{CallEnded, CallReport, CallStarted, Consult, FailureMode, FromService},
};

use crate::conversion::Response;

pub use consults::ConsultLimits;
pub use heard::Heard;
pub use life::Call;

pub use crate::stats::{Fate, HELD_BOUNDS_US, Stats, UpstreamFailure};

/// What a call begins with.
#[derive(Debug)]
pub struct Setup {
    /// What the policy service is told first. What the proxy can do, the call adds.
    pub started: CallStarted,
    /// What the call may spend.
    pub limits: Limits,
    /// How long it may wait.
    pub times: Times,
    /// What becomes of the call when no policy service admits it.
    pub on_loss: FailureMode,
    /// What the answer passes where the upstream speaks another dialect than the client.
    pub conversion: Option<Response>,
}

/// What a call may spend, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Received and not yet written toward the client: past it the upstream is not read.
    pub held: usize,
    /// One SSE event of the upstream.
    pub sse_event: usize,
    /// A whole response that has to be read before it can be judged.
    pub body: usize,
    /// One batch to the policy service (a single larger chunk goes alone).
    pub batch: usize,
    /// What the policy service was told, kept for the next one if it is lost; beyond it, its loss is final.
    pub resume: usize,
    /// Questions to models.
    pub consults: ConsultLimits,
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For the policy service to say something while it owes something.
    pub lease: Duration,
    /// For a verdict, while the upstream is not what is waited for.
    pub hold: Duration,
    /// For the upstream's head.
    pub first_byte: Duration,
    /// For the upstream's next bytes.
    pub idle: Duration,
    /// Silence toward the client after which the head is sent, and a keepalive.
    pub keepalive_first: Duration,
    /// Between keepalives after that.
    pub keepalive_every: Duration,
    /// For the policy service to close the stream once it was told the end.
    pub close: Duration,
    /// For another policy service to take the call over, or to take it at all; zero: none is asked.
    pub takeover: Duration,
}

/// What happens to a call.
#[derive(Debug)]
pub enum Input {
    /// The policy service said something.
    Service(FromService),
    /// The policy service closed the stream, cleanly or not, or could not be reached.
    ServiceClosed(Result<(), Loss>),
    /// The answer to a question that was asked: all that the model said, to its last event.
    Consulted {
        /// That of the [`Consult`].
        id: String,
        /// What was said.
        events: Vec<Event>,
        /// Whether that was said to an equal question before, and nobody was asked now.
        reused: bool,
    },
    /// The upstream answered.
    UpstreamHead(UpstreamHead),
    /// A piece of the upstream's body.
    UpstreamData(Bytes),
    /// The upstream's body is complete.
    UpstreamEnd,
    /// The upstream can't be reached, or broke off; the text is for people.
    UpstreamFailed(String),
    /// The client's connection took so many of the bytes of [`Output::Write`].
    ClientTook(usize),
    /// The client went away.
    ClientGone,
    /// The [`Call::deadline`] has come.
    Tick,
}

/// Why a stream to a policy service is no more; the texts are for logs and people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is gone, or can't be reached: another one may take the call.
    Lost(String),
    /// It says that we broke the protocol, as another one would.
    Refused(String),
}

impl From<&str> for Loss {
    fn from(why: &str) -> Self {
        Self::Lost(why.to_owned())
    }
}

/// The head of the upstream's answer.
#[derive(Clone, Debug)]
pub struct UpstreamHead {
    /// The HTTP status.
    pub status: u16,
    /// What the body is.
    pub content: Content,
}

/// What a body is, by its content type and coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `text/event-stream`.
    Sse,
    /// JSON.
    Json,
    /// Anything else.
    Other,
    /// Compressed although identity was asked for: it can't be read.
    Encoded,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Open a stream to a policy service, another one than the last if there is one: it is what is told from now on.
    OpenService,
    /// Say this to the policy service.
    Tell(Encoded),
    /// Nothing more is told on this stream.
    CloseService,
    /// Let go of the stream: its service is lost.
    DropService,
    /// The call is over for the client and the upstream. Once, before the last that the policy service is told.
    Ended(CallEnded),
    /// What a policy service has to be told of the call, once one can be heard: none had it at its end. Once at most, and just
    /// before [`Output::Done`].
    Report(Box<CallReport>),
    /// The call is admitted: send the request upstream; if there is another one here, that.
    Forward(Option<Box<Request>>),
    /// Ask a model a question.
    Consult(Box<Consult>),
    /// The answer to the question of that id is of no use any more.
    CancelConsult(String),
    /// Stop reading the upstream, and let go of it.
    CancelUpstream,
    /// Send the client this head. Once, before any [`Output::Write`].
    Head(Head),
    /// Send the client these bytes.
    Write(Bytes),
    /// The client's body is complete.
    Finish,
    /// The client's body can't be completed: break the connection off.
    Abort,
    /// Nothing is left to do; the text tells whoever keeps the log what went wrong, if anything did.
    Done(Result<(), String>),
}

/// The head of the answer to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// The upstream's own status and headers.
    Upstream {
        /// Whether every byte of the body will be the upstream's: its `content-length` then holds, and every end-to-end
        /// header may pass. Otherwise only listed headers do, and the body's length is not known.
        intact: bool,
    },
    /// The upstream's answer in another dialect: of its headers only those pass, or are converted, that mean something to
    /// the client. The body's length is not known.
    Converted {
        /// The HTTP status in the client's dialect.
        status: u16,
        /// `content-type`.
        content_type: &'static str,
    },
    /// A head of our own.
    Own {
        /// The HTTP status.
        status: u16,
        /// `content-type`.
        content_type: &'static str,
        /// `retry-after`, in seconds.
        retry_after: Option<u32>,
    },
}
