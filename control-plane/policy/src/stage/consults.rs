//! What a policy has asked models.

use std::collections::BTreeSet;

use luthien_proto::message::Consult;

use super::flow::Ask;
use crate::policy::{ConsultId, Question};

/// The consults of a policy in one call, by their running numbers.
#[derive(Debug, Default)]
pub(crate) struct Consults {
    asked: u64,
    running: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
}

/// How a consult stands whose answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The policy waits for it.
    Running,
    /// It does not any more.
    Cancelled,
}

/// A policy's way to ask.
pub(crate) struct Asking<'a> {
    pub consults: &'a mut Consults,
    pub to: &'a mut Vec<Ask>,
    /// Whether the proxy takes consults.
    pub is_possible: bool,
}

impl Consults {
    /// Whether an answer may still come.
    pub fn is_waiting(&self) -> bool {
        !self.running.is_empty()
    }

    /// How many were asked so far.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// `None`: it was never asked, or has been answered.
    pub fn standing(&self, id: ConsultId) -> Option<Standing> {
        let of = |ids: &BTreeSet<u64>, standing| ids.contains(&id.0).then_some(standing);
        of(&self.running, Standing::Running).or_else(|| of(&self.cancelled, Standing::Cancelled))
    }

    /// The answer came. `false`: nobody waits for it.
    pub fn answered(&mut self, id: ConsultId) -> bool {
        self.running.remove(&id.0)
    }

    /// No answer is needed any more.
    pub fn cancel_all(&mut self, policy: &str, to: &mut Vec<Ask>) {
        to.extend(self.running.iter().map(|number| Ask::Cancel(id(policy, *number))));
        self.cancelled.append(&mut self.running);
    }
}

impl Asking<'_> {
    /// The number is given in any case: a policy counts on it.
    pub fn ask(&mut self, policy: &str, question: Question) -> ConsultId {
        self.consults.asked += 1;
        let number = self.consults.asked;
        if self.is_possible {
            self.consults.running.insert(number);
            let Question { request, upstream, credentials, deadline, reuse } = question;
            let deadline_ms = deadline.map(|deadline| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).max(1));
            let consult = Consult { id: id(policy, number), request, upstream, credentials, deadline_ms, reuse };
            self.to.push(Ask::Consult { policy: policy.to_owned(), consult: Box::new(consult) });
        }
        ConsultId(number)
    }

    pub fn cancel(&mut self, policy: &str, consult: ConsultId) {
        if self.consults.running.remove(&consult.0) {
            self.consults.cancelled.insert(consult.0);
            self.to.push(Ask::Cancel(id(policy, consult.0)));
        }
    }
}

/// The id of a consult among those of all policies.
fn id(policy: &str, number: u64) -> String {
    format!("{policy}/{number}")
}

/// The policy and the number in an id.
pub(crate) fn parse(id: &str) -> Option<(&str, ConsultId)> {
    let (policy, number) = id.rsplit_once('/')?;
    let parsed = number.parse().ok().filter(|parsed: &u64| parsed.to_string() == number)?;
    Some((policy, ConsultId(parsed)))
}
