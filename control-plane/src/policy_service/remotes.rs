//! The remote policies of a call: a stream to each, which is opened when it is first told something.

mod channels;
mod clocks;
mod line;

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use luthien_policy::{Owed, Pipeline};
use luthien_proto::{FromService, ToService};
use luthien_service::telemetry::{SpanContext, traceparent};
use tokio::time::timeout;
use tonic::metadata::AsciiMetadataValue;
use tracing::{Span, warn};

use crate::metrics::{Metrics, RemoteCause};
pub(super) use channels::Channels;
use line::Line;

/// How long a service that was told the end of a call has to close its stream.
const GOODBYE: Duration = Duration::from_secs(5);

/// The remote policies of a call.
pub(super) struct Remotes {
    channels: Channels,
    pipeline: Arc<Pipeline>,
    metrics: Arc<Metrics>,
    traceparent: Option<AsciiMetadataValue>,
    lines: Vec<Line>,
    /// The call's, for the log.
    span: Span,
}

/// What comes from one.
pub(super) enum Heard {
    Said(Box<FromService>),
    /// Its stream is over, and why.
    Lost(RemoteCause, String),
}

impl Remotes {
    pub(super) fn new(
        channels: Channels,
        pipeline: Arc<Pipeline>,
        metrics: Arc<Metrics>,
        trace: &SpanContext,
        span: Span,
    ) -> Self {
        let traceparent = traceparent(trace).parse().ok();
        Self { channels, pipeline, metrics, traceparent, lines: Vec::new(), span }
    }

    /// Tells the policy at that position something.
    pub(super) fn tell(&mut self, stage: usize, message: ToService) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.stage() == stage) {
            return line.tell(message);
        }
        let Some(policy) = self.pipeline.policies().get(stage) else { return };
        let Some(remote) = policy.remote() else { return };
        let metrics = self.metrics.remote(policy.name());
        metrics.told();
        let mut line = Line::open(stage, Arc::clone(remote), &self.channels, self.traceparent.clone(), metrics);
        line.tell(message);
        self.lines.push(line);
    }

    /// Nothing that the policy at that position says counts any more: if nobody lost it, it did what it may not.
    pub(super) fn leave(&mut self, stage: usize) {
        let line = self.lines.iter_mut().find(|line| line.stage() == stage && line.is_open());
        if let Some(line) = line {
            line.lose(RemoteCause::Fault);
            let policy = self.pipeline.policies().get(stage).map_or("", |policy| policy.name());
            warn!(parent: &self.span, policy, cause = RemoteCause::Fault.name(), "a remote policy is lost");
        }
    }

    /// Sets the clocks by what each owes.
    pub(super) fn mind(&mut self, mut owed: impl FnMut(usize) -> Option<Owed>) {
        for line in &mut self.lines {
            let owed = owed(line.stage());
            line.mind(owed);
        }
    }

    /// What comes next, and from which of them. May be dropped and called again.
    pub(super) async fn next(&mut self) -> (usize, Heard) {
        let (stage, heard) = poll_fn(|context| {
            for line in &mut self.lines {
                if let Poll::Ready(heard) = line.poll(context) {
                    return Poll::Ready((line.stage(), heard));
                }
            }
            Poll::Pending
        })
        .await;
        if let Heard::Lost(cause, why) = &heard {
            let policy = self.pipeline.policies().get(stage).map_or("", |policy| policy.name());
            warn!(parent: &self.span, policy, cause = cause.name(), why, "a remote policy is lost");
        }
        (stage, heard)
    }

    /// The call is over: those that were told have a moment to hear it. Nobody waits for that.
    pub(super) fn finish(&mut self) {
        let mut lines: Vec<Line> = self.lines.drain(..).filter(Line::is_open).collect();
        if lines.is_empty() {
            return;
        }
        tokio::spawn(async move {
            let closed = async {
                for line in &mut lines {
                    line.closed().await;
                }
            };
            let _ = timeout(GOODBYE, closed).await;
        });
    }
}
