//! The stage of a policy that somebody else serves.
//!
//! It speaks to the service as a proxy does: what it takes in is told, numbered from 1 one event after the other, and
//! what the service gates is held in [`Slots`] until a verdict settles it. All that the service changes hangs on an event that it
//! gates, so that what becomes of a call depends on what it said and not on when. What it may not say is a failure of this
//! stage, and of no other.

mod grammar;
mod heard;
mod keys;
mod levels;
mod numbers;
mod questions;
mod told;
mod verdict;

use std::{collections::VecDeque, sync::Arc};

use grammar::Grammar;
use keys::Keys;
use levels::Levels;
use luthien_proto::{
    ToService,
    event::{Event, FinishReason},
    message::{
        AdmissionDecision, Block, CallEnded, CallStarted, Consultation, Edit, FailureMode, Interest, Level, Severity,
    },
    proxy::{Reporter, View},
    request::is_named,
};
use numbers::Numbers;
use questions::Questions;
use serde_json::json;
use verdict::Last;

use super::{
    Slots,
    consults::Standing,
    flow::{Common, Failure, Flow},
    link::Word,
    slots::Slot,
    tally::Tallies,
};
use crate::{
    draft::Draft,
    entry::{PolicyCoverage, interest_json},
    policies,
    policy::{ConsultId, Held, HookError, Notes, Policy, Stop},
};

/// What is told at once, at most; a larger chunk goes alone.
const BATCH_BYTES: usize = 256 << 10;

/// One policy that somebody else serves, in one call.
pub(crate) struct Remote {
    index: usize,
    policy: Arc<dyn Policy>,
    remote: Arc<policies::Remote>,
    phase: Phase,
    /// The call, until it is told.
    first: Option<Box<CallStarted>>,
    /// What it wanted when it admitted the call, and what it wants now.
    wanted: Interest,
    interest: Interest,
    revision: Option<String>,
    levels: Levels,
    view: View,
    keys: Keys,
    numbers: Numbers,
    reporter: Reporter,
    questions: Questions,
    slots: Slots,
    /// What it is told of and has not settled, in order, by its number.
    unsettled: VecDeque<(u64, Held)>,
    /// What it put behind all that it had settled: it stands before the next event that it gates.
    behind: Option<Behind>,
    /// The last chunk that it has settled.
    frontier: u64,
    /// The last event of the response, if it has come.
    last: Option<(u64, Last)>,
    /// Whether its verdict has ended the response, and whether that has left the stage.
    ends: bool,
    ended: bool,
    grammar: Grammar,
    tallies: Tallies,
    /// About how many bytes its verdicts were.
    said: usize,
    /// Rises with whatever gets the call on.
    progress: u64,
    /// Whether its stream is to be let go.
    leaves: bool,
}

/// How far it is with the call.
enum Phase {
    /// It was not told of it.
    Unasked,
    /// It owes its Admission.
    Asked,
    /// It has said so, and nobody has acted on it.
    Answered(Box<AdmissionDecision>),
    /// It judges the response.
    Judging,
    /// It failed: everything passes.
    Failed,
}

/// What stands behind all that was settled.
enum Behind {
    Inject(Vec<Event>),
    End { events: Vec<Event>, reason: Option<FinishReason>, cancel_upstream: bool },
}

/// What a remote policy owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Whether it is waited for. Otherwise it may wait itself, for more of the response, and has only to be alive.
    pub decision: bool,
    /// Rises with whatever it gets on with.
    pub progress: u64,
}

impl Remote {
    /// Nothing is told before the request is shown.
    pub fn begin(index: usize, policy: &Arc<dyn Policy>, remote: Arc<policies::Remote>, started: &CallStarted) -> Self {
        let nothing = Interest::all(Level::Record);
        Self {
            index,
            policy: Arc::clone(policy),
            remote,
            phase: Phase::Unasked,
            first: None,
            wanted: nothing,
            interest: nothing,
            revision: None,
            levels: Levels::default(),
            view: View::new(&[]),
            keys: Keys::new(index),
            numbers: Numbers::default(),
            reporter: Reporter::new(BATCH_BYTES),
            questions: Questions::default(),
            slots: Slots::new(index),
            unsettled: VecDeque::new(),
            behind: None,
            frontier: 0,
            last: None,
            ends: false,
            ended: false,
            grammar: Grammar::new(started.dialect),
            tallies: Tallies::default(),
            said: 0,
            progress: 0,
            leaves: false,
        }
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        self.policy.name()
    }

    /// What it wants.
    pub fn interest(&self) -> Interest {
        self.interest
    }

    /// From here on it wants no more than that.
    pub fn lower(&mut self, interest: Interest) {
        self.interest = self.interest.meet(interest);
    }

    /// Tells it of the call, and acts on its Admission once it has come.
    pub fn request(
        &mut self,
        started: &mut CallStarted,
        draft: &mut Draft,
        common: &mut Common,
    ) -> Result<Word, Failure> {
        match std::mem::replace(&mut self.phase, Phase::Judging) {
            Phase::Unasked => {
                self.first = Some(Box::new(told::call(started, &self.remote, common)));
                self.phase = Phase::Asked;
                Ok(Word::Waits)
            }
            Phase::Asked => {
                self.phase = Phase::Asked;
                Ok(Word::Waits)
            }
            Phase::Answered(decision) => match *decision {
                AdmissionDecision::Reject(reject) => Ok(Word::Stops(self.index, Stop::Reject(reject))),
                AdmissionDecision::Answer(answer) => Ok(Word::Stops(self.index, Stop::Answer(answer))),
                AdmissionDecision::Forward(forward) => {
                    let edited = edit(forward.edits, started, draft);
                    edited.or_else(|error| self.fail(&error, common)).map(|()| Word::Goes)
                }
            },
            Phase::Judging => Ok(Word::Goes),
            Phase::Failed => {
                self.phase = Phase::Failed;
                Ok(Word::Goes)
            }
        }
    }

