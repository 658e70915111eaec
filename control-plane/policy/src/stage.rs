//! A stage of a pipeline: one policy, and what it has not decided yet.
//!
//! Stages speak to each other as the model's response speaks to the first one: each event carries the seq of the last
//! chunk that it was made from, and a [`Flow::Mark`] says that nothing made from earlier chunks will follow. What a
//! stage lets out is the decided prefix of what it took in, so that a mark never passes a chunk that any stage holds.

mod blocks;
mod consulted;
mod consults;
mod flow;
mod group;
mod judged;
mod keys;
mod levels;
mod link;
mod moot;
mod random;
mod remote;
mod run;
mod slots;
mod tally;

use std::sync::Arc;

use blocks::OpenBlocks;
use consults::Consults;
pub(crate) use consults::{Asking, parse};
pub(crate) use flow::{Ask, Common, End, Failure, Flow, Moving, Stages};
use judged::{How, Judged};
pub(crate) use keys::Keys;
pub(crate) use link::{Link, Word};
use luthien_proto::{
    Step,
    message::{Block, CallStarted, FailureMode, Interest, Level, Outcome, Severity},
};
pub(crate) use random::Random;
pub use remote::Owed;
pub(crate) use remote::Remote;
pub(crate) use run::guard;
use serde_json::json;
use slots::Slot;
pub(crate) use slots::Slots;
use tally::Tallies;

use crate::{
    draft::Draft,
    entry::{PolicyCoverage, interest_json},
    policy::{Hook, HookError, Hooks, Notes, Place, Policy, PolicyCall, RequestOutput, Stop, SummaryOutput},
};

/// One policy in one call.
pub(crate) struct Stage {
    index: usize,
    policy: Arc<dyn Policy>,
    /// `None`: the policy failed, and everything passes it.
    call: Option<Box<dyn PolicyCall + Send>>,
    hooks: Hooks,
    /// What the policy wanted when the call began.
    wanted: Interest,
    /// What it wants now.
    interest: Interest,
    /// Whether the policy has ended the response.
    ended: bool,
    /// Where the response was over, if it is: nothing more comes that the policy could wait for, but answers.
    over: Option<u64>,
    consults: Consults,
    random: Random,
    blocks: OpenBlocks,
    slots: Slots,
    tallies: Tallies,
}

impl Stage {
    /// Begins the policy's state for the call.
    pub fn begin(
        index: usize,
        policy: &Arc<dyn Policy>,
        started: &CallStarted,
        common: &mut Common,
    ) -> (Self, Result<(), Failure>) {
        let begun = guard(|| Ok((policy.hooks(), policy.interest(started), policy.begin(started))));
        let (hooks, interest, call, error) = match begun {
            Ok((hooks, interest, call)) => (hooks, interest, Some(call), None),
            Err(error) => (Hooks::NONE, Interest::all(Level::Record), None, Some(error)),
        };
        let (blocks, slots, tallies) = (OpenBlocks::new(hooks), Slots::new(index), Tallies::default());
        let policy = policy.clone();
        let (consults, random) = (Consults::default(), Random::new(started, policy.name()));
        let mut stage = Self {
            index,
            policy,
            call,
            hooks,
            wanted: interest,
            interest,
            ended: false,
            over: None,
            consults,
            random,
            blocks,
            slots,
            tallies,
        };
        let begun = error.map_or(Ok(()), |error| stage.fail("begin", &error, 0, common));
        (stage, begun)
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        self.policy.name()
    }

    /// What the policy wants.
    pub fn interest(&self) -> Interest {
        self.interest
    }

    /// From here on it wants no more than that.
    pub fn lower(&mut self, interest: Interest) {
        self.interest = self.interest.meet(interest);
    }

    fn lower_to(&mut self, interest: Option<Interest>, common: &mut Common) {
        if let Some(interest) = interest {
            self.lower(interest);
            common.lowered = true;
        }
    }

    /// Shows the policy the request; it may reject the call, or answer it. What it edits is edited.
    pub fn request(
        &mut self,
        started: &mut CallStarted,
        draft: &mut Draft,
        common: &mut Common,
    ) -> Result<Option<Stop>, Failure> {
        let (policy, notes) = (self.policy.clone(), &mut common.notes);
        let shown = &*started;
        let ran = self.run_on_call(Hook::Request, |call| {
            let notes = Notes { to: notes, policy: policy.name(), seq: 0 };
            let mut out = RequestOutput { notes, stop: None, edits: Vec::new(), misuse: None };
            call.on_request(shown, &mut out)?;
            out.misuse.map_or(Ok((out.stop, out.edits)), Err)
        });
        let ran = ran.map(|ran| {
            let (stop, edits) = ran?;
            draft.apply(&mut started.request, edits).map_err(|error| HookError(error.to_string()))?;
            Ok(stop)
        });
        match ran {
            None => Ok(None),
            Some(Ok(stop)) => Ok(stop),
            Some(Err(error)) => self.fail(Hook::Request.name(), &error, 0, common).map(|()| None),
        }
    }

