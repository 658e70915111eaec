//! One call, as the policy service sees it.

mod admission;
mod audit;
mod before;
mod begin;
mod beside;
mod intake;
mod recorder;
mod remotes;
mod shown;
mod stands;
mod verdicts;

use std::{collections::VecDeque, sync::Arc};

pub use audit::Audit;
pub use before::Before;
use begin::{Admitting, Beginning};
use beside::Beside;
pub use intake::Fault;
use intake::Intake;
use luthien_proto::{
    Chunk,
    message::{Block, CallEnded, CallResumed, CallStarted, FromService, Reply, ToService},
};
use recorder::Recorder;
use verdicts::Verdicts;

use crate::{
    CoverageEntry, Entry, EntryBody, OutcomeEntry, Pipeline, PolicySet, WaitedEntry,
    stage::{Common, Failure, Flow, Link, Moving, Stages},
};

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Say this to the proxy.
    Say(FromService),
    /// Put this on record.
    Record(Box<Entry>),
    /// Say this to the remote policy at that position of the pipeline. The first message opens its stream.
    Tell {
        /// The position.
        stage: usize,
        /// CallStarted first; CallEnded last.
        message: ToService,
    },
    /// Let go of the stream of the remote policy at that position: nothing that it says counts any more.
    Leave {
        /// The position.
        stage: usize,
    },
    /// The call is over: nothing follows.
    Ended,
}

/// A call: what the proxy says goes in, what it is answered and what is put on record comes out.
pub struct Session {
    pipeline: Arc<Pipeline>,
    audit: Audit,
    state: State,
    /// While it is being admitted.
    admitting: Option<Box<Admitting>>,
    intake: Intake,
    stages: Vec<Link>,
    common: Common,
    verdicts: Verdicts,
    beside: Beside,
    recorder: Recorder,
    outputs: VecDeque<Output>,
    /// Empty; kept for their memory.
    flows: Vec<Flow>,
    spare: Vec<Flow>,
    /// The Chunks, Block and Consultation messages that have come, and how many of them the proxy was told to be taken.
    taken: u64,
    seen: u64,
    fault: Option<Fault>,
}

/// admitting ──▶ open ──end, failure──▶ over ──CallEnded──▶ ended; admitting ──▶ stopped ──CallEnded──▶ ended
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A remote policy has not answered to the request.
    Admitting,
    /// What comes is judged.
    Open,
    /// The call does not go upstream: it was rejected, or answered.
    Stopped,
    /// The policies have ended the response: what comes is recorded, and not shown.
    Over,
    /// The call is over.
    Ended,
}

impl Session {
    /// Begins a call: the policies see the request. The first outputs are its first entries and the Admission; with a remote
    /// policy, this comes when it was heard. Under strict audit every other reply comes behind its entries too.
    pub fn begin(set: Arc<PolicySet>, started: CallStarted) -> Self {
        Self::begin_with(set, started, Before::default())
    }

    /// As [`Self::begin`], of a call of which something was decided before any policy sees it.
    pub fn begin_with(set: Arc<PolicySet>, started: CallStarted, before: Before) -> Self {
        let pipeline = set.pipeline_of(&started);
        begin::begin(Beginning { pipeline, started, before, resumed: None })
    }

    /// Takes over a call that another session has begun. What the proxy told that one it is told again, from the first
    /// message on. What had been applied is not said again; the record is that of the whole call.
    pub fn resume(set: Arc<PolicySet>, resumed: CallResumed, started: CallStarted) -> Self {
        Self::resume_with(set, resumed, started, Before::default())
    }

    /// As [`Self::resume`], of a call that had begun with [`Self::begin_with`]. The edits have to be the same.
    pub fn resume_with(set: Arc<PolicySet>, resumed: CallResumed, started: CallStarted, before: Before) -> Self {
        let pipeline = set.pipeline_of(&started);
        begin::begin(Beginning { pipeline, started, before, resumed: Some(resumed) })
    }

