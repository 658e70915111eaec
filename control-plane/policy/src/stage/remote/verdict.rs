//! A remote policy's verdicts.

use luthien_proto::{
    Event, Step,
    event::{CallError, FinishReason},
    message::{Annotation, Decision, Verdict},
};

use super::{Behind, Remote, told::size};
use crate::{
    policy::{Held, HookError, Ruling},
    stage::flow::Common,
};

/// How much it may say in a call, in bytes: what it makes waits for what stands before it.
const SAID_MAX: usize = 64 << 20;

/// The last event of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Ended,
    /// With that status.
    Failed(u16),
    /// None: a policy before it has ended the response.
    ByPolicy,
}

impl Remote {
    pub(super) fn verdict(&mut self, verdict: Verdict, common: &mut Common) -> Result<(), HookError> {
        let Verdict { through, decision, annotations, cancel_upstream } = verdict;
        self.check(through, &decision, cancel_upstream)?;
        self.weigh(&decision, &annotations)?;
        let settled = std::mem::replace(&mut self.frontier, through);
        let mut due = Vec::new();
        while let Some((_, held)) = self.unsettled.pop_front_if(|(number, _)| *number <= through) {
            due.push(held);
        }
        self.progress += u64::from(!due.is_empty());
        self.note(annotations, common);
        let last = self.last.filter(|(number, _)| settled < *number && *number <= through).map(|(_, last)| last);
        match decision {
            Decision::Pass => {
                common.cancel_upstream |= cancel_upstream;
                due.into_iter().for_each(|held| self.rule(held, Ruling::Pass));
                Ok(())
            }
            Decision::Replace(events) => {
                let mut events = self.keys.made(events)?;
                let fails = events.iter().position(|event| matches!(event.step, Step::Failed(_)));
                if let (Some(at), None) = (fails, last) {
                    // Nothing comes behind it.
                    events.truncate(at + 1);
                    return self.end_with(due, events, None, true, common);
                }
                common.cancel_upstream |= cancel_upstream;
                self.replace(due, events, last)
            }
            Decision::End { events, reason } => {
                let events = self.keys.made(events)?;
                if events.iter().any(|event| matches!(event.step, Step::Ended)) {
                    return wrong("it ends the response among its events");
                }
                self.end_with(due, events, reason, cancel_upstream, common)
            }
        }
    }

    fn check(&self, through: u64, decision: &Decision, cancel_upstream: bool) -> Result<(), HookError> {
        let (sent, settled) = (self.reporter.sent_seq(), self.frontier);
        if self.ends {
            return wrong("a verdict came behind the one that ended the response");
        }
        if through > sent {
            return Err(HookError(format!("a verdict is on chunk {through}, and {sent} is the last that it was told")));
        }
        if through < settled {
            return Err(HookError(format!("a verdict is on chunk {through}, and {settled} was settled before")));
        }
        let only_passes = *decision == Decision::Pass && !cancel_upstream;
        if !self.wanted.gates() && !only_passes {
            return wrong("a verdict would change a response of which it gates nothing");
        }
        Ok(())
    }

    fn weigh(&mut self, decision: &Decision, annotations: &[Annotation]) -> Result<(), HookError> {
        let events = match decision {
            Decision::Pass => &[][..],
            Decision::Replace(events) | Decision::End { events, .. } => events.as_slice(),
        };
        let details = |note: &Annotation| note.details.as_ref().map_or(0, |details| details.to_string().len());
        let notes = annotations.iter().map(|note| note.summary.len() + details(note));
        self.said += events.iter().map(size).chain(notes).sum::<usize>();
        if self.said > SAID_MAX { wrong("it says more than there is room for") } else { Ok(()) }
    }

    /// They are its own, whatever they say.
    fn note(&self, annotations: Vec<Annotation>, common: &mut Common) {
        let policy = self.policy.name();
        let own =
            |note: Annotation| Annotation { policy: policy.to_owned(), seq: self.numbers.seq_of(note.seq), ..note };
        common.notes.extend(annotations.into_iter().map(own));
    }

