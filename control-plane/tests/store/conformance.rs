//! What a store promises. Each function takes a store, or two that share one database, with nothing on record.

use luthien_control_plane::{
    continuation::{Answered, Asked, Withheld},
    record::{Batch, Ended, Entry, Query, Store, Summary, Tokens},
};
use luthien_policy::{EntryBody, NoteEntry};
use luthien_proto::message::{Outcome, Severity};
use uuid::Uuid;

/// Calls [`$run`] with every promise that one store can keep.
#[macro_export]
macro_rules! for_each_promise {
    ($run:ident) => {
        $run! {
            what_was_written_is_read_back
            an_entry_written_twice_is_there_once_as_it_first_was
            each_stream_of_a_call_has_its_epoch
            a_stream_that_is_put_on_record_late_keeps_its_epoch_and_changes_no_summary
            an_epoch_that_has_entries_is_given_to_no_other_stream
            a_summary_of_an_earlier_epoch_replaces_nothing
            an_outcome_that_is_known_is_not_replaced_by_one_that_is_not
            filters_match_what_they_name
            a_cursor_stays_where_it_is_when_calls_are_added
            calls_that_began_at_the_same_moment_are_all_listed_once
            many_entries_fit_in_one_batch
            a_call_is_found_by_what_another_one_goes_on_from
        }
    };
}

pub async fn what_was_written_is_read_back(store: &dyn Store) {
    let summary = full_summary(id(1));
    assert_eq!(store.open(&[call(1)]).await.unwrap(), [0]);
    let entries =
        vec![entry(id(1), 0, "{\"type\":\"request\"}"), entry(id(1), 1, "{\"type\":\"outcome\",\"ü\":\"\\u0000\"}")];
    store.write(&Batch { summaries: vec![summary.clone()], entries: entries.clone() }).await.unwrap();

    let found = store.call(id(1)).await.unwrap().unwrap();
    assert_eq!(found.summary, summary);
    assert_eq!(found.entries, entries);
    assert_eq!(store.calls(&Query::default()).await.unwrap().calls, [summary]);
    assert_eq!(store.call(id(2)).await.unwrap(), None);
}

pub async fn an_entry_written_twice_is_there_once_as_it_first_was(store: &dyn Store) {
    store.open(&[call(1)]).await.unwrap();
    let batch = |body| Batch { summaries: vec![call(1)], entries: vec![entry(id(1), 0, body)] };
    store.write(&batch("{\"n\":1}")).await.unwrap();
    store.write(&batch("{\"n\":1}")).await.unwrap();
    store.write(&batch("{\"n\":2}")).await.unwrap();
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().entries, [entry(id(1), 0, "{\"n\":1}")]);
}

pub async fn each_stream_of_a_call_has_its_epoch(store: &dyn Store) {
    assert_eq!(store.open(&[call(1), call(2), call(1)]).await.unwrap(), [0, 0, 1]);
    assert_eq!(store.open(&[Summary { epoch: 4, ..call(1) }]).await.unwrap(), [4]);
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().summary.epoch, 4);
}

pub async fn a_stream_that_is_put_on_record_late_keeps_its_epoch_and_changes_no_summary(store: &dyn Store) {
    let resumed = Summary { epoch: 2, model: "resumed".into(), ..call(1) };
    assert_eq!(store.open(std::slice::from_ref(&resumed)).await.unwrap(), [2]);
    assert_eq!(store.open(&[Summary { epoch: 1, ..call(1) }, call(1)]).await.unwrap(), [1, 0]);
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().summary, resumed);
}

pub async fn an_epoch_that_has_entries_is_given_to_no_other_stream(store: &dyn Store) {
    store.open(&[call(1)]).await.unwrap();
    let entry = |epoch| Entry { epoch, ..entry(id(1), 0, "{}") };
    store.write(&Batch { summaries: vec![], entries: vec![entry(0)] }).await.unwrap();
    assert_eq!(store.open(&[Summary { epoch: 3, ..call(1) }]).await.unwrap(), [3]);
    assert_eq!(store.open(&[call(1)]).await.unwrap(), [4]);
    // Whatever a proxy counts, there is a next one.
    let last = Summary { epoch: u32::MAX, ..call(1) };
    assert_eq!(store.open(&[last.clone(), last]).await.unwrap(), [u32::MAX, u32::MAX]);
}

pub async fn a_summary_of_an_earlier_epoch_replaces_nothing(store: &dyn Store) {
    store.open(&[call(1), call(1)]).await.unwrap();
    let lost = Summary { outcome: Some(Outcome::Unknown), epoch: 0, ..call(1) };
    let done = Summary { outcome: Some(Outcome::Delivered), epoch: 1, ..call(1) };
    for summary in [&done, &lost] {
        store.write(&Batch { summaries: vec![summary.clone()], entries: vec![] }).await.unwrap();
    }
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().summary, done);
}