    /// Takes in what the proxy says.
    ///
    /// # Errors
    /// The proxy broke the protocol: the stream is to be closed with an error. After [`Self::lost`] the rest of the
    /// record comes out.
    pub fn handle(&mut self, message: ToService) -> Result<(), Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let handled = self.take(message);
        self.fault = handled.err();
        handled
    }

    /// The proxy's stream broke before `CallEnded`: what the client got is not known.
    pub fn lost(&mut self) {
        for stage in 0..self.stages.len() {
            if self.state == State::Admitting {
                let _ = self.remote_lost(stage, "the proxy was lost");
            }
        }
        if self.state != State::Ended {
            self.end(&CallEnded::unknown());
        }
    }

    /// What is to be done next; `None`: wait for more.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn take(&mut self, message: ToService) -> Result<(), Fault> {
        match (self.state, message) {
            (State::Admitting, message) => self.wait_with(message),
            (State::Ended, _) => Err(Fault::AfterEnd),
            (_, ToService::CallStarted(_)) => Err(Fault::StartedTwice),
            (_, ToService::CallResumed(_)) | (State::Stopped, ToService::Consultation(_)) => Err(Fault::Unasked),
            (State::Stopped, ToService::Chunks(_) | ToService::Block(_)) => Err(Fault::Stopped),
            (State::Open | State::Over, ToService::Chunks(chunks)) => {
                let gated = self.intake.chunks(&chunks)?;
                self.taken += 1;
                chunks.into_iter().zip(gated).for_each(|(chunk, gated)| self.chunk(chunk, gated));
                self.answer();
                Ok(())
            }
            (State::Open | State::Over, ToService::Block(block)) => {
                self.intake.block(&block)?;
                self.taken += 1;
                self.block(&block);
                self.note_beside();
                self.answer();
                Ok(())
            }
            (State::Open | State::Over, ToService::Consultation(consultation)) => self.consulted(&consultation),
            (State::Open | State::Over | State::Stopped, ToService::CallEnded(ended)) => {
                self.end(&ended);
                Ok(())
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk, gated: bool) {
        self.recorder.received(&chunk);
        self.verdicts.received();
        if self.state != State::Open {
            self.verdicts.not_shown();
            return;
        }
        let Chunk { seq, arrived_us, event } = chunk;
        let mut flows = std::mem::take(&mut self.flows);
        flows.push(Flow::Event(Moving { seq, arrived_us, event }));
        flows.push(Flow::Mark { seq, gated, by: Stages::default() });
        self.flow(0, flows);
        self.note_beside();
    }

    /// Lets what comes flow through the stages from `first` on.
    fn flow(&mut self, first: usize, mut flows: Vec<Flow>) {
        let mut out = std::mem::take(&mut self.spare);
        for index in first..self.stages.len() {
            for flow in flows.drain(..) {
                if let Err(failure) = self.stages[index].take(flow, &mut self.common, &mut out) {
                    // What the stages before had decided stands; what this one was given does not go on.
                    self.flow(index + 1, out);
                    return self.fail(failure);
                }
            }
            std::mem::swap(&mut flows, &mut out);
        }
        for flow in flows.drain(..) {
            self.settle(flow);
        }
        (self.flows, self.spare) = (flows, out);
    }

    fn block(&mut self, block: &Block) {
        self.recorder.recorded(block);
        if self.state != State::Open {
            return;
        }
        for index in 0..self.stages.len() {
            let mut out = Vec::new();
            let ran = self.stages[index].recorded(block, &mut self.common, &mut out);
            self.flow(index + 1, out);
            if let Err(failure) = ran {
                return self.fail(failure);
            }
        }
    }

    fn settle(&mut self, flow: Flow) {
        if self.state != State::Open {
            return;
        }
        if self.verdicts.settle(flow, &mut self.common, &mut self.recorder) {
            self.over();
        }
    }

    fn fail(&mut self, failure: Failure) {
        if self.state == State::Open {
            self.verdicts.fail(failure, &mut self.common, &mut self.recorder);
            self.over();
        }
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.recorder.over();
        self.quiet();
    }

    /// Answers a message of the proxy, if it is taken.
    fn answer(&mut self) {
        if self.speak() == 0 && self.seen >= self.taken {
            self.say(Reply::Working);
        }
    }

    /// Says what there is to say, and puts on record what there is; how many messages that were.
    fn speak(&mut self) -> usize {
        self.tell_remotes();
        let before = self.seen;
        if !self.is_behind() {
            self.seen = self.seen.max(self.taken);
        }
        self.verdicts.flush();
        if self.state != State::Open || !self.common.can_close {
            self.verdicts.note_rest(&mut self.common, &mut self.recorder);
        }
        // Questions first: while a model is asked, a proxy has patience with what is held.
        let mut replies = self.take_beside();
        let mut verdicts = self.verdicts.take();
        if let Some(verdict) = verdicts.last_mut() {
            verdict.cancel_upstream |= std::mem::take(&mut self.common.cancel_upstream);
        }
        replies.extend(verdicts.into_iter().map(Reply::Verdict));
        let said = replies.len();
        match self.audit {
            Audit::Relaxed => {
                self.say_all(replies, before);
                self.record();
            }
            Audit::Strict => {
                if said > 0 {
                    self.recorder.catch_up();
                }
                self.record();
                self.say_all(replies, before);
            }
        }
        said
    }

    fn record(&mut self) {
        self.outputs.extend(self.recorder.take().into_iter().map(|entry| Output::Record(Box::new(entry))));
    }

    /// Only the last of them counts what was taken: a proxy whose messages are all counted waits for nothing more.
    fn say_all(&mut self, mut replies: Vec<Reply>, before: u64) {
        let last = replies.pop();
        let first = replies.into_iter().map(|message| Output::Say(FromService { message, seen: before }));
        self.outputs.extend(first);
        last.into_iter().for_each(|reply| self.say(reply));
    }

    fn say(&mut self, message: Reply) {
        self.outputs.push_back(Output::Say(FromService { message, seen: self.seen }));
    }

    fn end(&mut self, ended: &CallEnded) {
        self.recorder.at(ended.ended_us);
        self.state = State::Ended;
        self.recorder.close();
        self.verdicts.note_rest(&mut self.common, &mut self.recorder);
        for stage in &mut self.stages {
            stage.completed(ended, &mut self.common);
        }
        let policies = self.stages.iter_mut().flat_map(Link::coverage).collect();
        let revision = self.pipeline.revision().to_owned();
        self.recorder.push(EntryBody::Coverage(CoverageEntry { revision, policies }));
        let outcome = self.outcome(ended);
        self.recorder.push(EntryBody::Outcome(outcome));
        self.record();
        self.tell_remotes();
        self.outputs.push_back(Output::Ended);
    }

    fn outcome(&mut self, ended: &CallEnded) -> OutcomeEntry {
        let counts = self.verdicts.counts();
        OutcomeEntry {
            outcome: ended.outcome.name(),
            reason: ended.reason.clone(),
            fault: self.fault.map(|fault| fault.to_string()),
            opened: ended.opened.clone().map(Into::into),
            status: ended.status,
            upstream_status: ended.upstream_status,
            written: ended.written,
            upstream_first_us: ended.upstream_first_us,
            client_first_us: ended.client_first_us,
            ended_us: ended.ended_us,
            waited: WaitedEntry::of(ended.waited),
            usage: self.recorder.usage(),
            received: counts.received,
            passed: counts.passed,
            replaced: counts.replaced,
            dropped: counts.dropped,
            held: counts.held(),
            not_shown: counts.not_shown,
            annotations: std::mem::take(&mut self.common.notes).into_iter().map(Into::into).collect(),
        }
    }
}
