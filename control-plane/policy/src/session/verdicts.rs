//! What leaves the last stage becomes verdicts.

use luthien_proto::{
    Event, Step,
    event::CallError,
    message::{Annotation, Applied, Decision, Verdict},
};

use super::{
    recorder::{Decided, Recorder},
    stands::Stands,
};
use crate::{
    EntryBody,
    stage::{Common, End, Failure, Flow, Stages},
};

/// Verdicts in the making.
#[derive(Debug)]
pub(super) struct Verdicts {
    /// The names of the pipeline's policies.
    names: Vec<String>,
    /// The `through` of the last verdict.
    frontier: u64,
    /// What was said before the call was taken over.
    stands: Stands,
    /// The last of the chunks that passed since then, if any.
    passed: Option<u64>,
    /// What has come since the last mark.
    pending: Vec<Event>,
    /// Notes that the next verdict is to carry.
    notes: Vec<Annotation>,
    said: Vec<Verdict>,
    counts: Counts,
}

/// How many chunks were received, and what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub received: u64,
    pub passed: u64,
    pub replaced: u64,
    pub dropped: u64,
    pub not_shown: u64,
}

impl Counts {
    /// The chunks that were never decided.
    pub fn held(&self) -> u64 {
        self.received - self.passed - self.replaced - self.dropped - self.not_shown
    }
}

impl Verdicts {
    pub fn new(names: Vec<String>, applied: Applied) -> Self {
        let (pending, notes, said) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            names,
            frontier: 0,
            stands: Stands::new(applied),
            passed: None,
            pending,
            notes,
            said,
            counts: Counts::default(),
        }
    }

    pub fn received(&mut self) {
        self.counts.received += 1;
    }

    pub fn not_shown(&mut self) {
        self.counts.not_shown += 1;
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The verdicts since the last time.
    pub fn take(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.said)
    }

    /// Takes in what leaves the last stage; `true`: the response is over.
    pub fn settle(&mut self, flow: Flow, common: &mut Common, recorder: &mut Recorder) -> bool {
        match flow {
            Flow::Event(moving) => {
                self.pending.push(moving.event);
                false
            }
            Flow::Mark { seq, gated, by } if by.is_empty() => {
                self.pass(seq, gated, common, recorder);
                false
            }
            Flow::Mark { seq, by, .. } => {
                self.replace(seq, by, common, recorder);
                false
            }
            Flow::End(end) => {
                self.end(&end, common, recorder);
                true
            }
        }
    }

    /// A closed policy failed: the response fails where it stands.
    pub fn fail(&mut self, failure: Failure, common: &mut Common, recorder: &mut Recorder) {
        self.flush();
        self.pending.clear();
        let policy = self.names.get(failure.index).cloned().unwrap_or_default();
        let message = format!("policy {policy} failed");
        let failed = Event::from(Step::Failed(CallError { status: 500, message, ..CallError::default() }));
        self.frontier = self.frontier.max(self.stands.settled());
        let seq = self.frontier;
        self.notes.append(&mut common.notes);
        recorder.decided(Decided {
            seq,
            decision: "fail",
            is_dropped: false,
            policies: vec![policy],
            annotations: self.notes.clone(),
            cancel_upstream: true,
        });
        recorder.settled(seq, std::slice::from_ref(&failed), true);
        self.say(seq, Decision::Replace(vec![failed]), true);
    }

    /// What passed is said in one verdict.
    pub fn flush(&mut self) {
        if let Some(through) = self.passed.take() {
            self.say(through, Decision::Pass, false);
        }
    }

    /// Puts the notes on record that no verdict will carry.
    pub fn note_rest(&mut self, common: &mut Common, recorder: &mut Recorder) {
        self.notes.clear();
        for note in common.notes.drain(..) {
            recorder.push(EntryBody::Note(note.into()));
        }
    }

    fn pass(&mut self, seq: u64, gated: bool, common: &mut Common, recorder: &mut Recorder) {
        self.counts.passed += 1;
        if gated {
            self.passed = Some(seq);
        }
        for note in notes_up_to(seq, common) {
            recorder.push(EntryBody::Note(note.clone().into()));
            // A verdict carries what is said of the chunks that need it: of others there may be any number before it.
            if gated {
                self.notes.push(note);
            }
        }
        recorder.settled(seq, &self.pending, false);
        self.pending.clear();
    }

    fn replace(&mut self, seq: u64, by: Stages, common: &mut Common, recorder: &mut Recorder) {
        self.flush();
        let events = std::mem::take(&mut self.pending);
        self.changed("replace", seq, by, &events, false, common, recorder);
        self.say(seq, Decision::Replace(events), false);
    }

    fn end(&mut self, end: &End, common: &mut Common, recorder: &mut Recorder) {
        self.flush();
        let events = std::mem::take(&mut self.pending);
        self.changed("end", end.seq, end.by, &events, end.cancel_upstream, common, recorder);
        self.say(end.seq, Decision::End { events, reason: end.reason }, end.cancel_upstream);
        // What came behind it while a policy had not decided yet.
        self.counts.not_shown += self.counts.held();
    }

    #[expect(clippy::too_many_arguments, reason = "one decision, in one place")]
    fn changed(
        &mut self,
        decision: &'static str,
        seq: u64,
        by: Stages,
        events: &[Event],
        cancel_upstream: bool,
        common: &mut Common,
        recorder: &mut Recorder,
    ) {
        let is_dropped = events.is_empty();
        self.counts.dropped += u64::from(is_dropped);
        self.counts.replaced += u64::from(!is_dropped);
        let policies = by.iter().filter_map(|index| self.names.get(index).cloned()).collect();
        let annotations: Vec<Annotation> = notes_up_to(seq, common).collect();
        self.notes.extend(annotations.iter().cloned());
        recorder.decided(Decided { seq, decision, is_dropped, policies, annotations, cancel_upstream });
        recorder.settled(seq, events, true);
    }

    fn say(&mut self, through: u64, decision: Decision, cancel_upstream: bool) {
        let injects = through == self.frontier;
        self.frontier = through;
        let annotations = std::mem::take(&mut self.notes);
        if let Some(decision) = self.stands.rest_of(through, injects, decision) {
            self.said.push(Verdict { through, decision, annotations, cancel_upstream });
        }
    }
}

/// The notes about chunks up to `seq`. A later stage may see an earlier chunk later, so they come in no order.
fn notes_up_to(seq: u64, common: &mut Common) -> std::vec::IntoIter<Annotation> {
    let (due, rest) = std::mem::take(&mut common.notes).into_iter().partition::<Vec<_>, _>(|note| note.seq <= seq);
    common.notes = rest;
    due.into_iter()
}