pub async fn an_outcome_that_is_known_is_not_replaced_by_one_that_is_not(store: &dyn Store) {
    let of = |epoch, outcome| Summary { outcome, epoch, ..call(1) };
    let write = async |summary: Summary| {
        store.write(&Batch { summaries: vec![summary], entries: vec![] }).await.unwrap();
    };
    let outcome = async || store.call(id(1)).await.unwrap().unwrap().summary.outcome;
    store.open(&[call(1)]).await.unwrap();
    write(of(0, Some(Outcome::Unknown))).await;
    assert_eq!(outcome().await, Some(Outcome::Unknown));
    store.open(&[of(1, None)]).await.unwrap();
    assert_eq!(outcome().await, None, "it runs again");
    write(of(1, Some(Outcome::Delivered))).await;
    store.open(&[of(2, None)]).await.unwrap();
    assert_eq!(outcome().await, Some(Outcome::Delivered));
    write(of(2, Some(Outcome::Unknown))).await;
    assert_eq!(outcome().await, Some(Outcome::Delivered));
    write(of(2, Some(Outcome::CutByClient))).await;
    assert_eq!(outcome().await, Some(Outcome::CutByClient));
}

pub async fn filters_match_what_they_name(store: &dyn Store) {
    let calls = [
        Summary { model: "a".into(), client: Some("ci".into()), ..call(1) },
        Summary { model: "b".into(), dialect: "anthropic-messages".into(), ..call(2) },
        Summary { route: "*".into(), upstream: "other".into(), outcome: Some(Outcome::Failed), ..call(3) },
    ];
    store.open(&calls).await.unwrap();
    let base = Query::default;
    let cases: [(Query, &[u128]); 11] = [
        (base(), &[3, 2, 1]),
        (Query { model: Some("a".into()), ..base() }, &[1]),
        (Query { model: Some("A".into()), ..base() }, &[]),
        (Query { dialect: Some("anthropic-messages".into()), ..base() }, &[2]),
        (Query { client: Some("ci".into()), ..base() }, &[1]),
        (Query { route: Some("*".into()), ..base() }, &[3]),
        (Query { upstream: Some("other".into()), model: Some("a".into()), ..base() }, &[]),
        (Query { outcome: Some(Ended::As(Outcome::Failed)), ..base() }, &[3]),
        (Query { outcome: Some(Ended::Not), ..base() }, &[2, 1]),
        (Query { since_us: Some(2_000), ..base() }, &[3, 2]),
        (Query { until_us: Some(2_000), ..base() }, &[1]),
    ];
    for (query, expected) in cases {
        assert_eq!(listed(store, &query).await, expected, "{query:?}");
    }
}

pub async fn a_cursor_stays_where_it_is_when_calls_are_added(store: &dyn Store) {
    store.open(&[call(10), call(20), call(30), call(40)]).await.unwrap();
    let first = store.calls(&Query { limit: 2, ..Query::default() }).await.unwrap();
    assert_eq!(ids(&first.calls), [40, 30]);

    store.open(&[call(50), call(35), call(15)]).await.unwrap();
    let rest = store.calls(&Query { after: first.next, limit: 3, ..Query::default() }).await.unwrap();
    assert_eq!(ids(&rest.calls), [20, 15, 10]);
    assert_eq!(rest.next, None);
}

