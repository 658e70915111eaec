//! A call as a trace: `luthien.enforce`, and within it a span for each policy. Annotations are events of them. Never
//! content: what policies note for programs stays on record.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use luthien_policy::{CoverageEntry, Entry, EntryBody, NoteEntry, OutcomeEntry};
use luthien_proto::message::{CallStarted, Severity};
use luthien_service::telemetry::{Origin, Span, SpanContext, SpanKind, clip};
use serde_json::Value;

use crate::metrics::{Failure, RULINGS};

/// The attributes that say how often a policy did what, in the order of [`RULINGS`].
const CHUNKS: [&str; RULINGS.len()] = [
    "luthien.chunks.passed",
    "luthien.chunks.held",
    "luthien.chunks.replaced",
    "luthien.chunks.dropped",
    "luthien.chunks.ended",
    "luthien.chunks.undecided",
    "luthien.chunks.unseen",
];

/// The spans of a call.
pub(crate) struct Trace {
    call: Span,
    /// By the policies' names.
    policies: Vec<(String, Span)>,
    /// When the call began, by the proxy's clock.
    began: SystemTime,
}

impl Trace {
    /// Begins with the first word of a proxy, in the trace that it names.
    pub(crate) fn begin(started: &CallStarted, epoch: u32, parent: Option<SpanContext>, policies: &[String]) -> Self {
        let origin = parent.map_or(Origin::None, Origin::Parent);
        let mut call = Span::begin("luthien.enforce", SpanKind::Server, origin, started.call_id.into_bytes());
        let began = UNIX_EPOCH + Duration::from_micros(started.started_at_us.try_into().unwrap_or_default());
        if !call.is_recorded() {
            return Self { call, policies: Vec::new(), began };
        }
        let id = started.call_id.to_string();
        call.set("luthien.call_id", id.clone());
        call.set("luthien.epoch", i64::from(epoch));
        call.set("luthien.dialect", started.dialect.name());
        call.set_text("luthien.route", &started.route);
        call.set_text("luthien.upstream", &started.upstream);
        call.set_text("gen_ai.request.model", &started.request.model);
        let span = |name: &String| {
            let mut span = call.child(format!("luthien.policy.{name}"), SpanKind::Internal);
            span.set("luthien.call_id", id.clone());
            span.set_text("luthien.policy", name);
            (name.clone(), span)
        };
        let policies = policies.iter().map(span).collect();
        Self { call, policies, began }
    }

    /// The ids of the call's span.
    pub(crate) fn context(&self) -> &SpanContext {
        self.call.context()
    }

    /// An entry of the call's record was made.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        if !self.call.is_recorded() {
            return;
        }
        match &entry.body {
            EntryBody::Resumed(_)
            | EntryBody::Request(_)
            | EntryBody::Block(_)
            | EntryBody::Part(_)
            | EntryBody::Step(_)
            | EntryBody::Consult(_)
            | EntryBody::Interest(_)
            | EntryBody::Report(_) => {}
            EntryBody::Admission(admission) => {
                self.call.set_text("luthien.revision", &admission.revision);
                self.call.set("luthien.admission", admission.decision);
                self.notes(&admission.annotations, entry.at_us);
            }
            EntryBody::Verdict(verdict) => self.notes(&verdict.annotations, entry.at_us),
            EntryBody::Note(note) => self.notes(std::slice::from_ref(note), entry.at_us),
            EntryBody::Coverage(coverage) => self.coverage(coverage),
            EntryBody::Outcome(outcome) => {
                self.notes(&outcome.annotations, entry.at_us);
                self.outcome(outcome);
            }
        }
    }

    /// The call's stream did not end well.
    pub(crate) fn failed(&mut self, failure: Failure) {
        self.call.fail(failure.name());
    }

    /// What is only for those who look for it stays on record.
    fn notes(&mut self, notes: &[NoteEntry], at_us: u64) {
        let at = self.began + Duration::from_micros(at_us);
        for note in notes.iter().filter(|note| note.severity != Severity::Debug.name()) {
            let of_policy = self.policies.iter_mut().find(|(name, _)| *name == note.policy).map(|(_, span)| span);
            of_policy.unwrap_or(&mut self.call).event(
                "luthien.annotation",
                at,
                [
                    ("luthien.policy", clip(&note.policy).into()),
                    ("luthien.severity", note.severity.into()),
                    ("luthien.summary", clip(&note.summary).into()),
                    ("luthien.seq", count(note.seq).into()),
                ],
            );
        }
    }

    fn coverage(&mut self, coverage: &CoverageEntry) {
        for covered in &coverage.policies {
            let Some((_, span)) = self.policies.iter_mut().find(|(name, _)| *name == covered.policy) else { continue };
            for (key, ruling) in CHUNKS.into_iter().zip(RULINGS) {
                let of_kinds = covered.kinds.values().filter_map(|tally| tally.get(ruling).and_then(Value::as_u64));
                span.set(key, count(of_kinds.sum()));
            }
            if covered.failed {
                span.fail("policy_failed");
            }
        }
    }

    fn outcome(&mut self, ended: &OutcomeEntry) {
        self.call.set("luthien.outcome", ended.outcome);
        for (key, value) in [
            ("luthien.chunks.received", ended.received),
            ("luthien.chunks.passed", ended.passed),
            ("luthien.chunks.replaced", ended.replaced),
            ("luthien.chunks.dropped", ended.dropped),
            ("luthien.chunks.undecided", ended.held),
            ("luthien.chunks.not_shown", ended.not_shown),
        ] {
            self.call.set(key, count(value));
        }
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
