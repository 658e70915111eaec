//! The life of a call: who has said what, and what follows from it.

use std::{collections::VecDeque, time::Instant};

use luthien_proto::{
    ToService,
    codec::Encoded,
    event::{CallError, Started},
    message::{
        Admission, Applied, CallEnded, CallStarted, Consultation, FailureMode, Interest, Level, Outcome,
        ServiceFailure, capability,
    },
    proxy::Reporter,
    request::Dialect,
};

use super::{
    Heard, Input, Limits, Output, Setup,
    clocks::{Clocks, Due, Waits},
    consults::Consults,
    fault::Fault,
    judged::{Judged, Recipient},
    reported::{Opening, Unheard},
    stream::Stream,
};
use crate::{
    conversion::{Arriving, Response, id_prefix},
    dialect,
    stats::{Stats, UpstreamFailure},
    upstream::{Passage, Reader},
};

/// A call.
#[derive(Debug)]
pub struct Call {
    pub(super) recipient: Recipient,
    pub(super) upstream_dialect: Dialect,
    /// What arrives passes this, where the upstream speaks another dialect than the client.
    pub(super) conversion: Option<Arriving>,
    /// Whether the client asked for a stream.
    pub(super) streams: bool,
    pub(super) limits: Limits,
    pub(super) on_loss: FailureMode,
    pub(super) began: Instant,
    pub(super) now: Instant,
    pub(super) service: Service,
    pub(super) stream: Stream,
    /// As it was applied.
    pub(super) admission: Option<Admission>,
    /// What verdicts have done.
    pub(super) applied: Applied,
    pub(super) consults: Consults,
    pub(super) heard: Heard,
    pub(super) upstream: Upstream,
    pub(super) client: Client,
    pub(super) judged: Judged,
    pub(super) failure_mode: FailureMode,
    pub(super) reporter: Reporter,
    pub(super) clocks: Clocks,
    pub(super) marks: Marks,
    /// Bytes that were given out for the client and that it did not take yet.
    pub(super) untaken: usize,
    pub(super) is_throttled: bool,
    /// What went wrong with the policy service or the record of the call, for the log.
    pub(super) trouble: Option<String>,
    /// How often another policy service took the call over.
    pub(super) resumed: u64,
    /// Whether the call can't be resumed, because more was told than is kept.
    pub(super) outgrown: bool,
    pub(super) service_failure: Option<ServiceFailure>,
    /// Why something passes, or passed, unjudged.
    pub(super) opening: Option<Opening>,
    /// Why no service will have heard of the end.
    pub(super) unheard: Option<Unheard>,
    pub(super) upstream_failure: Option<UpstreamFailure>,
    pub(super) out: VecDeque<Output>,
}

/// ```text
/// asked ──Admission──▶ judging ──CallEnded──▶ told ──close──▶ gone ──Done──▶ closed
///                         └──fault──▶ unheeded ──CallEnded──▶ told
/// ```
/// A stream that is lost changes none of it while another one can be had; see [`Stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Asked,
    Judging,
    /// It broke the protocol: it is still told what happens, and what it says counts for nothing.
    Unheeded,
    Told,
    Gone,
    Closed,
}

/// idle ──Forward──▶ asked ──head──▶ reading ──end──▶ over
#[derive(Debug)]
pub(super) enum Upstream {
    Idle,
    Asked,
    Reading(Reader),
    Over,
}

/// waiting ──Head──▶ answering ──Finish──▶ complete; gone from anywhere
#[derive(Debug)]
pub(super) enum Client {
    Waiting,
    Answering(Form),
    Complete(Outcome, String),
    Gone,
}

/// What the client is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Stream,
    Whole,
}

/// What is told of a call at its end.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) status: u16,
    pub(super) upstream_status: u16,
    pub(super) upstream_first_us: u64,
    pub(super) client_first_us: u64,
    /// Whether the client is answered by a stream.
    pub(super) stream: bool,
    /// What went wrong with the upstream; never content.
    pub(super) upstream_error: Option<String>,
    /// The error that its answer is.
    pub(super) answered_error: Option<CallError>,
}

/// What this proxy can do beyond the first version of the protocol.
const CAPABILITIES: [&str; 5] =
    [capability::ANSWER, capability::CONSULT, capability::EDITS, capability::INTEREST, capability::RESUME];