    /// Takes in what the stage before lets out, and lets out what is decided.
    pub fn take(&mut self, flow: Flow, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        match flow {
            Flow::Event(moving) => self.event(moving, common),
            Flow::Mark { seq, gated, by } => self.slots.push(Slot::Mark { seq, gated, by }),
            Flow::End(end) => self.end(end, common),
        }
        self.drain(common, out)
    }

    /// A block that is only recorded came, whole.
    pub fn recorded(&mut self, block: &Block) {
        if self.is_judging() && !self.ended {
            self.tell_block(block);
        }
    }

    /// How many consults of it there were.
    pub fn asked(&self) -> u64 {
        self.questions.asked()
    }

    /// How a consult of it stands.
    pub fn standing(&self, id: ConsultId) -> Option<Standing> {
        self.questions.standing(id)
    }

    /// The answer to a consult came.
    pub fn consulted(&mut self, id: ConsultId, consultation: &Consultation) {
        if let Some(answer) = self.questions.answered(id, consultation) {
            self.reporter.consulted(answer);
        }
    }

    /// Nothing of the response depends on it any more.
    pub fn quiet(&mut self, common: &mut Common) {
        self.questions.cancel_all(self.policy.name(), common);
    }

    /// The call is over: it is told how.
    pub fn completed(&mut self, ended: &CallEnded) {
        if !matches!(self.phase, Phase::Unasked | Phase::Failed) {
            self.reporter.end(self.numbers.ended(ended));
        }
    }

    /// What it is to be told next.
    pub fn next_told(&mut self) -> Option<ToService> {
        match self.phase {
            Phase::Unasked | Phase::Failed => None,
            Phase::Asked | Phase::Answered(_) | Phase::Judging => {
                self.first.take().map(ToService::CallStarted).or_else(|| self.reporter.next_told())
            }
        }
    }

    /// Whether its stream is to be let go, of which nobody was told.
    pub fn leaves(&mut self) -> bool {
        std::mem::take(&mut self.leaves)
    }

    /// Whether it has not taken all that there is to tell.
    pub fn is_behind(&self) -> bool {
        self.is_judging() && !self.reporter.is_idle()
    }

    /// What it owes; `None`: nothing.
    pub fn owed(&self) -> Option<Owed> {
        let progress = self.progress;
        match self.phase {
            Phase::Asked => Some(Owed { decision: true, progress }),
            Phase::Unasked | Phase::Answered(_) | Phase::Failed => None,
            Phase::Judging => {
                let (is_behind, asks) = (!self.reporter.is_idle(), self.questions.is_waiting());
                let holds = !self.unsettled.is_empty();
                let decision = is_behind || (holds && self.last.is_some() && !asks);
                (is_behind || asks || holds).then_some(Owed { decision, progress })
            }
        }
    }

    /// What it saw.
    pub fn coverage(&mut self) -> PolicyCoverage {
        self.slots.tally_undecided(&mut self.tallies);
        PolicyCoverage {
            policy: self.policy.name().to_owned(),
            revision: self.revision.clone(),
            failed: matches!(self.phase, Phase::Failed),
            interest: interest_json(&self.wanted),
            kinds: self.tallies.to_json(),
        }
    }

    fn is_judging(&self) -> bool {
        matches!(self.phase, Phase::Judging)
    }

    /// Lets out the decided prefix, as far as it can be written.
    fn drain(&mut self, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        while let Some(mut slot) = self.slots.pop_decided(&mut self.tallies) {
            if let Slot::Event(event) = &mut slot
                && let Err(error) = self.grammar.check(event)
            {
                self.fail(&HookError(format!("its events can't be written: {error}")), common)?;
                self.grammar.let_by(event);
            }
            self.slots.let_out(slot, out);
        }
        Ok(())
    }

    /// It failed: it is not told and not heard any more, and its failure mode says whether the call goes on.
    fn fail(&mut self, error: &HookError, common: &mut Common) -> Result<(), Failure> {
        let policy = self.policy.name();
        let mut notes = Notes { to: &mut common.notes, policy, seq: self.numbers.seq_of(self.frontier) };
        notes.add(
            Severity::Error,
            format!("policy {policy} failed"),
            Some(json!({ "doing": "remote", "error": error.0 })),
        );
        self.phase = Phase::Failed;
        (self.first, self.leaves) = (None, true);
        self.quiet(common);
        match self.policy.failure_mode() {
            FailureMode::Closed if common.can_close => Err(Failure { index: self.index }),
            FailureMode::Closed | FailureMode::Open => {
                self.slots.pass_held();
                (self.unsettled, self.behind) = (VecDeque::new(), None);
                self.grammar.be_lenient();
                self.interest = Interest::all(Level::Record);
                common.lowered = true;
                Ok(())
            }
        }
    }
}

/// What a data plane would refuse is refused here.
fn edit(edits: Vec<Edit>, started: &mut CallStarted, draft: &mut Draft) -> Result<(), HookError> {
    let named = edits.iter().find_map(|edit| match edit {
        Edit::Field(name, _) => is_named(name).then_some(name),
        Edit::ReplaceMessage(..)
        | Edit::InsertMessage(..)
        | Edit::DropMessage(_)
        | Edit::System(_)
        | Edit::Tools(_)
        | Edit::Sampling(_) => None,
    });
    if named.is_some() {
        return Err(HookError("it edited a field that the request model names".to_owned()));
    }
    draft.apply(&mut started.request, edits).map_err(|error| HookError(error.to_string()))
}