    /// Takes in what the stage before lets out, and lets out what is decided.
    pub fn take(&mut self, flow: Flow, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        if self.call.is_none() {
            out.push(flow);
            return Ok(());
        }
        self.take_in(flow, common)?;
        self.slots.drain(&mut self.tallies, out);
        Ok(())
    }

    fn take_in(&mut self, flow: Flow, common: &mut Common) -> Result<(), Failure> {
        match flow {
            Flow::Event(moving) => self.event(moving, common)?,
            Flow::Mark { seq, gated, by } => self.slots.push(Slot::Mark { seq, gated, by }),
            Flow::End(end) => self.end(end, common)?,
        }
        Ok(())
    }

    /// A block that is only recorded came, whole.
    pub fn recorded(&mut self, block: &Block, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        self.recorded_in(block, common)?;
        self.slots.drain(&mut self.tallies, out);
        Ok(())
    }

    fn recorded_in(&mut self, block: &Block, common: &mut Common) -> Result<(), Failure> {
        if self.ended || self.call.is_none() {
            return Ok(());
        }
        self.blocks.enter_recorded(block);
        let (seq, arrived_us, event) = (block.last, block.last_arrived_us, Step::BlockStopped(block.started.block));
        let how = How::Recorded { stopped: block.stopped };
        self.judge(Judged { seq, arrived_us, event: event.into(), how }, common)
    }

    /// The call is over: the last hook runs.
    pub fn completed(&mut self, outcome: Outcome, common: &mut Common) {
        let (policy, notes) = (self.policy.clone(), &mut common.notes);
        let ran = self.run_on_call(Hook::ResponseCompleted, |call| {
            let notes = Notes { to: notes, policy: policy.name(), seq: 0 };
            call.on_response_completed(outcome, &mut SummaryOutput { notes })
        });
        if let Some(Err(error)) = ran {
            self.note_failure(Hook::ResponseCompleted.name(), &error, 0, common);
            self.call = None;
        }
    }

    /// What the policy saw.
    pub fn coverage(&mut self) -> PolicyCoverage {
        self.slots.tally_undecided(&mut self.tallies);
        PolicyCoverage {
            policy: self.policy.name().to_owned(),
            revision: None,
            failed: self.call.is_none(),
            interest: interest_json(&self.wanted),
            kinds: self.tallies.to_json(),
        }
    }

    fn event(&mut self, moving: Moving, common: &mut Common) -> Result<(), Failure> {
        let Moving { seq, arrived_us, event } = moving;
        let is_last = event.step.is_last();
        if is_last {
            self.cut_off(seq, arrived_us, common)?;
        }
        self.blocks.enter(&event);
        self.judge(Judged { seq, arrived_us, event, how: How::Came }, common)?;
        if is_last { self.must_be_decided(seq, common) } else { Ok(()) }
    }

    fn end(&mut self, end: End, common: &mut Common) -> Result<(), Failure> {
        self.cut_off(end.seq, end.arrived_us, common)?;
        if !self.ended {
            self.slots.push(Slot::End(end));
            self.must_be_decided(end.seq, common)?;
        }
        Ok(())
    }

    /// Nothing more will come that a policy could wait for, but answers of models.
    fn must_be_decided(&mut self, seq: u64, common: &mut Common) -> Result<(), Failure> {
        self.over = Some(seq);
        self.check_over(common)
    }

    fn check_over(&mut self, common: &mut Common) -> Result<(), Failure> {
        let Some(seq) = self.over else { return Ok(()) };
        match self.slots.undecided() {
            0 => Ok(()),
            _ if self.consults.is_waiting() => Ok(()),
            held => {
                let error = HookError(format!("it still held {held} chunks when the response was over"));
                self.fail("the end", &error, seq, common)
            }
        }
    }

    fn run_on_call<T>(
        &mut self,
        hook: Hook,
        run: impl FnOnce(&mut (dyn PolicyCall + Send)) -> Result<T, HookError>,
    ) -> Option<Result<T, HookError>> {
        let call = self.call.as_mut().filter(|_| self.hooks.has(hook))?;
        self.tallies.ran(Place::Call, hook);
        Some(guard(|| run(call.as_mut())))
    }

    /// The policy failed: it is never run again, and its failure mode says whether the call goes on. Where nothing at all
    /// is gated it does in any case: nothing could be kept from the client.
    fn fail(&mut self, doing: &str, error: &HookError, seq: u64, common: &mut Common) -> Result<(), Failure> {
        self.note_failure(doing, error, seq, common);
        self.call = None;
        self.quiet(common);
        match self.policy.failure_mode() {
            FailureMode::Closed if common.can_close => Err(Failure { index: self.index }),
            FailureMode::Closed | FailureMode::Open => {
                self.slots.pass_held();
                Ok(())
            }
        }
    }

    fn note_failure(&self, doing: &str, error: &HookError, seq: u64, common: &mut Common) {
        let policy = self.policy.name();
        let mut notes = Notes { to: &mut common.notes, policy, seq };
        let details = json!({ "doing": doing, "error": error.0 });
        notes.add(Severity::Error, format!("policy {policy} failed"), Some(details));
    }
}
