//! What a remote policy says.

use luthien_proto::message::{Admission, AdmissionDecision, FromService, Reply};

use super::{Phase, Remote};
use crate::{
    policy::HookError,
    stage::flow::{Common, Failure, Flow},
};

/// The longest name of a revision that is kept.
const REVISION_CHARS_MAX: usize = 128;

impl Remote {
    /// Takes in what it says, and lets out what is decided by that.
    pub fn heard(&mut self, said: FromService, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        if let Err(error) = self.hear(said, common) {
            self.fail(&error, common)?;
        }
        self.drain(common, out)
    }

    /// It is lost.
    pub fn lost(&mut self, why: &str, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        if !matches!(self.phase, Phase::Unasked | Phase::Failed) {
            self.fail(&HookError(why.to_owned()), common)?;
        }
        self.drain(common, out)
    }

    fn hear(&mut self, said: FromService, common: &mut Common) -> Result<(), HookError> {
        if matches!(self.phase, Phase::Unasked | Phase::Failed) {
            return Ok(());
        }
        let was_behind = !self.reporter.is_idle();
        self.reporter.seen(said.seen).map_err(|why| HookError(why.to_owned()))?;
        self.progress += u64::from(was_behind && !self.reporter.is_waiting());
        match (&self.phase, said.message) {
            (_, Reply::Working) => Ok(()),
            (Phase::Asked, Reply::Admission(admission)) => {
                self.admitted(admission);
                Ok(())
            }
            (Phase::Asked, Reply::Verdict(_) | Reply::Interest(_) | Reply::Consult(_) | Reply::CancelConsult(_)) => {
                Err(HookError("it said something else before it admitted the call".to_owned()))
            }
            (_, Reply::Admission(_)) => Err(HookError("it admitted the call twice".to_owned())),
            (_, Reply::Verdict(verdict)) => self.verdict(verdict, common),
            (_, Reply::Interest(interest)) => {
                self.lower(interest);
                common.lowered = true;
                Ok(())
            }
            (_, Reply::Consult(consult)) => {
                let refused = self.questions.ask(*consult, self.policy.name(), &self.remote, common)?;
                refused.into_iter().for_each(|answer| self.reporter.consulted(answer));
                Ok(())
            }
            (_, Reply::CancelConsult(id)) => {
                self.questions.cancel(&id, self.policy.name(), common);
                Ok(())
            }
        }
    }

    /// What becomes of a call that its service fails is for the operator's configuration to say, and so is what may be held.
    fn admitted(&mut self, admission: Admission) {
        let Admission { decision, revision, .. } = admission;
        if let AdmissionDecision::Forward(forward) = &decision {
            (self.wanted, self.interest) = (forward.interest, forward.interest);
            self.view = luthien_proto::proxy::View::new(&forward.known_kinds);
        }
        let revision: String = revision.chars().take(REVISION_CHARS_MAX).collect();
        self.revision = (!revision.is_empty()).then_some(revision);
        self.phase = Phase::Answered(Box::new(decision));
        self.progress += 1;
    }
}
