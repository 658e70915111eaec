//! One call: drives its session between the stream and the record. Decides nothing.

mod failure;
mod guarded;
mod opening;
mod outbox;

use std::{pin::pin, sync::Arc, time::Duration};

use luthien_policy::{Audit, Before, Output};
use luthien_proto::{
    FromService, Malformed, ToService,
    message::{Admission, Reply},
    request::Dialect,
};
use luthien_service::telemetry::SpanContext;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{Instrument as _, Span, info_span};
use uuid::Uuid;

use super::{
    PolicyService,
    remotes::{Channels, Heard, Remotes},
    replies::Replier,
    streams::Place,
};
use crate::{
    metrics::{self, Metrics},
    policies::InUse,
    record::{CallRecord, NotDurable, Summary},
    trace::Trace,
};
use failure::{Aftermath, Failure};
use guarded::Guarded;
use opening::{Opening, read};
use outbox::Outbox;

/// Between the beginning of a shutdown and the handover, which waits until those who watch the health were told.
const HANDOVER_MAX: Duration = Duration::from_secs(1);
/// How long an Admission may wait until it is on record: of what is held, the proxy says how long that may be.
const ADMISSION_WAIT_MAX: Duration = Duration::from_secs(60);

/// What ends calls that run.
#[derive(Clone)]
pub(super) struct Gates {
    /// No calls are taken.
    pub(super) draining: CancellationToken,
    /// The calls that may go on elsewhere are to.
    pub(super) handover: CancellationToken,
    /// All are to end.
    pub(super) cut: CancellationToken,
}

/// What a proxy has said.
pub(super) type Told = Result<ToService, Malformed>;

/// The two halves of a call's stream, and what all calls of a thread share.
pub(super) struct Wires {
    pub(super) requests: Streaming<Told>,
    pub(super) replier: Replier,
    /// The proxy's span.
    pub(super) parent: Option<SpanContext>,
    pub(super) gates: Gates,
    pub(super) channels: Channels,
}

/// Runs a call from its first message to the close of its stream. Boxed, as all that follows: a call has thousands of bytes
/// of state, and a future keeps room for all that it ever had.
pub(super) fn converse(service: Arc<PolicyService>, wires: Wires) -> impl Future<Output = ()> + Send {
    let begun = Box::pin(begin(service, wires));
    async {
        let Some((conversation, requests)) = begun.await else { return };
        conversation.run(requests).await;
    }
}

/// `None`: the stream is closed.
async fn begin(service: Arc<PolicyService>, mut wires: Wires) -> Option<(Box<Conversation>, Streaming<Told>)> {
    match open(&service, &mut wires.requests, &wires.gates).await {
        Ok(opened) => Some(Conversation::begin(service, opened, wires)),
        Err(failure) => {
            failure.log();
            service.metrics.failed(failure.kind());
            wires.replier.close(Err(failure.status()));
            None
        }
    }
}

/// A call, and what is known of it before its session begins.
struct Opened {
    opening: Opening,
    place: Place,
    policies: InUse,
    before: Before,
}

/// Hears which call it is, and finds the policies that judge it and what was decided before them.
async fn open(service: &PolicyService, requests: &mut Streaming<Told>, gates: &Gates) -> Result<Opened, Failure> {
    let opening = Opening::hear(requests, gates).await?;
    if opening.admission().is_none() && service.cannot_record() {
        return Err(Failure::NoRecord);
    }
    let place = service.streams.enter(opening.started.call_id, opening.epoch())?;
    let policies = match opening.admission() {
        None => service.policies.current(),
        Some(Admission { revision, .. }) => {
            let found = service.policies.find(revision).await;
            found.ok_or_else(|| Failure::UnknownRevision(revision.clone()))?
        }
    };
    let before = tokio::select! {
        before = service.continuations.before(&opening.started, opening.admission()) => before,
        () = gates.cut.cancelled() => return Err(Failure::Cut),
        () = gates.handover.cancelled(), if opening.can_resume() => return Err(Failure::HandedOver),
    };
    Ok(Opened { opening, place, policies, before: Before { audit: service.audit, ..before } })
}

