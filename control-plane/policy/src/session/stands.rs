//! What verdicts had done when a call was taken over: it stands, and none of it is said again.

use luthien_proto::{
    Event,
    message::{Applied, Decision},
};

/// What the proxy has done already, of what is decided again.
#[derive(Debug)]
pub(super) struct Stands(Applied);

impl Stands {
    pub fn new(applied: Applied) -> Self {
        Self(applied)
    }

    /// The last chunk that has its verdict.
    pub fn settled(&self) -> u64 {
        self.0.settled
    }

    /// What of a decision is still to be said. `injects`: it settles nothing, and its events stand behind what was.
    pub fn rest_of(&mut self, through: u64, injects: bool, decision: Decision) -> Option<Decision> {
        let Applied { settled, ended, .. } = self.0;
        if ended || through < settled || (through == settled && !injects) {
            return None;
        }
        if through > settled || self.0.injected == 0 {
            return Some(decision);
        }
        match decision {
            Decision::Pass => None,
            Decision::Replace(events) => {
                let events = self.not_injected(events);
                (!events.is_empty()).then_some(Decision::Replace(events))
            }
            Decision::End { events, reason } => Some(Decision::End { events: self.not_injected(events), reason }),
        }
    }

    fn not_injected(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        let injected = usize::try_from(self.0.injected).unwrap_or(usize::MAX).min(events.len());
        self.0.injected -= injected as u64;
        events.split_off(injected)
    }
}
