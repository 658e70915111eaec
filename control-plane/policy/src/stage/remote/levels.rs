//! What a remote policy wants of each event. As the gate of a proxy has it.

use std::collections::BTreeMap;

use luthien_proto::{
    Step,
    event::{BlockKey, Delta, Kind},
    message::{Interest, Level},
};

use crate::policy::Place;

/// The open blocks, each with its kind and what was wanted of it when it began.
#[derive(Debug, Default)]
pub(super) struct Levels(BTreeMap<BlockKey, (Kind, Level)>);

impl Levels {
    /// Where an event belongs, and what is wanted of it.
    pub fn of(&mut self, step: &Step, interest: &Interest) -> (Place, Level) {
        match step {
            Step::BlockStarted(started) => {
                let kind = started.kind.kind();
                self.0.insert(started.block, (kind, interest.of(kind)));
                (Place::Kind(kind), interest.of(kind))
            }
            Step::BlockDelta(delta) => match delta.delta {
                Delta::Opaque(_) => {
                    let (_, of_block) = self.of_block(delta.block, interest);
                    let level = interest.of(Kind::Opaque).max(of_block.min(Level::Observe));
                    (Place::Kind(Kind::Opaque), level)
                }
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) => self.of_block(delta.block, interest),
            },
            Step::BlockStopped(key) => {
                let place = self.of_block(*key, interest);
                self.0.remove(key);
                place
            }
            Step::Started(_) | Step::Usage(_) | Step::Finished(_) | Step::Opaque(_) | Step::Ended | Step::Failed(_) => {
                (Place::Call, interest.strictest().max(Level::Observe))
            }
        }
    }

    fn of_block(&self, key: BlockKey, interest: &Interest) -> (Place, Level) {
        let Some((kind, began)) = self.0.get(&key).copied() else {
            return (Place::Kind(Kind::Opaque), Level::Gate);
        };
        let level = match began {
            Level::Record => Level::Record,
            Level::Observe | Level::Gate => interest.of(kind).clamp(Level::Observe, began),
        };
        (Place::Kind(kind), level)
    }
}
