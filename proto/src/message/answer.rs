//! A response that policies made.

use thiserror::Error;

use crate::event::{Event, Step};

/// A response that policies made, whole. Nothing of it needs a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    events: Vec<Event>,
}

/// Events that are no answer, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoAnswer {
    /// It is not complete, or there is more behind its end.
    #[error("the last event, and no other, has to be Ended")]
    NotEnded,
    /// It is an error.
    #[error("an answer does not fail: a call is rejected with an error")]
    Failed,
    /// It starts twice, or behind its beginning.
    #[error("only the first event can be Started")]
    StartedLate,
}

impl Answer {
    /// Of these events, of which Started may be missing.
    ///
    /// # Errors
    /// They are no answer.
    pub fn new(events: Vec<Event>) -> Result<Self, NoAnswer> {
        let Some((last, rest)) = events.split_last() else { return Err(NoAnswer::NotEnded) };
        if events.iter().any(|event| matches!(event.step, Step::Failed(_))) {
            return Err(NoAnswer::Failed);
        }
        if !last.step.is_last() || rest.iter().any(|event| event.step.is_last()) {
            return Err(NoAnswer::NotEnded);
        }
        if events.iter().skip(1).any(|event| matches!(event.step, Step::Started(_))) {
            return Err(NoAnswer::StartedLate);
        }
        Ok(Self { events })
    }

    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events, to be changed.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }
}
