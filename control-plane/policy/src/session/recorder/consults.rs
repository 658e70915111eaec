//! Consults, until they are answered.

use luthien_proto::message::{Consult, Consultation};

use crate::ConsultEntry;

/// In the order in which they were asked.
#[derive(Debug, Default)]
pub(super) struct Consults(Vec<ConsultEntry>);

impl Consults {
    pub fn asked(&mut self, policy: &str, consult: &Consult, now_us: u64) {
        self.0.push(ConsultEntry::asked(policy, consult, now_us));
    }

    pub fn answered(&mut self, consultation: &Consultation, now_us: u64) -> Option<ConsultEntry> {
        self.take(&consultation.id).map(|entry| entry.answered(consultation, now_us))
    }

    pub fn cancelled(&mut self, id: &str) -> Option<ConsultEntry> {
        self.take(id).map(ConsultEntry::cancelled)
    }

    /// Those that were never answered.
    pub fn rest(&mut self) -> Vec<ConsultEntry> {
        std::mem::take(&mut self.0)
    }

    fn take(&mut self, id: &str) -> Option<ConsultEntry> {
        self.0.iter().position(|entry| entry.id == id).map(|at| self.0.remove(at))
    }
}
