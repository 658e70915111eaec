//! Whether what a remote policy makes of a response can be written: as a proxy would write it.

use luthien_proto::{
    Step,
    event::{Kind, Started},
    proxy::{Turn, turn},
    request::Dialect,
};

use crate::{policy::Ruling, stage::slots::EventSlot};

/// What the stage has let out.
#[derive(Clone, Debug)]
pub(super) struct Grammar {
    turn: Turn,
    /// Whether anything of it differs from what came in. What does not is as right as that was.
    differs: bool,
    /// Whether what can't be written is left out: nobody is there any more who could be at fault.
    lenient: bool,
}

impl Grammar {
    pub fn new(dialect: Dialect) -> Self {
        Self { turn: Turn::new(dialect), differs: false, lenient: false }
    }

    /// Takes note of what comes in.
    pub fn hear(&mut self, step: &Step) {
        self.turn.hear(step);
    }

    /// From now on nothing is a fault.
    pub fn be_lenient(&mut self) {
        self.lenient = true;
    }

    /// Whether what becomes of an event can be written. What can't is dropped, if that is nobody's fault.
    pub fn check(&mut self, slot: &mut EventSlot) -> Result<(), turn::Error> {
        if self.lenient {
            self.let_by(slot);
            return Ok(());
        }
        let EventSlot { event, before, ruling, .. } = slot;
        let (passed, made) = match ruling {
            Ruling::Pass | Ruling::Hold if before.is_empty() => {
                return event.as_ref().map_or(Ok(()), |event| self.write(&event.step));
            }
            Ruling::Pass | Ruling::Hold => (event.as_ref(), &[][..]),
            Ruling::Replace(events) | Ruling::End { events, .. } => (None, events.as_slice()),
        };
        // What can't be written as a whole is not written at all.
        let mut after = Self { differs: true, ..self.clone() };
        before.iter().chain(passed).chain(made).try_for_each(|event| after.write(&event.step))?;
        *self = after;
        Ok(())
    }

    /// Lets an event by as it came, or drops it if it can't be written any more.
    pub fn let_by(&mut self, slot: &mut EventSlot) {
        slot.before.clear();
        let can_be_written = slot.event.as_ref().is_none_or(|event| self.write(&event.step).is_ok());
        slot.ruling = if can_be_written { Ruling::Pass } else { Ruling::Replace(Vec::new()) };
    }

    fn write(&mut self, step: &Step) -> Result<(), turn::Error> {
        if !self.differs {
            let _ = self.turn.write(step);
            return Ok(());
        }
        match step {
            Step::Started(_) | Step::Failed(_) => {}
            Step::BlockStopped(key) if self.turn.has_stopped(*key) => return Ok(()),
            Step::BlockStarted(started) => {
                self.start_if_idle()?;
                if started.kind.kind() != Kind::ToolCall {
                    self.stop_blocks(started.choice)?;
                }
            }
            Step::Finished(finished) => {
                self.start_if_idle()?;
                self.stop_blocks(finished.choice)?;
            }
            Step::BlockDelta(_) | Step::BlockStopped(_) | Step::Usage(_) | Step::Opaque(_) | Step::Ended => {
                self.start_if_idle()?;
            }
        }
        self.turn.write(step)
    }

    fn start_if_idle(&mut self) -> Result<(), turn::Error> {
        if self.turn.is_idle() { self.turn.write(&Step::Started(Started::default())) } else { Ok(()) }
    }

    fn stop_blocks(&mut self, choice: u32) -> Result<(), turn::Error> {
        self.turn.unstopped(choice).into_iter().try_for_each(|stop| self.turn.write(&stop.step))
    }
}
