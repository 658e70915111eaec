//! What the outputs of all hooks on a response have in common.

use luthien_proto::{
    event::BlockKey,
    message::{Annotation, Interest, Severity},
};
use serde_json::Value;

use crate::{
    policy::{ConsultId, HookError, Question},
    stage::{Asking, Random, Slots},
};

/// What a hook speaks through, whatever it was shown.
pub(crate) struct Voice<'a> {
    pub slots: &'a mut Slots,
    pub notes: Notes<'a>,
    pub next_block: &'a mut u32,
    pub asking: Asking<'a>,
    pub random: &'a mut Random,
    /// What the policy wants from here on.
    pub interest: Option<Interest>,
    /// What it did that it may not.
    pub misuse: Option<HookError>,
}

/// Where a policy's notes go.
pub(crate) struct Notes<'a> {
    pub to: &'a mut Vec<Annotation>,
    pub policy: &'a str,
    pub seq: u64,
}

impl Notes<'_> {
    pub fn add(&mut self, severity: Severity, summary: String, details: Option<Value>) {
        self.to.push(Annotation { policy: self.policy.to_owned(), seq: self.seq, severity, summary, details });
    }
}

impl Voice<'_> {
    pub fn new_block(&mut self) -> BlockKey {
        let key = BlockKey(*self.next_block);
        *self.next_block = self.next_block.wrapping_add(1).max(BlockKey::POLICY_FIRST.0);
        key
    }

    pub fn consult(&mut self, question: Question) -> ConsultId {
        if !self.asking.is_possible {
            self.fault("has a question, and the proxy is not able to ask models");
        }
        self.asking.ask(self.notes.policy, question)
    }

    pub fn cancel_consult(&mut self, id: ConsultId) {
        self.asking.cancel(self.notes.policy, id);
    }

    pub fn lower_interest(&mut self, interest: Interest) {
        self.interest = Some(self.interest.map_or(interest, |lowered| lowered.meet(interest)));
    }

    pub fn fault(&mut self, what: &str) {
        self.misuse.get_or_insert_with(|| HookError(format!("the policy {what}")));
    }
}
