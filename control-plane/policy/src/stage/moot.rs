//! What a stage does when a block was decided by another one of its group.

use luthien_proto::event::BlockKey;

use super::{
    Asking, Stage,
    flow::{Common, Failure},
    guard,
};
use crate::policy::MootOutput;

impl Stage {
    /// Whether the policy still judges.
    pub(super) fn is_judging(&self) -> bool {
        self.call.is_some() && !self.ended
    }

    /// What the policy thinks of a block does not matter any more: it holds nothing of it, and asks nothing about it.
    pub(super) fn moot(&mut self, block: BlockKey, common: &mut Common) -> Result<(), Failure> {
        self.blocks.leave(block);
        self.slots.let_go_of(block, &mut self.tallies);
        let Some(call) = self.call.as_mut() else { return Ok(()) };
        let (to, is_possible) = (&mut common.asks, common.can_consult);
        let asking = Asking { consults: &mut self.consults, to, is_possible };
        let mut out = MootOutput { policy: self.policy.name(), asking };
        if let Err(error) = guard(|| call.on_moot(block, &mut out)) {
            return self.fail("on_moot", &error, 0, common);
        }
        self.check_over(common)
    }
}
