//! Calls as the API shows them.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::time,
    record::{Cursor, Entry, Fields, FullCall, Page, Summary, Tokens, without_superseded},
};

/// A page of calls.
#[derive(Serialize, ToSchema)]
#[schema(as = CallPage)]
pub(in crate::admin) struct PageView {
    calls: Vec<CallView>,
    /// The `cursor` of the next page; `null`: this is the last.
    next: Option<String>,
}

/// A call at a glance. What is not known (yet) is `null`.
#[derive(Serialize, ToSchema)]
#[schema(as = Call)]
pub(in crate::admin) struct CallView {
    call_id: Uuid,
    session: Option<String>,
    started_at: String,
    ended_at: Option<String>,
    client: Option<String>,
    dialect: String,
    upstream_dialect: String,
    upstream: String,
    route: String,
    model: String,
    upstream_model: String,
    stream: bool,
    dropped: Vec<String>,
    omitted: Vec<String>,
    revision: Option<String>,
    pipeline: Option<Vec<String>>,
    /// `null`: the call runs, or its data plane died with its control plane.
    outcome: Option<&'static str>,
    reason: Option<String>,
    status: Option<u16>,
    upstream_status: Option<u16>,
    tokens: TokensView,
    /// The gravest note of a policy.
    severity: Option<&'static str>,
    upstream_first_us: Option<u64>,
    client_first_us: Option<u64>,
    /// The policies that decided more than to pass, or noted something.
    acted: Vec<String>,
}

/// Tokens, as the upstream counted them.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(in crate::admin) struct TokensView {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

/// All that is on record of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = FullCall)]
pub(in crate::admin) struct FullCallView {
    #[serde(flatten)]
    call: CallView,
    /// Of which the entries are.
    epoch: u32,
    /// All that have entries.
    epochs: Vec<u32>,
    /// What the proxy reported of the end, whatever the epoch; `null`: there was no need to.
    report: Option<EntryView>,
    entries: Vec<EntryView>,
}

/// One durable item of a call.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
struct EntryView {
    epoch: u32,
    seq: u64,
    at_us: u64,
    /// An object with its `type`.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
}

impl From<Page> for PageView {
    fn from(page: Page) -> Self {
        Self { calls: page.calls.into_iter().map(CallView::from).collect(), next: page.next.map(Cursor::to_text) }
    }
}

impl FullCallView {
    /// With the entries of that epoch, and perhaps how its blocks came.
    pub(in crate::admin) fn new(epoch: u32, deltas: bool, call: FullCall) -> Self {
        let (epochs, report) = (call.epochs(), call.report().cloned().map(EntryView::from));
        let entries = call.entries.into_iter().filter(|entry| entry.epoch == epoch).collect();
        let entries =
            without_superseded(entries).into_iter().map(|entry| if deltas { entry } else { without_deltas(entry) });
        let entries = entries.map(EntryView::from).collect();
        Self { call: call.summary.into(), epoch, epochs, report, entries }
    }
}

impl From<Summary> for CallView {
    fn from(summary: Summary) -> Self {
        Self {
            call_id: summary.call_id,
            session: summary.session,
            started_at: time(summary.started_at_us),
            ended_at: summary.ended_at_us.map(time),
            client: summary.client,
            dialect: summary.dialect,
            upstream_dialect: summary.upstream_dialect,
            upstream: summary.upstream,
            route: summary.route,
            model: summary.model,
            upstream_model: summary.upstream_model,
            stream: summary.stream,
            dropped: summary.dropped,
            omitted: summary.omitted,
            revision: summary.revision,
            pipeline: summary.pipeline,
            outcome: summary.outcome.map(|outcome| outcome.name()),
            reason: summary.reason,
            status: summary.status,
            upstream_status: summary.upstream_status,
            tokens: summary.tokens.into(),
            severity: summary.severity.map(|severity| severity.name()),
            upstream_first_us: summary.upstream_first_us,
            client_first_us: summary.client_first_us,
            acted: summary.acted,
        }
    }
}

impl From<Tokens> for TokensView {
    fn from(Tokens { input, cache_read, cache_write, output, thinking }: Tokens) -> Self {
        Self { input, cache_read, cache_write, output, thinking }
    }
}

impl From<Entry> for EntryView {
    fn from(Entry { epoch, seq, at_us, body, .. }: Entry) -> Self {
        let unreadable = |body: String| serde_json::value::to_raw_value(&body).unwrap_or_default();
        let body = RawValue::from_string(body.clone()).unwrap_or_else(|_| unreadable(body));
        Self { epoch, seq, at_us, body }
    }
}

/// An entry as readers want it who do not ask how a block came.
pub(in crate::admin) fn without_deltas(entry: Entry) -> Entry {
    let body = (entry.kind == "block").then(|| Fields::without(&entry.body, "deltas")).flatten();
    Entry { body: body.unwrap_or(entry.body), ..entry }
}
