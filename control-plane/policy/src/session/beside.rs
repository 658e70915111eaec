//! What goes on beside the response: consults, and interest that falls.

use std::collections::BTreeSet;

use luthien_proto::message::{Consultation, Interest, Level, Reply};

use super::{Fault, Session, State};
use crate::{
    EntryBody, InterestEntry,
    entry::interest_json,
    policy::ConsultId,
    stage::{Ask, Link, parse},
};

/// So many answers may come before their questions.
const EARLY_MAX: usize = 256;

/// What is to be said of it.
#[derive(Debug)]
pub(super) struct Beside {
    /// Consults, and cancellations.
    asks: Vec<Ask>,
    interest: Option<Interest>,
    /// Answers to questions that were not asked yet.
    early: Vec<Consultation>,
    /// Whether the proxy takes interest that falls.
    can_lower: bool,
}

impl Beside {
    /// `can_lower`: whether the proxy takes interest that falls.
    pub fn new(can_lower: bool) -> Self {
        Self { asks: Vec::new(), interest: None, early: Vec::new(), can_lower }
    }
}

impl Session {
    /// The answer to a consult came.
    pub(super) fn consulted(&mut self, consultation: &Consultation) -> Result<(), Fault> {
        let asked = self.asked(&consultation.id);
        if asked.is_none() && !self.is_to_come(&consultation.id) {
            return Err(Fault::Unasked);
        }
        self.taken += 1;
        match asked {
            Some((index, policy, id)) => self.take_answer(index, policy, id, consultation),
            None => self.beside.early.push(consultation.clone()),
        }
        self.note_beside();
        self.answer();
        Ok(())
    }

    fn take_answer(&mut self, index: usize, policy: &str, id: ConsultId, consultation: &Consultation) {
        self.recorder.answered(consultation);
        if self.state == State::Open {
            let mut out = Vec::new();
            let ran = self.stages[index].consulted(policy, id, consultation, &mut self.common, &mut out);
            self.flow(index + 1, out);
            if let Err(failure) = ran {
                self.fail(failure);
            }
        }
    }

    /// Takes note of what the hooks wanted done beside the response.
    pub(super) fn note_beside(&mut self) {
        for ask in self.common.asks.drain(..) {
            match &ask {
                Ask::Consult { policy, consult } => self.recorder.asked(policy, consult),
                Ask::Cancel(id) => self.recorder.cancelled(id),
            }
            self.beside.asks.push(ask);
        }
        if std::mem::take(&mut self.common.lowered) {
            self.note_interest();
        }
        self.take_early();
    }

    /// Takes the answers that came before their questions, now that these were asked.
    fn take_early(&mut self) {
        let Some(at) = self.beside.early.iter().position(|early| self.asked(&early.id).is_some()) else { return };
        let consultation = self.beside.early.remove(at);
        if let Some((index, policy, id)) = self.asked(&consultation.id) {
            self.take_answer(index, policy, id, &consultation);
        }
        self.note_beside();
    }

    fn note_interest(&mut self) {
        let wanted = self.stages.iter().map(Link::interest).fold(Interest::all(Level::Record), Interest::join);
        let interest = self.audit.interest(wanted).meet(self.intake.interest());
        if self.beside.can_lower && interest != self.intake.interest() {
            self.intake.lower(interest);
            self.recorder.push(EntryBody::Interest(InterestEntry { interest: interest_json(&interest) }));
            self.beside.interest = Some(interest);
        }
    }

    /// What the proxy is to be told of it. What was asked and cancelled at once was never asked.
    pub(super) fn take_beside(&mut self) -> Vec<Reply> {
        let asks = std::mem::take(&mut self.beside.asks);
        let of = |ask: &Ask| match ask {
            Ask::Consult { consult, .. } => (Some(consult.id.clone()), None),
            Ask::Cancel(id) => (None, Some(id.clone())),
        };
        let (asked, cancelled): (Vec<_>, Vec<_>) = asks.iter().map(of).unzip();
        let asked: BTreeSet<String> = asked.into_iter().flatten().collect();
        let at_once: BTreeSet<String> = cancelled.into_iter().flatten().filter(|id| asked.contains(id)).collect();
        let mut replies = Vec::new();
        for ask in asks {
            match ask {
                Ask::Consult { consult, .. } if !at_once.contains(&consult.id) => {
                    replies.push(Reply::Consult(consult));
                }
                Ask::Cancel(id) if !at_once.contains(&id) => replies.push(Reply::CancelConsult(id)),
                Ask::Consult { .. } | Ask::Cancel(_) => {}
            }
        }
        replies.extend(self.beside.interest.take().map(Reply::Interest));
        replies
    }

    /// The response is over: nothing that a model says can matter to it.
    pub(super) fn quiet(&mut self) {
        for stage in &mut self.stages {
            stage.quiet(&mut self.common);
        }
    }

    /// Where in the chain the policy is that asked, its name, and its number for it.
    fn asked<'a>(&self, id: &'a str) -> Option<(usize, &'a str, ConsultId)> {
        let (policy, id) = parse(id)?;
        let index = self.stages.iter().position(|link| link.standing(policy, id).is_some())?;
        Some((index, policy, id))
    }

    /// Whether a question of that id may still be asked, although its answer is here. In a call that goes on a remote policy
    /// may be slower than the session before was, and so may all that stands behind it.
    fn is_to_come(&self, id: &str) -> bool {
        let Some((policy, id)) = parse(id) else { return false };
        let is_later = self.stages.iter().find_map(|link| link.asked(policy)).is_some_and(|asked| asked < id.0);
        is_later && self.beside.early.len() < EARLY_MAX && self.stages.iter().any(|link| link.remote().is_some())
    }
}