impl Call {
    /// Begins a call. The first [`Output`] tells the policy service of it.
    pub fn new(setup: Setup, now: Instant) -> Self {
        let Setup { mut started, limits, times, on_loss, conversion } = setup;
        let CallStarted { dialect, .. } = started;
        started.capabilities = CAPABILITIES.map(str::to_owned).to_vec();
        let streams = started.request.stream;
        let stand_in = Started {
            id: format!("{}{}", id_prefix(dialect), started.call_id.simple()),
            model: started.upstream_model.clone(),
            created: Some(started.started_at_us / 1_000_000),
        };
        let upstream_dialect = conversion.as_ref().map_or(dialect, |conversion| conversion.bridge().upstream);
        let (arriving, leaving) = conversion.map(|conversion| conversion.split(streams, stand_in.clone())).unzip();
        let choices = started.request.choices.max(1);
        let recipient = Recipient { dialect, choices, stand_in, conversion: leaving };
        let started = Encoded::from(ToService::CallStarted(Box::new(started)));
        let mut call = Self {
            judged: Judged::new(&recipient, Interest::all(Level::Gate), &[]),
            recipient,
            upstream_dialect,
            conversion: arriving,
            streams,
            limits,
            on_loss,
            began: now,
            now,
            service: Service::Asked,
            stream: Stream::new(started.clone(), limits.resume),
            admission: None,
            applied: Applied::default(),
            consults: Consults::new(limits.consults),
            heard: Heard::default(),
            upstream: Upstream::Idle,
            client: Client::Waiting,
            failure_mode: FailureMode::Closed,
            reporter: Reporter::new(limits.batch),
            clocks: Clocks::new(times, now),
            marks: Marks::default(),
            untaken: 0,
            is_throttled: false,
            trouble: None,
            resumed: 0,
            outgrown: false,
            service_failure: None,
            opening: None,
            unheard: None,
            upstream_failure: None,
            out: VecDeque::from([Output::OpenService, Output::Tell(started)]),
        };
        call.settle();
        call
    }

    /// The answer passes this instead of what the call began with: the request was changed before it was sent.
    pub fn convert_with(&mut self, conversion: Response) {
        if !matches!(self.upstream, Upstream::Asked) {
            return;
        }
        let (arriving, leaving) = conversion.split(self.streams, self.recipient.stand_in.clone());
        (self.conversion, self.recipient.conversion) = (Some(arriving), Some(leaving));
        self.judged.convert_with(&self.recipient);
    }