struct Conversation {
    service: Arc<PolicyService>,
    session: Guarded,
    record: CallRecord,
    dialect: Dialect,
    trace: Trace,
    /// Entered where something is logged, and not whenever something is said.
    span: Span,
    outbox: Outbox,
    replier: Replier,
    remotes: Remotes,
    gates: Gates,
    place: Place,
    lease: Interval,
    can_resume: bool,
    /// Until when the Admission may wait to be on record, if it does.
    admission_by: Option<Instant>,
    /// Messages that the session has taken, as it counts them.
    seen: u64,
    /// Whether the proxy heard of us since the last look.
    spoke: bool,
    /// Kept from being forgotten.
    _policies: InUse,
}

impl Conversation {
    fn begin(service: Arc<PolicyService>, opened: Opened, wires: Wires) -> (Box<Self>, Streaming<Told>) {
        let Wires { requests, replier, parent, gates, channels } = wires;
        let Opened { opening, place, policies, before } = opened;
        let pipeline = policies.set().pipeline_of(&opening.started);
        let trace = Trace::begin(&opening.started, opening.epoch(), parent, &pipeline.names());
        let span = span(opening.started.call_id, trace.context());
        let remotes = Remotes::new(channels, pipeline, Arc::clone(&service.metrics), trace.context(), span.clone());
        let _entered = span.enter();
        // A silence that begins just behind one tick ends at the next but one: no later than a lease.
        let mut lease = interval(service.lease / 2);
        lease.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (epoch, can_resume) = (opening.epoch(), opening.can_resume());
        let waits = service.audit == Audit::Strict && opening.admission().is_none();
        let admission_by = waits.then(|| Instant::now() + ADMISSION_WAIT_MAX);
        let Opening { started, resumed } = opening;
        if resumed.is_some() {
            service.metrics.resumed();
        }
        let record = service.recorder.call(Summary { epoch, ..Summary::new(&started) });
        let (dialect, outbox) = (started.dialect, Outbox::new(record.durable()));
        let session = Guarded::begin(Arc::clone(policies.set()), resumed, started, before);
        let span = span.clone();
        let conversation = Box::new(Self {
            service,
            session,
            record,
            dialect,
            trace,
            span,
            outbox,
            replier,
            remotes,
            gates,
            place,
            lease,
            can_resume,
            admission_by,
            seen: 0,
            spoke: false,
            _policies: policies,
        });
        (conversation, requests)
    }

    async fn run(mut self: Box<Self>, mut requests: Streaming<Told>) {
        let (service, span) = (Arc::clone(&self.service), self.span.clone());
        let _open = service.metrics.open_call();
        match self.talk(&mut requests).await {
            Ok(()) => Box::pin(self.finish()).instrument(span).await,
            Err(failure) => {
                drop(requests);
                Box::pin(self.fail(failure)).instrument(span).await;
            }
        }
    }

    /// Until the session says that the call is over.
    async fn talk(&mut self, requests: &mut Streaming<Told>) -> Result<(), Failure> {
        // Waited for once: to begin and to end a wait takes a lock that all calls share.
        let Gates { cut, handover, .. } = self.gates.clone();
        let (mut cut, mut handover) = (pin!(cut.cancelled()), pin!(handover.cancelled()));
        let mut superseded = pin!(self.place.superseded());
        loop {
            if self.drain()? == Drained::Ended {
                return Ok(());
            }
            let hears = self.record.is_flushed() && self.replier.is_flushed();
            tokio::select! {
                biased;
                () = &mut cut => return Err(Failure::Cut),
                () = &mut superseded => return Err(Failure::Superseded),
                () = &mut handover, if self.can_resume => return Err(Failure::HandedOver),
                () = self.record.flush(), if !self.record.is_flushed() => {}
                () = self.replier.flush(), if !self.replier.is_flushed() => {}
                message = self.outbox.due() => self.say(message),
                told = requests.message(), if hears => self.hear(told)?,
                (stage, heard) = self.remotes.next(), if hears => self.hear_remote(stage, heard)?,
                _ = self.lease.tick() => self.show_life()?,
            }
        }
    }

    /// Does what the session wants done.
    fn drain(&mut self) -> Result<Drained, Failure> {
        loop {
            match self.session.poll()? {
                None => {
                    let session = &mut self.session;
                    self.remotes.mind(|stage| session.owed(stage));
                    return Ok(Drained::Waiting);
                }
                Some(Output::Say(message)) => {
                    let behind = match self.service.audit {
                        Audit::Relaxed => 0,
                        Audit::Strict => self.record.added(),
                    };
                    if let Some(message) = self.outbox.put(behind, message) {
                        self.say(message);
                    }
                }
                Some(Output::Record(entry)) => {
                    self.service.metrics.entry(self.dialect, &entry.body);
                    self.trace.entry(&entry);
                    self.record.push(*entry);
                }
                Some(Output::Tell { stage, message }) => self.remotes.tell(stage, message),
                Some(Output::Leave { stage }) => self.remotes.leave(stage),
                Some(Output::Ended) => return Ok(Drained::Ended),
            }
        }
    }

