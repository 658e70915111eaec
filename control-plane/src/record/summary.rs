//! What is known of a call at a glance.

use std::collections::BTreeMap;

use luthien_policy::{EntryBody, NoteEntry, OpenedEntry, OutcomeEntry, ReportEntry};
use luthien_proto::message::{CallStarted, Outcome, Severity};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Period;
use crate::continuation::Answered;

/// What is known of a call at a glance: what its entries say, put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The call.
    pub call_id: Uuid,
    /// Which of its streams this tells of.
    pub epoch: u32,
    /// The agent run or conversation that it belongs to.
    pub session: Option<String>,
    /// Microseconds since 1970, by the proxy's clock.
    pub started_at_us: i64,
    /// The same of its end.
    pub ended_at_us: Option<i64>,
    /// Whose key it was.
    pub client: Option<String>,
    /// The client's dialect.
    pub dialect: String,
    /// The upstream's dialect.
    pub upstream_dialect: String,
    /// The upstream's name.
    pub upstream: String,
    /// The pattern of the route that picked it.
    pub route: String,
    /// The model as the client named it.
    pub model: String,
    /// The model as the upstream was asked for it.
    pub upstream_model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Fields of the request that the upstream's dialect has no counterpart for: the client was told of them.
    pub dropped: Vec<String>,
    /// The same, of fields without which nothing is missed.
    pub omitted: Vec<String>,
    /// The revision of the policies; `None` until the call is admitted or rejected.
    pub revision: Option<String>,
    /// The names of the policies, in order.
    pub pipeline: Option<Vec<String>>,
    /// How it ended; `None` while it runs.
    #[serde(with = "outcome")]
    pub outcome: Option<Outcome>,
    /// What went wrong.
    pub reason: Option<String>,
    /// The HTTP status that the client got.
    pub status: Option<u16>,
    /// The HTTP status that the upstream gave.
    pub upstream_status: Option<u16>,
    /// Tokens, as the upstream counted them.
    pub tokens: Tokens,
    /// The gravest note of a policy.
    #[serde(with = "severity")]
    pub severity: Option<Severity>,
    /// The upstream's first byte: microseconds since the call began.
    pub upstream_first_us: Option<u64>,
    /// The client's first byte.
    pub client_first_us: Option<u64>,
    /// The policies that decided more than to pass, or noted something; in the order in which they first did.
    #[serde(default)]
    pub acted: Vec<String>,
    /// The first period that it is kept for, which the writer tells.
    #[serde(default)]
    pub period: Period,
    /// What a call has to know that goes on from this one's response.
    pub answered: Answered,
}

/// Tokens, as the upstream counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Input read anew.
    pub input: Option<u64>,
    /// Input read from the provider's cache.
    pub cache_read: Option<u64>,
    /// Input written to the provider's cache.
    pub cache_write: Option<u64>,
    /// Output.
    pub output: Option<u64>,
    /// Of the output, reasoning.
    pub thinking: Option<u64>,
}

impl Summary {
    /// Of a call that begins.
    pub fn new(started: &CallStarted) -> Self {
        Self {
            call_id: started.call_id,
            epoch: 0,
            session: non_empty(&started.session),
            started_at_us: started.started_at_us,
            ended_at_us: None,
            client: non_empty(&started.client),
            dialect: started.dialect.name().to_owned(),
            upstream_dialect: started.upstream_dialect.name().to_owned(),
            upstream: started.upstream.clone(),
            route: started.route.clone(),
            model: started.request.model.clone(),
            upstream_model: started.upstream_model.clone(),
            stream: started.request.stream,
            dropped: started.dropped.clone(),
            omitted: started.omitted.clone(),
            revision: None,
            pipeline: None,
            outcome: None,
            reason: None,
            status: None,
            upstream_status: None,
            tokens: Tokens::default(),
            severity: None,
            upstream_first_us: None,
            client_first_us: None,
            acted: Vec::new(),
            period: Period::default(),
            answered: Answered::new(started),
        }
    }

    /// Whether this is what is to be known of the call, rather than `kept`, which is on record. How a call ended counts
    /// more than that it did not end; then the later epoch does, then that there is any end. What supersedes what does
    /// not depend on the order in which it is written.
    pub fn supersedes(&self, kept: &Self) -> bool {
        let rank = |summary: &Self| {
            let is_known = summary.outcome.is_some_and(|outcome| outcome != Outcome::Unknown);
            (is_known, summary.epoch, summary.outcome.is_some())
        };
        rank(self) > rank(kept) || rank(self) == rank(kept) && self.outcome.is_none()
    }

    /// The one of each call that supersedes the others, by call.
    pub(super) fn latest(summaries: &[Self]) -> Vec<&Self> {
        let mut latest: BTreeMap<Uuid, &Self> = BTreeMap::new();
        for summary in summaries {
            let kept = latest.entry(summary.call_id).or_insert(summary);
            if summary.supersedes(kept) {
                *kept = summary;
            }
        }
        latest.into_values().collect()
    }

    /// Takes note of an entry of the call.
    pub fn note(&mut self, entry: &EntryBody) {
        self.answered.note(entry);
        match entry {
            EntryBody::Resumed(_)
            | EntryBody::Request(_)
            | EntryBody::Block(_)
            | EntryBody::Part(_)
            | EntryBody::Step(_)
            | EntryBody::Coverage(_)
            | EntryBody::Consult(_)
            | EntryBody::Interest(_) => {}
            EntryBody::Admission(admission) => {
                self.revision = Some(admission.revision.clone());
                self.pipeline = Some(admission.pipeline.clone());
                self.note_acted(admission.policy.iter());
                self.note_all(&admission.annotations);
            }
            EntryBody::Verdict(verdict) => {
                self.note_acted(verdict.policies.iter());
                self.note_all(&verdict.annotations);
            }
            EntryBody::Note(note) => self.note_all(std::slice::from_ref(note)),
            EntryBody::Outcome(outcome) => {
                self.note_all(&outcome.annotations);
                self.end(outcome);
            }
            EntryBody::Report(report) => self.reported(report),
        }
    }