    /// `last`: the last event of the response, if it is settled by this.
    fn replace(&mut self, due: Vec<Held>, mut events: Vec<Event>, last: Option<Last>) -> Result<(), HookError> {
        let said = events.pop_if(|event| event.step.is_last());
        if events.iter().chain(said.iter().filter(|_| last.is_none())).any(|event| event.step.is_last()) {
            return wrong("it ends the response where it does not end");
        }
        let end = last.map(|last| last.instead(said)).transpose()?.flatten();
        let Some((first, rest)) = due.split_first() else {
            return self.inject(events);
        };
        let Some((final_, between)) = rest.split_last() else {
            events.extend(end);
            self.rule(*first, Ruling::Replace(events));
            return Ok(());
        };
        self.rule(*first, Ruling::Replace(events));
        between.iter().for_each(|held| self.rule(*held, Ruling::Replace(Vec::new())));
        self.rule(*final_, Ruling::Replace(end.into_iter().collect()));
        Ok(())
    }

    /// Nothing is settled by it: the events stand before the next one that is gated.
    fn inject(&mut self, events: Vec<Event>) -> Result<(), HookError> {
        if let Some((_, next)) = self.unsettled.front() {
            self.slots.put_before(*next, events);
            return Ok(());
        }
        if self.last.is_some() && !events.is_empty() {
            return wrong("it put events behind the end of the response");
        }
        match &mut self.behind {
            Some(Behind::Inject(before)) => before.extend(events),
            Some(Behind::End { .. }) | None => {
                self.behind = (!events.is_empty()).then_some(Behind::Inject(events));
            }
        }
        Ok(())
    }

    /// The response ends behind what is due, or before the next event that is gated.
    fn end_with(
        &mut self,
        due: Vec<Held>,
        mut events: Vec<Event>,
        reason: Option<FinishReason>,
        cancel_upstream: bool,
        common: &mut Common,
    ) -> Result<(), HookError> {
        self.ends = true;
        let (first, at) = match (due.split_last(), self.unsettled.front()) {
            (Some((at, before)), _) => (before.split_first(), *at),
            (None, Some((_, next))) => (None, *next),
            (None, None) if self.last.is_some() => return wrong("it ended a response that is over"),
            (None, None) => {
                if let Some(Behind::Inject(before)) = self.behind.take() {
                    events.splice(..0, before);
                }
                self.behind = Some(Behind::End { events, reason, cancel_upstream });
                return Ok(());
            }
        };
        if let Some((first, between)) = first {
            self.rule(*first, Ruling::Replace(std::mem::take(&mut events)));
            between.iter().for_each(|held| self.rule(*held, Ruling::Replace(Vec::new())));
        }
        self.slots.end(at, Ruling::End { events, reason, cancel_upstream });
        self.ended = true;
        self.unsettled.clear();
        self.quiet(common);
        Ok(())
    }

    fn rule(&mut self, held: Held, ruling: Ruling) {
        let settled = self.slots.settle(held, ruling);
        debug_assert!(settled, "what is not settled is held");
    }
}

impl Last {
    /// What stands in its place: what was said, and if nothing was, an end all the same.
    fn instead(self, said: Option<Event>) -> Result<Option<Event>, HookError> {
        let is_end = said.as_ref().is_some_and(|event| event.step == Step::Ended);
        match (self, said) {
            (Self::Ended, said) => Ok(Some(said.unwrap_or_else(|| Step::Ended.into()))),
            (Self::Failed(_), Some(_)) if is_end => wrong("it ends a response that failed"),
            (Self::Failed(_), Some(said)) => Ok(Some(said)),
            (Self::Failed(status), None) => {
                let message = "The upstream's response failed".to_owned();
                Ok(Some(Step::Failed(CallError { status, message, ..CallError::default() }).into()))
            }
            (Self::ByPolicy, said) => Ok(said.filter(|_| !is_end)),
        }
    }
}

fn wrong<T>(what: &str) -> Result<T, HookError> {
    Err(HookError(what.to_owned()))
}