pub async fn calls_that_began_at_the_same_moment_are_all_listed_once(store: &dyn Store) {
    let calls: Vec<_> = (1..=7).map(|n| Summary { started_at_us: 5, ..call(n) }).collect();
    store.open(&calls).await.unwrap();
    let (mut seen, mut query) = (Vec::new(), Query { limit: 2, ..Query::default() });
    loop {
        let page = store.calls(&query).await.unwrap();
        seen.extend(ids(&page.calls));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

pub async fn many_entries_fit_in_one_batch(store: &dyn Store) {
    store.open(&[call(1)]).await.unwrap();
    let entries: Vec<_> = (0..1_303).map(|seq| entry(id(1), seq, "{}")).collect();
    store.write(&Batch { summaries: vec![], entries: entries.clone() }).await.unwrap();
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().entries, entries);
}

pub async fn a_call_is_found_by_what_another_one_goes_on_from(store: &dyn Store) {
    let over = |n, answered| Summary { outcome: Some(Outcome::Delivered), answered, ..call(n) };
    let calls = [
        over(1, answered(Some("resp_1"), None, true)),
        over(2, answered(Some("resp_2"), Some("conv_1"), true)),
        over(3, answered(None, Some("conv_1"), false)),
        Summary { answered: answered(None, Some("conv_1"), false), ..call(4) },
        over(5, answered(Some("resp_1"), None, false)),
    ];
    store.open(&calls).await.unwrap();
    let from = |asked: Asked| async move { ids(&store.continued(&asked).await.unwrap()) };
    assert_eq!(from(Asked::Response("resp_1".into())).await, [5, 1]);
    assert_eq!(from(Asked::Response("resp_3".into())).await, [0; 0]);
    assert_eq!(from(Asked::Conversation("conv_1".into())).await, [4, 2]);
    assert_eq!(from(Asked::Conversation("resp_1".into())).await, [0; 0]);
    assert_eq!(from(Asked::Unreadable).await, [0; 0]);
}

/// Two stores on one database: both write, both see everything, and no epoch is given twice.
pub async fn two_stores_share_a_database(one: &dyn Store, two: &dyn Store) {
    let write = async |store: &dyn Store, from: u128| {
        for n in from..from + 40 {
            let epochs = store.open(&[call(n), call(1_000)]).await.unwrap();
            let entry = Entry { epoch: epochs[1], ..entry(id(1_000), 0, "{}") };
            store.write(&Batch { summaries: vec![call(n)], entries: vec![entry] }).await.unwrap();
        }
    };
    tokio::join!(write(one, 100), write(two, 200));
    for store in [one, two] {
        assert_eq!(listed(store, &Query { limit: 1_000, ..Query::default() }).await.len(), 81);
        let shared = store.call(id(1_000)).await.unwrap().unwrap();
        assert_eq!(shared.entries.iter().map(|entry| entry.epoch).collect::<Vec<_>>(), (0..80).collect::<Vec<_>>());
    }
}

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn answered(response_id: Option<&str>, conversation: Option<&str>, changed: bool) -> Answered {
    let withheld = Withheld { id: "c".into(), kind: "custom".into() };
    let withheld = if changed { vec![withheld] } else { Vec::new() };
    Answered::ended(response_id.map(Into::into), conversation.map(Into::into), changed, withheld)
}

/// A running call that began at `n` milliseconds.
pub fn call(n: u128) -> Summary {
    Summary {
        call_id: id(n),
        epoch: 0,
        session: None,
        started_at_us: i64::try_from(n).unwrap() * 1_000,
        ended_at_us: None,
        client: None,
        dialect: "openai-chat".into(),
        upstream_dialect: "openai-chat".into(),
        upstream: "openai".into(),
        route: "gpt-*".into(),
        model: "gpt".into(),
        upstream_model: "gpt".into(),
        stream: true,
        dropped: Vec::new(),
        omitted: Vec::new(),
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
        answered: Answered::default(),
    }
}

pub fn entry(call_id: Uuid, seq: u64, body: &str) -> Entry {
    Entry { call_id, epoch: 0, seq, at_us: seq * 10, kind: "step".into(), body: body.into() }
}

/// An entry as a session makes it.
pub fn note(seq: u64, summary: &str) -> luthien_policy::Entry {
    let note = NoteEntry { policy: "p".into(), seq, severity: "info", summary: summary.into(), details: None };
    luthien_policy::Entry { at_us: seq, body: EntryBody::Note(note) }
}

fn full_summary(call_id: Uuid) -> Summary {
    Summary {
        call_id,
        session: Some("s".into()),
        ended_at_us: Some(9),
        client: Some("ci".into()),
        dropped: vec!["top_k".into(), "metadata.user_id".into()],
        omitted: vec!["name".into()],
        revision: Some("abc".into()),
        pipeline: Some(vec!["a".into(), "b \"quoted\"".into()]),
        outcome: Some(Outcome::CutByClient),
        reason: Some("because".into()),
        status: Some(200),
        upstream_status: Some(529),
        tokens: Tokens {
            input: Some(1),
            cache_read: Some(2),
            cache_write: Some(3),
            output: Some(4),
            thinking: Some(0),
        },
        severity: Some(Severity::Warning),
        upstream_first_us: Some(7),
        client_first_us: Some(8),
        answered: answered(Some("resp_\"1"), Some("conv_1"), true),
        ..call(1)
    }
}

async fn listed(store: &dyn Store, query: &Query) -> Vec<u128> {
    ids(&store.calls(query).await.unwrap().calls)
}

fn ids(calls: &[Summary]) -> Vec<u128> {
    calls.iter().map(|call| call.call_id.as_u128()).collect()
}
