//! What a remote policy asks models.

use std::{collections::BTreeMap, time::Duration};

use luthien_proto::{
    Step,
    event::CallError,
    message::{Consult, Consultation, Credentials},
};

use crate::{
    policies,
    policy::{ConsultId, HookError, Question},
    stage::{
        Asking,
        consults::{Consults, Standing},
        flow::Common,
    },
};

/// How many it may ask in a call, whatever proxies allow.
const MAX: usize = 256;
const ID_BYTES_MAX: usize = 256;

/// Its questions, by the ids that it gave them.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// `None`: it was refused.
    by_id: BTreeMap<String, Option<ConsultId>>,
    consults: Consults,
}

impl Questions {
    /// Asks what may be asked. What may not be is answered at once, by how it failed.
    pub fn ask(
        &mut self,
        consult: Consult,
        policy: &str,
        remote: &policies::Remote,
        common: &mut Common,
    ) -> Result<Option<Consultation>, HookError> {
        let Consult { id, request, upstream, credentials, deadline_ms, reuse } = consult;
        if self.by_id.len() >= MAX || id.len() > ID_BYTES_MAX {
            return Err(HookError("it asks too much".to_owned()));
        }
        if self.by_id.contains_key(&id) {
            return Err(HookError("two of its questions have one id".to_owned()));
        }
        if let Some(why) = refusal(&upstream, credentials, remote, common) {
            self.by_id.insert(id.clone(), None);
            let error = CallError { message: why.to_owned(), ..CallError::default() };
            return Ok(Some(Consultation { id, events: vec![Step::Failed(error).into()], reused: false }));
        }
        let deadline = deadline_ms.map(Duration::from_millis);
        let question = Question { request, upstream, credentials, deadline, reuse };
        let mut asking = Asking { consults: &mut self.consults, to: &mut common.asks, is_possible: true };
        self.by_id.insert(id, Some(asking.ask(policy, question)));
        Ok(None)
    }

    /// An answer is not needed any more. Of one that was never asked, or has come, nothing is to be done.
    pub fn cancel(&mut self, id: &str, policy: &str, common: &mut Common) {
        if let Some(Some(number)) = self.by_id.get(id).copied() {
            Asking { consults: &mut self.consults, to: &mut common.asks, is_possible: true }.cancel(policy, number);
        }
    }

    /// None is.
    pub fn cancel_all(&mut self, policy: &str, common: &mut Common) {
        self.consults.cancel_all(policy, &mut common.asks);
    }

    /// An answer came: as it is told, if it is waited for.
    pub fn answered(&mut self, number: ConsultId, consultation: &Consultation) -> Option<Consultation> {
        let is_awaited = self.consults.answered(number);
        let id = self.by_id.iter().find(|(_, asked)| **asked == Some(number)).filter(|_| is_awaited)?.0;
        Some(Consultation { id: id.clone(), ..consultation.clone() })
    }

    /// How many were asked so far.
    pub fn asked(&self) -> u64 {
        self.consults.asked()
    }

    /// How one stands.
    pub fn standing(&self, number: ConsultId) -> Option<Standing> {
        self.consults.standing(number)
    }

    /// Whether an answer may still come.
    pub fn is_waiting(&self) -> bool {
        self.consults.is_waiting()
    }
}

/// Why a question is not asked.
fn refusal(
    upstream: &String,
    credentials: Credentials,
    remote: &policies::Remote,
    common: &Common,
) -> Option<&'static str> {
    match credentials {
        _ if !common.can_consult => Some("models can't be asked here"),
        _ if !remote.consult.contains(upstream) => Some("the policy may not ask this upstream: see its `consult`"),
        Credentials::Caller if !remote.caller_credentials => {
            Some("the policy may not ask with the caller's credentials: see its `caller_credentials`")
        }
        Credentials::Caller | Credentials::Configured => None,
    }
}
