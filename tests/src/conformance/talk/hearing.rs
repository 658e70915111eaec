//! What the service says, checked and done.

use luthien_proto::wire::{
    Admission, Consult, EnforceResponse, Interest, Verdict, admission::Decision, enforce_response::Message,
};

use tokio::time::Instant;

use super::{Cut, Stop, Talk, told};
use crate::conformance::{
    gate::{Fault, Gate},
    line::Heard,
    rule::Rule,
    sound,
};

impl Talk<'_> {
    /// Waits for one message, for as long as a service may be silent that owes something.
    pub(super) async fn hear(&mut self) -> Result<(), Stop> {
        let patience = self.service.options.lease * 2;
        match self.line.hear(patience).await {
            Heard::Said(response) => self.heard(*response).await?,
            Heard::Closed(status) => {
                return self.broken(Rule::E1, format!("it closed the stream with {}", told(&status)));
            }
            Heard::Nothing => return self.broken(Rule::L1, format!("it was silent for {patience:?}")),
        }
        if self.is_cut_due() {
            self.play.cut = None;
            self.reopen();
            let since = Instant::now();
            while self.seen < self.count {
                if since.elapsed() > self.service.options.hold {
                    return self.broken(Rule::R2, "what a resumed call was told before is not counted");
                }
                Box::pin(self.hear()).await?;
            }
            self.findings.kept(Rule::R2);
        }
        Ok(())
    }

    fn is_cut_due(&self) -> bool {
        let verdicts = self.gate.as_ref().map_or(0, |gate| gate.applied.verdicts);
        matches!(self.play.cut, Some(Cut::AfterVerdicts(after)) if verdicts >= after)
    }

    async fn heard(&mut self, response: EnforceResponse) -> Result<(), Stop> {
        self.count_seen(response.seen)?;
        let Some(message) = response.message else {
            return self.broken(Rule::M1, "a message says nothing");
        };
        match (&self.admission, message) {
            (None, Message::Admission(admission)) => self.admitted(admission),
            (_, Message::Working(_)) => Ok(()),
            (None, _) => self.broken(Rule::A1, "something else came before Admission"),
            (Some(_), Message::Admission(_)) => self.broken(Rule::A2, "a second Admission"),
            (Some(_), Message::Verdict(verdict)) => self.verdict(&verdict),
            (Some(_), Message::Interest(interest)) => self.interest(&interest),
            (Some(_), Message::Consult(consult)) => self.consult(consult).await,
            (Some(_), Message::CancelConsult(cancelled)) => {
                self.unanswered.retain(|id| *id != cancelled.id);
                Ok(())
            }
        }
    }

    fn count_seen(&mut self, seen: u64) -> Result<(), Stop> {
        if seen < self.seen {
            return self.broken(Rule::S1, format!("`seen` falls from {} to {seen}", self.seen));
        }
        if seen > self.count {
            return self.broken(Rule::S1, format!("`seen` is {seen}, and {} messages were told", self.count));
        }
        self.seen = seen;
        self.findings.kept(Rule::S1);
        Ok(())
    }

    fn admitted(&mut self, admission: Admission) -> Result<(), Stop> {
        self.findings.kept(Rule::A1);
        let messages = self.play.call.request.as_ref().map_or(0, |request| request.messages.len());
        if let Err(what) = sound::admission(&admission, messages) {
            return self.broken(Rule::A3, what);
        }
        self.findings.kept(Rule::A3);
        self.findings.note(Rule::A4, &self.play.case, sound::revision(&admission.revision));
        match &admission.decision {
            Some(Decision::Forward(forward)) => {
                if !forward.edits.is_empty() {
                    self.may("edits")?;
                }
                self.gate = Some(Gate::new(forward));
            }
            Some(Decision::Answer(_)) => self.may("answer")?,
            Some(Decision::Reject(_)) | None => {}
        }
        self.admission = Some(admission);
        self.findings.kept(Rule::A2);
        Ok(())
    }

    fn verdict(&mut self, verdict: &Verdict) -> Result<(), Stop> {
        if let Err(what) = sound::verdict(verdict) {
            return self.broken(Rule::M1, what);
        }
        self.findings.kept(Rule::M1);
        let Some(gate) = &mut self.gate else {
            return self.broken(Rule::V1, "a Verdict on a call that does not go upstream");
        };
        if let Err(fault) = gate.apply(verdict) {
            return self.fault(fault);
        }
        self.cancelled |= verdict.cancel_upstream;
        [Rule::V1, Rule::V2, Rule::V3, Rule::V4, Rule::V5].into_iter().for_each(|rule| self.findings.kept(rule));
        Ok(())
    }

    fn interest(&mut self, interest: &Interest) -> Result<(), Stop> {
        self.may("interest")?;
        if let Some(gate) = &mut self.gate {
            gate.lower(interest);
        }
        Ok(())
    }

    /// Of a question that is known nothing more is asked.
    async fn consult(&mut self, consult: Consult) -> Result<(), Stop> {
        self.may("consult")?;
        if consult.request.is_none() || consult.id.is_empty() {
            return self.broken(Rule::C2, "a Consult without request or id");
        }
        match self.consults.get(&consult.id) {
            Some(known) if *known == consult => return Ok(()),
            Some(_) => return self.broken(Rule::C2, format!("two questions have the id {:?}", consult.id)),
            None => {}
        }
        self.findings.kept(Rule::C2);
        let id = consult.id.clone();
        self.consults.insert(id.clone(), consult);
        if self.play.lingers {
            self.unanswered.push(id);
            return Ok(());
        }
        self.answer(id).await
    }

    fn may(&mut self, what: &str) -> Result<(), Stop> {
        if self.play.call.capabilities.iter().any(|capability| capability == what) {
            return Ok(());
        }
        self.broken(Rule::C1, format!("it asks of the proxy what that can't do: {what}"))
    }

    /// What a service says of a call that goes on is either new or a breach of that.
    pub(super) fn fault(&mut self, (rule, what): Fault) -> Result<(), Stop> {
        let is_repeated = self.epoch > 0 && matches!(rule, Rule::V2 | Rule::V3 | Rule::V4);
        self.broken(if is_repeated { Rule::R1 } else { rule }, what)
    }
}