    fn hear(&mut self, told: Result<Option<Told>, Status>) -> Result<(), Failure> {
        let message = read(told)?;
        self.session.handle(message)?.map_err(|fault| Failure::Fault(fault.to_string()))
    }

    fn hear_remote(&mut self, stage: usize, heard: Heard) -> Result<(), Failure> {
        let taken = match heard {
            Heard::Said(said) => self.session.heard(stage, *said)?,
            Heard::Lost(_, why) => self.session.remote_lost(stage, &why)?,
        };
        taken.map_err(|fault| Failure::Fault(fault.to_string()))
    }

    fn say(&mut self, message: FromService) {
        self.seen = message.seen;
        self.spoke = true;
        if let Reply::Admission(admission) = &message.message {
            self.admission_by = None;
            self.service.metrics.admitted(admission);
        }
        self.replier.say(message);
    }

    /// Called twice in a lease.
    fn show_life(&mut self) -> Result<(), Failure> {
        if self.admission_by.is_some_and(|by| self.service.cannot_record() || by < Instant::now()) {
            return Err(Failure::NoRecord);
        }
        if !std::mem::take(&mut self.spoke) {
            self.say(FromService { message: Reply::Working, seen: self.seen });
        }
        Ok(())
    }

    /// The call is over: the stream is closed when its record is durable.
    async fn finish(mut self: Box<Self>) {
        self.remotes.finish();
        self.service.continuations.remember(self.record.summary());
        let durable = self.record.close().await;
        note(&durable, &self.service.metrics, &mut self.trace);
        if durable.is_ok() {
            self.outbox.rest().for_each(|message| self.replier.say(message));
        }
        self.replier.close(durable.map_err(|not| Failure::from(not).status()));
        self.replier.flushed(&self.gates.cut).await;
    }

    /// The stream ends, and after it its record.
    async fn fail(mut self: Box<Self>, failure: Failure) {
        failure.log();
        self.service.metrics.failed(failure.kind());
        self.trace.failed(failure.kind());
        self.replier.close(Err(failure.status()));
        self.replier.flushed(&self.gates.cut).await;
        let goes_on = match failure.aftermath() {
            Aftermath::Unknown => false,
            Aftermath::UnknownIfNotResumed => self.can_resume && self.is_resumed().await,
            Aftermath::GoesOn => true,
        };
        let durable = match goes_on {
            true => self.record.leave().await,
            false => {
                self.lose(&failure);
                self.service.continuations.remember(self.record.summary());
                self.record.close().await
            }
        };
        note(&durable, &self.service.metrics, &mut self.trace);
    }

    /// Waits for the call to be resumed here; whether it is, or can only be resumed elsewhere.
    async fn is_resumed(&mut self) -> bool {
        self.record.flush().await;
        tokio::select! {
            biased;
            () = self.place.superseded() => true,
            () = self.gates.handover.cancelled() => true,
            () = self.gates.cut.cancelled() => true,
            // A plane that hands nothing over is asked to resume no call any more either.
            () = self.gates.draining.cancelled() => timeout(HANDOVER_MAX, self.gates.handover.cancelled()).await.is_ok(),
            () = sleep(self.service.takeover_wait) => false,
        }
    }

    /// The proxy will say no more. What its session still has for the record is taken.
    fn lose(&mut self, failure: &Failure) {
        if self.session.lost().is_ok() {
            let _ = self.drain();
        }
        self.record.lose(&failure.to_string());
    }
}

/// What the log says of a call.
fn span(call_id: Uuid, context: &SpanContext) -> Span {
    let (trace_id, span_id) = (context.trace_id(), context.span_id());
    info_span!("call", %call_id, %trace_id, %span_id)
}

fn note(durable: &Result<(), NotDurable>, metrics: &Metrics, trace: &mut Trace) {
    if durable.is_err() {
        metrics.failed(metrics::Failure::NotDurable);
        trace.failed(metrics::Failure::NotDurable);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Drained {
    Waiting,
    Ended,
}
