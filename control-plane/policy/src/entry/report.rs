//! What a proxy reports of a call that no control plane had at its end, and what passed unjudged.

use luthien_proto::message::{CallEnded, CallReport, Opened, Waited};
use serde::Serialize;
use serde_json::Value;

use super::{Entry, EntryBody, RequestEntry, usage_json};

/// How a call ended, by its proxy's report: no control plane had it at its end. What was on record of it until then is in
/// the epochs before.
#[derive(Clone, Debug, Serialize)]
pub struct ReportEntry {
    /// What kept a control plane from having it: `not_admitted`, `lost`, `not_recorded`.
    pub cause: &'static str,
    /// The same, for people.
    pub why: String,
    /// As [`super::OutcomeEntry::outcome`].
    pub outcome: &'static str,
    /// What went wrong, by the proxy's account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What passed unjudged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<OpenedEntry>,
    /// The HTTP status that the client got; 0: none.
    pub status: u16,
    /// The HTTP status that the upstream gave; 0: none.
    pub upstream_status: u16,
    /// The last chunk that the client got, or whose replacement it got; 0: none.
    pub written: u64,
    /// Microseconds since the call began: the upstream's first byte; 0: none.
    pub upstream_first_us: u64,
    /// The client's first byte; 0: none.
    pub client_first_us: u64,
    /// The end.
    pub ended_us: u64,
    /// How long chunks waited for their verdicts; none: none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<WaitedEntry>,
    /// What the call has cost, in tokens, as far as the proxy was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Value>,
    /// The revision of the policies that judged it while it was judged; empty: it was not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// Those policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pipeline: Vec<String>,
    /// Whether the request was too large to be told: the one on record here has no content.
    pub request_left_out: bool,
}

/// What was released without the verdict that it was owed, because an operator wrote `open`.
#[derive(Clone, Debug, Serialize)]
pub struct OpenedEntry {
    /// The seq of its first chunk; 0: the response was not read.
    pub first: u64,
    /// The seq of its last chunk.
    pub last: u64,
    /// How many chunks were owed a verdict and had none.
    pub chunks: u64,
    /// Why nobody judged it: `not_admitted`, `lost`, `faulted`, `not_recorded`.
    pub cause: &'static str,
    /// The same, for people.
    pub reason: String,
}

/// How long the chunks of a call that had a verdict were held before it, by the proxy's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WaitedEntry {
    /// How many.
    pub chunks: u64,
    /// All of them together, in microseconds.
    pub total_us: u64,
    /// The one that waited longest, in microseconds.
    pub longest_us: u64,
}

impl WaitedEntry {
    /// None of a call in which nothing waited.
    pub(crate) fn of(waited: Waited) -> Option<Self> {
        let Waited { chunks, total_us, longest_us } = waited;
        (chunks > 0).then_some(Self { chunks, total_us, longest_us })
    }
}

impl ReportEntry {
    /// What is put on record of a report: the request and this.
    pub fn entries(report: CallReport) -> [Entry; 2] {
        let ended_us = report.ended.ended_us;
        let request = EntryBody::Request(RequestEntry::new(&report.started));
        let report = EntryBody::Report(Box::new(report.into()));
        [Entry { at_us: 0, body: request }, Entry { at_us: ended_us, body: report }]
    }
}

impl From<CallReport> for ReportEntry {
    fn from(report: CallReport) -> Self {
        let CallReport { cause, reason: why, ended, revision, pipeline, usage, request_left_out, .. } = report;
        let CallEnded { outcome, written, reason, status, upstream_status, .. } = ended;
        let CallEnded { upstream_first_us, client_first_us, ended_us, opened, waited, .. } = ended;
        Self {
            cause: cause.name(),
            why,
            outcome: outcome.name(),
            reason,
            opened: opened.map(Into::into),
            status,
            upstream_status,
            written,
            upstream_first_us,
            client_first_us,
            ended_us,
            waited: WaitedEntry::of(waited),
            usage: usage.as_ref().map(usage_json),
            revision,
            pipeline,
            request_left_out,
        }
    }
}

impl From<Opened> for OpenedEntry {
    fn from(Opened { first, last, chunks, cause, reason }: Opened) -> Self {
        Self { first, last, chunks, cause: cause.name(), reason }
    }
}
