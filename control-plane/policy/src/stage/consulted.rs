//! Answers of models, as a stage takes them in.

use luthien_proto::Event;

use super::{
    Asking, Stage,
    consults::Standing,
    flow::{Common, Failure, Flow},
    guard,
};
use crate::policy::{ConsultId, Consulted, ConsultedOutput, Hook, Notes, Place, Voice};

impl Stage {
    /// How many consults of the policy there were.
    pub fn asked(&self) -> u64 {
        self.consults.asked()
    }

    /// How a consult of the policy stands.
    pub fn standing(&self, id: ConsultId) -> Option<Standing> {
        self.consults.standing(id)
    }

    /// The answer to a consult came.
    pub fn consulted(
        &mut self,
        id: ConsultId,
        events: &[Event],
        common: &mut Common,
        out: &mut Vec<Flow>,
    ) -> Result<(), Failure> {
        self.consulted_in(id, events, common)?;
        self.slots.drain(&mut self.tallies, out);
        Ok(())
    }

    pub(super) fn consulted_in(&mut self, id: ConsultId, events: &[Event], common: &mut Common) -> Result<(), Failure> {
        if self.consults.answered(id) {
            self.run_consulted(&Consulted { id, events }, common)?;
            self.check_over(common)?;
        }
        Ok(())
    }

    /// Nothing of the response depends on the policy any more.
    pub fn quiet(&mut self, common: &mut Common) {
        self.consults.cancel_all(self.policy.name(), &mut common.asks);
    }

    fn run_consulted(&mut self, consulted: &Consulted<'_>, common: &mut Common) -> Result<(), Failure> {
        let Some(call) = self.call.as_mut().filter(|_| self.hooks.has(Hook::Consulted)) else { return Ok(()) };
        self.tallies.ran(Place::Call, Hook::Consulted);
        let (to, is_possible) = (&mut common.asks, common.can_consult);
        let voice = Voice {
            slots: &mut self.slots,
            notes: Notes { to: &mut common.notes, policy: self.policy.name(), seq: 0 },
            next_block: common.keys.of(self.index),
            asking: Asking { consults: &mut self.consults, to, is_possible },
            random: &mut self.random,
            interest: None,
            misuse: None,
        };
        let mut out = ConsultedOutput { voice, ended: false };
        let ran = guard(|| call.on_consulted(consulted, &mut out));
        let ConsultedOutput { voice: Voice { interest, misuse, .. }, ended } = out;
        self.lower_to(interest, common);
        if let Some(error) = ran.err().or(misuse) {
            return self.fail(Hook::Consulted.name(), &error, 0, common);
        }
        if ended {
            self.ended = true;
            self.quiet(common);
        }
        Ok(())
    }
}