    /// Takes in what has happened. Whatever it is, the call copes: a fault ends it closed.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.now = self.now.max(now);
        match input {
            Input::Service(message) => self.service_said(message),
            Input::ServiceClosed(closed) => self.service_closed(closed),
            Input::Consulted { id, events, reused } => self.consulted(Consultation { id, events, reused }),
            Input::UpstreamHead(head) => self.upstream_answered(head),
            Input::UpstreamData(data) => self.upstream_sent(data),
            Input::UpstreamEnd => self.upstream_ended(),
            Input::UpstreamFailed(why) => {
                self.upstream_failed(502, "The upstream can't be reached, or broke off", Some(why));
            }
            Input::ClientTook(bytes) => self.untaken = self.untaken.saturating_sub(bytes),
            Input::ClientGone => self.client_gone(),
            Input::Tick => self.tick(),
        }
        self.settle();
    }

    /// What is to be done next; `None`: wait for more input or the [`Self::deadline`].
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Self::handle`] with [`Input::Tick`], at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.clocks.deadline()
    }

    /// Whether the upstream's body should be read.
    pub fn wants_upstream(&self) -> bool {
        let waits = self.is_throttled && self.is_under_way();
        matches!(self.upstream, Upstream::Reading(_)) && !self.is_full() && !waits
    }

    /// Whether the upstream's body has to be read: a compressed one is of no use then.
    pub fn reads_upstream(&self) -> bool {
        self.judged.passage() != Passage::Relay
    }

    /// Whether calls together hold all that they may: then the upstream is read only when nothing is under way that could
    /// let go of what this one holds.
    pub fn throttle(&mut self, is_throttled: bool, now: Instant) {
        if std::mem::replace(&mut self.is_throttled, is_throttled) != is_throttled {
            self.now = self.now.max(now);
            self.settle();
        }
    }

    /// The bytes of the response that are on their way: held, not told yet, or not taken by the client.
    pub fn window_bytes(&self) -> usize {
        self.judged.held_bytes() + self.reporter.unsent_bytes() + self.untaken
    }

    /// The bytes that arrived and were not given out for the client.
    pub fn held_bytes(&self) -> usize {
        self.judged.held_bytes()
    }

    /// What became of its chunks so far, and what failed.
    pub fn stats(&self) -> Stats {
        let mut stats = self.judged.stats();
        (stats.service_failure, stats.upstream_failure) = (self.service_failure, self.upstream_failure);
        (stats.resumed, stats.outgrown) = (self.resumed, self.outgrown);
        stats
    }

    /// What the upstream's answer says of itself.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    pub(super) fn tick(&mut self) {
        while let Some(due) = self.clocks.due(self.now) {
            match due {
                Due::Lease => self.stream_lost("it was silent for two leases".into()),
                Due::Close => self.stream_lost("it did not close the stream in time".into()),
                Due::Retry => self.reopen(),
                Due::Takeover => {
                    self.out.push_back(Output::DropService);
                    self.give_stream_up("no policy service took the call over in time".to_owned());
                }
                Due::Hold => self.give_up(&Fault::HoldTime),
                Due::Upstream => self.upstream_failed(504, "The upstream did not answer in time", None),
                Due::UpstreamEnd => self.cancel_upstream(),
                Due::Keepalive => {
                    self.send(bytes::Bytes::from_static(dialect::keepalive(self.recipient.dialect)));
                    self.clocks.kept_alive(self.now);
                }
            }
            self.settle();
        }
    }

    /// Draws what follows from the state: writes, reports, the end, and what is waited for.
    pub(super) fn settle(&mut self) {
        self.write();
        self.check_end();
        self.check_hold_limit();
        self.report();
        let waits = self.waits();
        self.clocks.wait_for(waits, self.now);
    }

    /// What was to end the response could not be written, and nothing comes behind it.
    fn check_end(&mut self) {
        let over = match &self.upstream {
            Upstream::Reading(reader) => reader.is_over(),
            Upstream::Over => true,
            Upstream::Idle | Upstream::Asked => false,
        };
        if over && self.is_answering() && self.judged.passage() == Passage::Decoded && self.judged.is_spent() {
            self.end_closed(&Fault::Protocol("its events leave the response without an end".to_owned()));
        }
    }

    /// A full window that nothing under way will empty ends the response at once: there is no deadlock.
    fn check_hold_limit(&mut self) {
        if self.is_full() {
            self.reporter.send_parts();
        }
        // What waits for a verdict, the failure mode may let go.
        if self.is_stuck() && self.judged.is_holding() {
            self.give_up(&Fault::HoldLimit);
            self.write();
        }
        // What is kept for the end of the response, nothing but that lets go.
        if self.is_stuck() {
            self.trouble.get_or_insert_with(|| Fault::HoldLimit.reason());
            self.end_closed(&Fault::HoldLimit);
        }
    }

    /// Whether the rest of the response can't be read, and nothing is under way that would change that: every message was
    /// taken by the policy service, if there is one, and every byte by the client.
    fn is_stuck(&self) -> bool {
        let is_unread = matches!(&self.upstream, Upstream::Reading(reader) if !reader.is_over());
        is_unread && self.is_full() && self.is_answering() && !self.is_under_way()
    }

    /// Whether something may come that lets go of what is held, without the upstream being read.
    fn is_under_way(&self) -> bool {
        self.untaken > 0 || !self.reporter.is_idle() || self.consults.is_waiting()
    }

    pub(super) fn waits(&self) -> Waits {
        let behind = matches!(&self.upstream, Upstream::Reading(reader) if reader.is_over());
        let relayed = self.judged.passage() == Passage::Relay;
        // What is relayed is over with its last byte, whatever it says.
        let reading = self.wants_upstream() && (relayed || !behind);
        let holding = self.judged.is_holding();
        let owes = match self.service {
            Service::Asked => true,
            Service::Judging => self.reporter.is_waiting() || holding || self.consults.is_waiting(),
            Service::Unheeded => self.reporter.is_waiting(),
            Service::Told | Service::Gone | Service::Closed => false,
        };
        let is_open = self.stream.is_open();
        Waits {
            service: owes && is_open,
            close: self.service == Service::Told && is_open,
            retry: self.stream.retry(),
            lost: self.stream.lost_since(),
            verdict: holding && !reading && self.service == Service::Judging,
            head: matches!(self.upstream, Upstream::Asked),
            upstream: reading,
            upstream_end: behind && !relayed,
            client: self.keeps_client_alive(),
        }
    }

    pub(super) fn keeps_client_alive(&self) -> bool {
        let streaming = match self.client {
            Client::Waiting => self.marks.stream && !matches!(self.upstream, Upstream::Asked | Upstream::Idle),
            Client::Answering(form) => form == Form::Stream,
            Client::Complete(..) | Client::Gone => false,
        };
        streaming && self.untaken == 0 && self.judged.passage() == Passage::Decoded
    }

    pub(super) fn is_answering(&self) -> bool {
        matches!(self.client, Client::Waiting | Client::Answering(_))
    }

    pub(super) fn is_full(&self) -> bool {
        self.window_bytes() >= self.limits.held
    }

    /// Whether the client has all that it will get, and the upstream has said all that it will say.
    pub(super) fn is_ended(&self) -> bool {
        let client = match self.client {
            Client::Complete(..) => self.untaken == 0,
            Client::Gone => true,
            Client::Waiting | Client::Answering(_) => false,
        };
        client && matches!(self.upstream, Upstream::Idle | Upstream::Over)
    }

    /// How it ended, as far as it has: what the policy service is told.
    pub fn ended(&self) -> CallEnded {
        let (outcome, reason) = match &self.client {
            Client::Complete(outcome, reason) => (*outcome, reason.clone()),
            Client::Waiting | Client::Answering(_) | Client::Gone => (Outcome::CutByClient, String::new()),
        };
        CallEnded {
            outcome,
            written: self.judged.written(),
            reason,
            status: self.marks.status,
            upstream_status: self.marks.upstream_status,
            upstream_first_us: self.marks.upstream_first_us,
            client_first_us: self.marks.client_first_us,
            ended_us: self.elapsed_us(),
            opened: self.passed_unjudged(),
            waited: self.judged.stats().waited,
        }
    }

    pub(super) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }
}
