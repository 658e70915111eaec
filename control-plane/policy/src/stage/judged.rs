//! The hooks of an event of the response, and what becomes of it.

use luthien_proto::{Event, Step, message::Level};

use super::{
    Asking, Stage,
    flow::{Common, Failure},
    levels::{hooks_of, is_covered, level},
    run::run,
    slots::{EventSlot, Slot},
};
use crate::policy::{Hook, HookError, HookOutput, Notes, Place, Ruling, Seen, Voice};

/// An event whose hooks are to run.
pub(super) struct Judged {
    pub seq: u64,
    pub arrived_us: u64,
    pub event: Event,
    pub how: How,
}

/// How an event came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// As a chunk.
    Came,
    /// Not at all: a block's stop, because the response is over.
    CutOff,
    /// As the stop of a block that is reported whole.
    Recorded { stopped: bool },
}

impl Stage {
    /// The response is over: the hooks of every open block's stop run, as if it had come.
    pub(super) fn cut_off(&mut self, seq: u64, arrived_us: u64, common: &mut Common) -> Result<(), Failure> {
        for (key, stop) in self.blocks.keys() {
            if stop.is_some_and(|held| !self.slots.is_held(held)) {
                self.blocks.leave(key);
                continue;
            }
            let event = Step::BlockStopped(key).into();
            self.judge(Judged { seq, arrived_us, event, how: How::CutOff }, common)?;
        }
        Ok(())
    }

    /// Runs the hooks of an event, and gives it its slot.
    pub(super) fn judge(&mut self, judged: Judged, common: &mut Common) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        let Judged { seq, arrived_us, event, how } = judged;
        let ticket = self.slots.next();
        let (place, seen, ruling, injected, ran) = self.run_hooks(seq, arrived_us, &event, how, common);
        if let Step::BlockStopped(key) = event.step {
            match ruling {
                Ruling::Hold if how == How::Came => self.blocks.stop_held(key, ticket),
                Ruling::Hold | Ruling::Pass | Ruling::Replace(_) | Ruling::End { .. } => self.blocks.leave(key),
            }
        }
        let ruling = match ran {
            Ok(()) => ruling,
            Err((hook, error)) => {
                self.fail(hook.name(), &error, seq, common)?;
                Ruling::Pass
            }
        };
        let event = match how {
            How::Came => Some(event),
            How::CutOff => None,
            How::Recorded { .. } => return Ok(()),
        };
        match &ruling {
            Ruling::End { .. } => {
                self.slots.drop_held();
                self.ended = true;
                self.quiet(common);
            }
            Ruling::Hold if event.is_some() => self.tallies.ruled(place, &ruling),
            Ruling::Hold | Ruling::Pass | Ruling::Replace(_) => {}
        }
        self.slots.push(Slot::Event(EventSlot {
            seq,
            arrived_us,
            event,
            place,
            seen,
            before: Vec::new(),
            ruling,
            injected,
        }));
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "taken apart where it is used")]
    fn run_hooks(
        &mut self,
        seq: u64,
        arrived_us: u64,
        event: &Event,
        how: How,
        common: &mut Common,
    ) -> (Place, bool, Ruling, Vec<Event>, Result<(), (Hook, HookError)>) {
        let placed = self.blocks.place(event);
        let level = match how {
            How::Came | How::CutOff => level(&self.interest, placed.place),
            How::Recorded { .. } => Level::Record,
        };
        let is_covered = is_covered(self.hooks, placed.place, placed.hook, level);
        if !is_covered && how != How::CutOff {
            self.tallies.at(placed.place).unseen += 1;
        }
        let stopped = match how {
            How::Came => true,
            How::CutOff => false,
            How::Recorded { stopped } => stopped,
        };
        let seen = Seen { seq, arrived_us, event, block: placed.block, stopped };
        let (ticket, to, is_possible) = (self.slots.next(), &mut common.asks, common.can_consult);
        let voice = Voice {
            slots: &mut self.slots,
            notes: Notes { to: &mut common.notes, policy: self.policy.name(), seq },
            next_block: common.keys.of(self.index),
            asking: Asking { consults: &mut self.consults, to, is_possible },
            random: &mut self.random,
            interest: None,
            misuse: None,
        };
        let gated = level == Level::Gate;
        let mut out = HookOutput { voice, ticket, gated, ruling: Ruling::Pass, injected: Vec::new() };
        let mut ran = Ok(());
        for hook in hooks_of(self.hooks, placed.hook, level, how).into_iter().flatten() {
            let Some(call) = &mut self.call else { break };
            self.tallies.ran(placed.place, hook);
            ran = run(call.as_mut(), hook, placed.whole, &seen, &mut out).map_err(|error| (hook, error));
            if ran.is_err() {
                break;
            }
        }
        let place = placed.place;
        let HookOutput { voice: Voice { interest, .. }, ruling, injected, .. } = out;
        self.lower_to(interest, common);
        (place, is_covered, ruling, injected, ran)
    }
}
