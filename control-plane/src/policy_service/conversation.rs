//! One call: drives its session between the stream and the record. Decides nothing.

mod guarded;

use luthien_policy::{Before, Output};
use luthien_proto::{
    FromService, Malformed, ToService,
    message::{CallStarted, Reply},
    request::Dialect,
    wire::EnforceRequest,
};
use luthien_service::telemetry::SpanContext;
use thiserror::Error;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{Instrument as _, debug, error, info_span, warn};

use super::{PolicyService, replies::Replier};
use crate::{
    continuation::Continuations,
    metrics::{self, Metrics},
    record::{CallRecord, NotDurable, Summary},
    trace::Trace,
};
use guarded::{Guarded, Panicked};

/// Runs a call from its first message to the close of its stream.
pub(super) async fn converse(
    service: PolicyService,
    mut requests: Streaming<EnforceRequest>,
    parent: Option<SpanContext>,
    replier: Replier,
    cut: CancellationToken,
) {
    let end = match first(&mut requests, &cut).await {
        Ok(started) => {
            let before = service.continuations.before(&started, None).await;
            let trace = Trace::begin(&started, parent, &service.policies.pipeline_of(&started).names());
            let (call_id, context) = (started.call_id, trace.context());
            let (trace_id, span_id) = (context.trace_id(), context.span_id());
            let span = info_span!("call", %call_id, %trace_id, %span_id);
            let begun = span.in_scope(|| Conversation::begin(&service, *started, before, trace, &replier, cut));
            begun.run(requests).instrument(span).await
        }
        Err(failure) => Err(failure),
    };
    replier.close(end.map_err(|failure| failure.status())).await;
}

struct Conversation<'a> {
    session: Guarded,
    record: CallRecord,
    dialect: Dialect,
    metrics: &'a Metrics,
    continuations: &'a Continuations,
    trace: Trace,
    replier: &'a Replier,
    cut: CancellationToken,
    lease: Interval,
    /// Messages that the session has taken, as it counts them.
    seen: u64,
    /// Whether the proxy heard of us since the last look.
    spoke: bool,
}