    /// The stream ended before the proxy told how the call did.
    pub fn lose(&mut self, reason: &str) {
        let outcome = self.outcome.get_or_insert(Outcome::Unknown);
        if *outcome == Outcome::Unknown && self.reason.is_none() {
            self.reason = Some(reason.to_owned());
        }
    }

    fn end(&mut self, ended: &OutcomeEntry) {
        self.ended_at_us = present(ended.ended_us).map(|us| self.started_at_us.saturating_add_unsigned(us));
        self.outcome = Some(outcome_from_name(ended.outcome).unwrap_or(Outcome::Unknown));
        self.reason = ended.fault.clone().or_else(|| reason(&ended.reason, ended.opened.as_ref()));
        self.status = (ended.status != 0).then_some(ended.status);
        self.upstream_status = (ended.upstream_status != 0).then_some(ended.upstream_status);
        self.upstream_first_us = present(ended.upstream_first_us);
        self.client_first_us = present(ended.client_first_us);
        self.tokens = ended.usage.as_ref().map(Tokens::new).unwrap_or_default();
    }

    /// What a report says. A stream that heard the end knows more of the call than this, whatever its epoch.
    fn reported(&mut self, report: &ReportEntry) {
        self.epoch = 0;
        self.revision = non_empty(&report.revision);
        self.pipeline = self.revision.as_ref().map(|_| report.pipeline.clone());
        self.ended_at_us = present(report.ended_us).map(|us| self.started_at_us.saturating_add_unsigned(us));
        self.outcome = Some(outcome_from_name(report.outcome).unwrap_or(Outcome::Unknown));
        self.reason = reason(&report.reason, report.opened.as_ref());
        self.status = (report.status != 0).then_some(report.status);
        self.upstream_status = (report.upstream_status != 0).then_some(report.upstream_status);
        self.upstream_first_us = present(report.upstream_first_us);
        self.client_first_us = present(report.client_first_us);
        self.tokens = report.usage.as_ref().map(Tokens::new).unwrap_or_default();
    }

    fn note_all(&mut self, notes: &[NoteEntry]) {
        let gravest = notes.iter().filter_map(|note| severity_from_name(note.severity)).max();
        self.severity = self.severity.max(gravest);
        self.note_acted(notes.iter().map(|note| &note.policy));
    }

    fn note_acted<'a>(&mut self, policies: impl Iterator<Item = &'a String>) {
        for policy in policies {
            if !self.acted.contains(policy) {
                self.acted.push(policy.clone());
            }
        }
    }

    /// The session that it belongs to: without a marker from the client, the call itself.
    pub fn session_id(&self) -> String {
        self.session.clone().unwrap_or_else(|| self.call_id.to_string())
    }
}

impl Tokens {
    fn new(usage: &Value) -> Self {
        let count = |name| usage.get(name).and_then(Value::as_u64);
        Self {
            input: count("input"),
            cache_read: count("cache_read"),
            cache_write: count("cache_write"),
            output: count("output"),
            thinking: count("thinking"),
        }
    }
}

/// The outcome of that name.
pub(crate) fn outcome_from_name(name: &str) -> Option<Outcome> {
    [Outcome::Delivered, Outcome::CutByClient, Outcome::EndedByPolicy, Outcome::Failed, Outcome::Unknown]
        .into_iter()
        .find(|outcome| outcome.name() == name)
}

/// The severities, rising.
pub(super) const SEVERITIES: [Severity; 4] = [Severity::Debug, Severity::Info, Severity::Warning, Severity::Error];

/// The severity of that name.
pub(crate) fn severity_from_name(name: &str) -> Option<Severity> {
    SEVERITIES.into_iter().find(|severity| severity.name() == name)
}

/// Those that are at least so grave.
pub(super) fn severities_from(least: Severity) -> Vec<Severity> {
    SEVERITIES.into_iter().filter(|severity| *severity >= least).collect()
}

/// What went wrong; of what passed unjudged, why.
fn reason(reason: &str, opened: Option<&OpenedEntry>) -> Option<String> {
    let unjudged = |opened: &OpenedEntry| format!("{} chunks passed unjudged: {}", opened.chunks, opened.reason);
    non_empty(reason).or_else(|| opened.map(unjudged))
}

fn present(us: u64) -> Option<u64> {
    (us != 0).then_some(us)
}

/// Outcomes by their names.
mod outcome {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::{Outcome, outcome_from_name};

    pub(super) fn serialize<S: Serializer>(outcome: &Option<Outcome>, serializer: S) -> Result<S::Ok, S::Error> {
        outcome.map(Outcome::name).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Outcome>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        let of = |name: String| outcome_from_name(&name).ok_or_else(|| D::Error::custom("not an outcome"));
        name.map(of).transpose()
    }
}

/// Severities by their names.
mod severity {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::{Severity, severity_from_name};

    pub(super) fn serialize<S: Serializer>(severity: &Option<Severity>, serializer: S) -> Result<S::Ok, S::Error> {
        severity.map(Severity::name).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Severity>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        let of = |name: String| severity_from_name(&name).ok_or_else(|| D::Error::custom("not a severity"));
        name.map(of).transpose()
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
