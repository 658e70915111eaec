//! Drives one call: carries what happens to it in, and what it wants done out. Decides nothing.

use std::{pin::pin, time::Instant};

use luthien_call::{
    call::{Call, Input, Output},
    conversion::Edited,
};
use luthien_proto::{Request, message::CallEnded};
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::{Span, info, warn};

use crate::{
    alarm::Alarm,
    budget::Share,
    client::Client,
    consults::Consults,
    headers::Heads,
    intake::Onward,
    policy_service::Conversation,
    reports::Reports,
    upstream::{Exchange, Upstreams},
    watch::Watch,
};

/// A call and its three sides.
pub(crate) struct Driver<'a> {
    pub(crate) call: Call,
    pub(crate) client: Client,
    pub(crate) upstreams: &'a Upstreams,
    pub(crate) upstream: Exchange,
    pub(crate) onward: Onward,
    pub(crate) heads: Heads,
    pub(crate) service: Conversation<'a>,
    pub(crate) consults: Consults<'a>,
    pub(crate) reports: &'a Reports,
    /// The grace of a shutdown is over.
    pub(crate) cut: CancellationToken,
    pub(crate) watch: Watch<'a>,
    pub(crate) share: Share<'a>,
    pub(crate) began: Instant,
    /// What log lines of the call say. Entered where something is logged, which is seldom.
    pub(crate) span: Span,
}

/// The clock of the runtime, which a simulation may have replaced.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Driver<'_> {
    /// Until nothing is left to do, whether or not the client is still there.
    pub(crate) async fn run(mut self: Box<Self>) {
        let token = self.cut.clone();
        let mut cut = pin!(token.cancelled());
        let (mut is_cut, mut is_spent) = (false, false);
        let mut alarm = Alarm::default();
        loop {
            while let Some(output) = self.call.poll() {
                self.watch.output(&output);
                if let Some(end) = self.act(output) {
                    self.client.flush().await;
                    return self.end(end);
                }
            }
            if let Some(input) = self.client.hand_over() {
                self.hear(input);
                continue;
            }
            self.watch.settled(&self.call);
            let was_spent = std::mem::replace(&mut is_spent, self.share.hold(self.call.window_bytes()));
            if is_spent != was_spent {
                self.call.throttle(is_spent, now());
            }
            let (wanted, reads) = (self.call.wants_upstream(), self.call.reads_upstream());
            let deadline = self.call.deadline().map(tokio::time::Instant::from_std);
            // In this order the same happenings make the same call. Nothing can keep what stands above it waiting: a deadline
            // that has passed moves, a client takes only what was written, and the upstream is read when nothing else is to do.
            let input = select! {
                biased;
                () = cut.as_mut(), if !is_cut => {
                    is_cut = true;
                    self.upstream.break_off("the data plane is shutting down");
                    continue;
                }
                () = self.share.freed(), if is_spent => continue,
                () = alarm.ring(deadline) => Input::Tick,
                input = self.client.next() => input,
                input = self.service.next() => input,
                input = self.consults.next() => input,
                input = self.upstream.next(wanted, reads) => input,
            };
            self.hear(input);
        }
    }

    fn hear(&mut self, input: Input) {
        self.watch.input(&input);
        self.call.handle(input, now());
    }

    fn act(&mut self, output: Output) -> Option<Result<(), String>> {
        match output {
            Output::OpenService => self.service.open(),
            Output::Tell(message) => self.service.tell(message),
            Output::CloseService => self.service.close(),
            Output::DropService => self.service.lose(),
            Output::Ended(ended) => self.log_end(&ended),
            Output::Report(report) => self.reports.push(*report),
            Output::Consult(question) => self.span.in_scope(|| self.consults.ask(*question)),
            Output::CancelConsult(id) => self.consults.cancel(&id),
            Output::Forward(None) => self.upstream.forward(self.upstreams),
            Output::Forward(Some(edited)) => self.forward_edited(*edited),
            Output::CancelUpstream => self.upstream.cancel(),
            Output::Head(head) => self.client.send_head(self.heads.answer(&head, self.upstream.take_head().as_ref())),
            Output::Write(bytes) => self.client.write(bytes),
            Output::Finish => self.client.finish(),
            Output::Abort => self.client.abort(),
            Output::Done(end) => return Some(end),
        }
        None
    }

    /// Sends what policies have made of the request.
    fn forward_edited(&mut self, request: Request) {
        match self.onward.edited(request) {
            Ok(Edited { body, lost, response }) => {
                self.heads.dropped(&lost.dropped);
                if let Some(response) = response {
                    self.call.convert_with(response);
                }
                self.upstream.change_body(body);
                self.upstream.forward(self.upstreams);
            }
            Err(why) => {
                self.span.in_scope(|| warn!(error = %why, "a request that policies changed can't be sent"));
                self.upstream.fail_to_send("the request as policies changed it can't be sent");
            }
        }
    }

    fn end(&mut self, end: Result<(), String>) {
        // Where nobody was there any more to be told.
        if !self.watch.has_ended() {
            self.log_end(&self.call.ended());
        }
        self.log_fault(end);
        self.watch.done(&self.call);
    }

    fn log_end(&self, ended: &CallEnded) {
        let _span = self.span.enter();
        info!(
            outcome = ended.outcome.name(),
            status = ended.status,
            upstream_status = ended.upstream_status,
            duration_ms = now().saturating_duration_since(self.began).as_millis() as u64,
            reason = ended.reason,
            "call ended"
        );
    }

    fn log_fault(&self, end: Result<(), String>) {
        if let Err(fault) = end {
            self.span.in_scope(|| warn!(fault, "call ended with a fault"));
        }
    }
}