/// Why a stream does not end well.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Fault(String),
    #[error("the proxy was lost: {0}")]
    Lost(String),
    #[error("the policies failed")]
    Panicked(#[from] Panicked),
    #[error("the control plane is shutting down")]
    Cut,
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

impl<'a> Conversation<'a> {
    fn begin(
        service: &'a PolicyService,
        started: CallStarted,
        before: Before,
        trace: Trace,
        replier: &'a Replier,
        cut: CancellationToken,
    ) -> Self {
        // A silence that begins just behind one tick ends at the next but one: no later than a lease.
        let mut lease = interval(service.lease / 2);
        lease.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let record = service.recorder.call(Summary::new(&started));
        let (dialect, metrics, continuations) = (started.dialect, &*service.metrics, &service.continuations);
        let session = Guarded::begin(service.policies.clone(), started, before);
        Self { session, record, dialect, metrics, continuations, trace, replier, cut, lease, seen: 0, spoke: false }
    }

    async fn run(mut self, mut requests: Streaming<EnforceRequest>) -> Result<(), Failure> {
        let _open = self.metrics.open_call();
        let talked = self.talk(&mut requests).await;
        if let Err(failure) = &talked {
            failure.log();
            self.metrics.failed(failure.kind());
            self.trace.failed(failure.kind());
            self.lose(failure).await;
        }
        self.continuations.remember(self.record.summary());
        let durable = self.record.close().await;
        if durable.is_err() {
            self.metrics.failed(metrics::Failure::NotDurable);
            self.trace.failed(metrics::Failure::NotDurable);
        }
        talked.and(durable.map_err(Failure::from))
    }

    /// Until the session says that the call is over.
    async fn talk(&mut self, requests: &mut Streaming<EnforceRequest>) -> Result<(), Failure> {
        loop {
            if self.drain().await? == Drained::Ended {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.cut.cancelled() => return Err(Failure::Cut),
                () = self.record.flush(), if !self.record.is_flushed() => {}
                request = requests.message(), if self.record.is_flushed() => self.hear(request)?,
                _ = self.lease.tick() => self.show_life().await,
            }
        }
    }

    /// Does what the session wants done.
    async fn drain(&mut self) -> Result<Drained, Failure> {
        loop {
            match self.session.poll()? {
                None => return Ok(Drained::Waiting),
                Some(Output::Say(message)) => {
                    self.seen = message.seen;
                    self.spoke = true;
                    self.replier.say(message).await;
                }
                Some(Output::Record(entry)) => {
                    self.metrics.entry(self.dialect, &entry.body);
                    self.trace.entry(&entry);
                    self.record.push(entry);
                }
                Some(Output::Ended) => return Ok(Drained::Ended),
            }
        }
    }

    fn hear(&mut self, request: Result<Option<EnforceRequest>, Status>) -> Result<(), Failure> {
        let message = read(request)?;
        self.session.handle(message)?.map_err(|fault| Failure::Fault(fault.to_string()))
    }

    /// Called twice in a lease.
    async fn show_life(&mut self) {
        if !std::mem::take(&mut self.spoke) {
            self.replier.say(FromService { message: Reply::Working, seen: self.seen }).await;
            self.spoke = true;
        }
    }

    /// The proxy will say no more. What its session still has for the record is taken.
    async fn lose(&mut self, failure: &Failure) {
        if self.session.lost().is_ok() {
            let _ = self.drain().await;
        }
        self.record.lose(&failure.to_string());
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Drained {
    Waiting,
    Ended,
}

impl Failure {
    fn status(&self) -> Status {
        let text = self.to_string();
        match self {
            Self::Fault(_) => Status::invalid_argument(text),
            Self::Lost(_) => Status::cancelled(text),
            Self::Panicked(_) => Status::internal(text),
            Self::Cut | Self::NotDurable(_) => Status::unavailable(text),
        }
    }

    fn kind(&self) -> metrics::Failure {
        match self {
            Self::Fault(_) => metrics::Failure::Fault,
            Self::Lost(_) => metrics::Failure::Lost,
            Self::Panicked(_) => metrics::Failure::Panicked,
            Self::Cut => metrics::Failure::Cut,
            Self::NotDurable(_) => metrics::Failure::NotDurable,
        }
    }

    fn log(&self) {
        match self {
            Self::Fault(fault) => warn!(fault, "the proxy broke the protocol"),
            Self::Lost(why) => debug!(why, "the proxy was lost before it said how the call ended"),
            Self::Panicked(_) => error!("the policies panicked; the call ends closed"),
            Self::Cut | Self::NotDurable(_) => warn!(reason = %self, "the call was cut"),
        }
    }
}

async fn first(requests: &mut Streaming<EnforceRequest>, cut: &CancellationToken) -> Result<Box<CallStarted>, Failure> {
    let request = tokio::select! {
        request = requests.message() => request,
        () = cut.cancelled() => return Err(Failure::Cut),
    };
    match read(request)? {
        ToService::CallStarted(started) => Ok(started),
        ToService::CallResumed(_)
        | ToService::Consultation(_)
        | ToService::Chunks(_)
        | ToService::Block(_)
        | ToService::CallEnded(_) => Err(Failure::Fault("the first message is not CallStarted".into())),
    }
}

fn read(request: Result<Option<EnforceRequest>, Status>) -> Result<ToService, Failure> {
    match request {
        Ok(Some(request)) => request.try_into().map_err(|malformed: Malformed| Failure::Fault(malformed.to_string())),
        Ok(None) => Err(Failure::Lost("it closed the stream before CallEnded".into())),
        Err(status) => Err(Failure::Lost(format!("{:?}: {}", status.code(), status.message()))),
    }
}
