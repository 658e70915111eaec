//! What a store promises. Each function takes a database with nothing in it.

use luthien_control_plane::{
    continuation::{Answered, Asked, Withheld},
    policies::SetStore,
    record::{
        Activity, Batch, Ended, Entry, EntryKey, Hash, History, Message, Period, Query, Search, Session, SessionCursor,
        SessionQuery, Store, Summary, Text, Tokens, Written,
    },
};
use luthien_policy::{EntryBody, NoteEntry};
use luthien_proto::message::{Outcome, Severity};
use serde_json::json;
use uuid::Uuid;

/// A database that is made for a test, and goes away after it.
pub trait Database: Sync {
    type Store: Store + SetStore + Activity;

    /// A control plane's access to it.
    async fn open(&self) -> Self::Store;
}

/// Calls [`$run`] with every promise.
#[macro_export]
macro_rules! for_each_promise {
    ($run:ident) => {
        $run! {
            what_was_written_is_read_back
            a_batch_that_was_kept_as_text_is_the_same_batch
            an_entry_written_twice_is_there_once_as_it_first_was
            what_entries_refer_to_is_read_in_its_place
            a_reference_to_what_is_not_there_is_read_as_it_is
            each_stream_of_a_call_has_its_entries
            the_same_summary_is_kept_in_whatever_order_they_are_written
            a_running_call_is_known_as_it_was_last_told_of
            filters_match_what_they_name
            calls_are_found_by_words_that_were_said_in_them
            sessions_are_listed_that_with_the_latest_call_first
            a_session_tells_its_conversation_once
            a_history_that_was_rewritten_tells_what_is_new_in_it
            a_cursor_stays_where_it_is_when_calls_are_added
            calls_that_began_at_the_same_moment_are_all_listed_once
            many_entries_fit_in_one_batch
            a_period_is_forgotten_and_nothing_of_the_others
            a_call_is_found_by_what_another_one_goes_on_from
            two_control_planes_share_a_database
            many_control_planes_starting_at_once_make_one_schema
        }
    };
}

pub async fn what_was_written_is_read_back(database: &impl Database) {
    let store = database.open().await;
    let summary = full_summary(id(1));
    let entries =
        vec![entry(id(1), 0, "{\"type\":\"request\"}"), entry(id(1), 1, "{\"type\":\"outcome\",\"ü\":\"\\u0000\"}")];
    open(&store, &[call(1)]).await;
    store
        .write(&Batch { summaries: vec![summary.clone()], entries: entries.clone(), ..Batch::default() })
        .await
        .unwrap();

    let found = store.call(id(1)).await.unwrap().unwrap();
    assert_eq!(found.summary, summary);
    assert_eq!(found.entries, entries);
    assert_eq!(store.calls(&Query::default()).await.unwrap().calls, [summary]);
    assert_eq!(store.call(id(2)).await.unwrap(), None);
}

pub async fn a_batch_that_was_kept_as_text_is_the_same_batch(database: &impl Database) {
    let store = database.open().await;
    let summaries = vec![full_summary(id(1)), Summary { call_id: id(2), ..call(2) }];
    let batch = Batch { summaries, entries: vec![entry(id(1), 0, "{\"ü\":\"\\u0000\"}")], ..said(1) };
    let text = serde_json::to_string(&batch).unwrap();
    assert_eq!(serde_json::from_str::<Batch>(&text).unwrap(), batch);
    for _ in 0..2 {
        store.write(&serde_json::from_str(&text).unwrap()).await.unwrap();
    }
    let found = store.call(id(1)).await.unwrap().unwrap();
    assert_eq!((found.summary, found.entries), (full_summary(id(1)), batch.entries));
}

pub async fn an_entry_written_twice_is_there_once_as_it_first_was(database: &impl Database) {
    let store = database.open().await;
    let write = async |bodies: &[&str]| {
        let entries = (0..).zip(bodies).map(|(seq, body)| entry(id(1), seq, body)).collect();
        store.write(&Batch { summaries: vec![call(1)], entries, ..Batch::default() }).await.unwrap().conflicts
    };
    assert_eq!(write(&["{\"n\":1}"]).await, []);
    assert_eq!(write(&["{\"n\":1}"]).await, []);
    let conflict = EntryKey { call_id: id(1), epoch: 0, seq: 0 };
    assert_eq!(write(&["{\"n\":2}", "{\"n\":3}"]).await, [conflict]);
    let kept = [entry(id(1), 0, "{\"n\":1}"), entry(id(1), 1, "{\"n\":3}")];
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().entries, kept);
}

pub async fn what_entries_refer_to_is_read_in_its_place(database: &impl Database) {
    let store = database.open().await;
    let long = json!({"role": "user", "content": [{"text": "ü".repeat(5_000)}]}).to_string();
    let (first, system) = (message(&long), message(r#"[{"text":"be \"good\""}]"#));
    let second = message(r#"{"role":"assistant","n":1.0e2}"#);
    let one = History {
        period: PERIOD,
        hash: Hash::of_history(None, first.hash),
        parent: None,
        message: first.hash,
        length: 1,
    };
    let two = History {
        hash: Hash::of_history(Some(one.hash), second.hash),
        parent: Some(one.hash),
        message: second.hash,
        length: 2,
        ..one.clone()
    };
    let (system_hash, one_hash, two_hash) = (system.hash, one.hash, two.hash);
    let body = |history| {
        format!(
            r#"{{"type":"request","request":{{"n":1.10,"system":{{"message":"{system_hash}","period":{n}}},"messages":{{"history":"{history}","period":{n}}},"extras":{{"system":{{"message":"{system_hash}","period":{n}}}}}}}}}"#,
            n = PERIOD.number()
        )
    };
    let request = |seq, history| Entry { kind: "request".into(), body: body(history), ..entry(id(1), seq, "") };
    let sent = body(two_hash).replace("\"request\"", "\"sent\"");
    let sent = Entry { kind: "admission".into(), body: sent, ..entry(id(1), 2, "") };
    let batch = Batch {
        summaries: vec![call(1)],
        messages: vec![second.clone(), first.clone(), system.clone()],
        histories: vec![two, one],
        entries: vec![request(0, one_hash), request(1, two_hash), sent],
        ..Batch::default()
    };
    for _ in 0..2 {
        assert_eq!(store.write(&batch).await.unwrap(), Written::default());
    }
    let entries = store.call(id(1)).await.unwrap().unwrap().entries;
    let whole = |messages: &str| {
        let extras = format!(r#"{{"system":{{"message":"{system_hash}","period":{}}}}}"#, PERIOD.number());
        let system = &system.body;
        format!(
            r#"{{"type":"request","request":{{"n":1.10,"system":{system},"messages":[{messages}],"extras":{extras}}}}}"#
        )
    };
    let both = whole(&format!("{},{}", first.body, second.body));
    assert_eq!(entries[0].body, whole(&first.body));
    assert_eq!(entries[1].body, both);
    assert_eq!(entries[2].body, both.replace("\"request\"", "\"sent\""));
}

pub async fn a_reference_to_what_is_not_there_is_read_as_it_is(database: &impl Database) {
    let store = database.open().await;
    let (there, gone) = (message("{}"), Hash::of("gone"));
    let history = History {
        period: PERIOD,
        hash: Hash::of_history(Some(gone), there.hash),
        parent: Some(gone),
        message: there.hash,
        length: 2,
    };
    let n = PERIOD.number();
    let body = format!(
        r#"{{"type":"request","request":{{"system":{{"message":"{gone}","period":{n}}},"messages":{{"history":"{}","period":{n}}}}}}}"#,
        history.hash
    );
    let request = Entry { kind: "request".into(), body, ..entry(id(1), 0, "") };
    let (messages, histories) = (vec![there], vec![history]);
    let batch =
        Batch { summaries: vec![call(1)], entries: vec![request.clone()], messages, histories, ..Batch::default() };
    store.write(&batch).await.unwrap();
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().entries, [request]);
}

pub async fn each_stream_of_a_call_has_its_entries(database: &impl Database) {
    let store = database.open().await;
    let of = |epoch| Entry { epoch, ..entry(id(1), 0, "{}") };
    // Whatever a proxy counts, and in which order it comes.
    for epoch in [2, 0, u32::MAX] {
        let summaries = vec![Summary { epoch, ..call(1) }];
        store.write(&Batch { summaries, entries: vec![of(epoch)], ..Batch::default() }).await.unwrap();
    }
    let found = store.call(id(1)).await.unwrap().unwrap();
    assert_eq!(found.summary.epoch, u32::MAX);
    assert_eq!(found.entries, [of(0), of(2), of(u32::MAX)]);
}

/// Whatever is written first: what is known counts more than what is not, then what is later, then what is over.
pub async fn the_same_summary_is_kept_in_whatever_order_they_are_written(database: &impl Database) {
    let store = database.open().await;
    let of = |epoch, outcome| Summary { epoch, outcome, reason: Some(format!("{epoch}")), ..call(1) };
    let (unknown, delivered) = (Some(Outcome::Unknown), Some(Outcome::Delivered));
    let rising = [of(0, None), of(0, unknown), of(1, None), of(1, unknown), of(0, delivered), of(1, delivered)];
    for (i, low) in rising.iter().enumerate() {
        for (j, high) in rising.iter().enumerate().skip(i) {
            for (n, pair) in [[low, high], [high, low]].into_iter().enumerate() {
                let call_id = id((100 * i + 10 * j + n) as u128 + 1);
                let in_order: Vec<_> = pair.map(|summary| Summary { call_id, ..summary.clone() }).into();
                for summary in &in_order {
                    open(&store, std::slice::from_ref(summary)).await;
                }
                let found = store.call(call_id).await.unwrap().unwrap().summary;
                assert_eq!(found, Summary { call_id, ..high.clone() }, "{in_order:?}");
            }
        }
    }
}

pub async fn a_running_call_is_known_as_it_was_last_told_of(database: &impl Database) {
    let store = database.open().await;
    let admitted = Summary { revision: Some("abc".into()), ..call(1) };
    open(&store, &[call(1), admitted.clone()]).await;
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().summary, admitted);
}

pub async fn filters_match_what_they_name(database: &impl Database) {
    let store = database.open().await;
    let calls = [
        Summary {
            model: "a".into(),
            client: Some("ci".into()),
            session: Some("s".into()),
            severity: Some(Severity::Info),
            ..call(1)
        },
        Summary {
            model: "b".into(),
            dialect: "anthropic-messages".into(),
            severity: Some(Severity::Error),
            acted: vec!["guard".into(), "it's \"a\"".into()],
            ..call(2)
        },
        Summary { route: "*".into(), upstream: "other".into(), outcome: Some(Outcome::Failed), ..call(3) },
    ];
    open(&store, &calls).await;
    let base = Query::default;
    let cases: [(Query, &[u128]); 18] = [
        (base(), &[3, 2, 1]),
        (Query { model: Some("a".into()), ..base() }, &[1]),
        (Query { model: Some("A".into()), ..base() }, &[]),
        (Query { dialect: Some("anthropic-messages".into()), ..base() }, &[2]),
        (Query { client: Some("ci".into()), ..base() }, &[1]),
        (Query { route: Some("*".into()), ..base() }, &[3]),
        (Query { upstream: Some("other".into()), model: Some("a".into()), ..base() }, &[]),
        (Query { outcome: Some(Ended::As(Outcome::Failed)), ..base() }, &[3]),
        (Query { outcome: Some(Ended::Not), ..base() }, &[2, 1]),
        (Query { session: Some("s".into()), ..base() }, &[1]),
        (Query { session: Some(id(2).to_string()), ..base() }, &[2]),
        (Query { severity: Some(Severity::Debug), ..base() }, &[2, 1]),
        (Query { severity: Some(Severity::Warning), ..base() }, &[2]),
        (Query { policy: Some("it's \"a\"".into()), ..base() }, &[2]),
        (Query { policy: Some("guar".into()), ..base() }, &[]),
        (Query { policy: Some("guard".into()), severity: Some(Severity::Info), ..base() }, &[2]),
        (Query { since_us: Some(2_000), ..base() }, &[3, 2]),
        (Query { until_us: Some(2_000), ..base() }, &[1]),
    ];
    for (query, expected) in cases {
        assert_eq!(listed(&store, &query).await, expected, "{query:?}");
    }
}

pub async fn calls_are_found_by_words_that_were_said_in_them(database: &impl Database) {
    let store = database.open().await;
    let said = |n, seq, text: &str| Text { call_id: id(n), epoch: 0, seq, text: text.into() };
    let texts = vec![
        said(1, 0, "please run rm rf on etc passwd"),
        said(1, 2, "no ménage à trois"),
        said(2, 0, "rf rm words words"),
        said(3, 0, "and or not near text"),
    ];
    let batch = Batch { summaries: vec![call(1), call(2), call(3)], texts, ..Batch::default() };
    for _ in 0..2 {
        store.write(&batch).await.unwrap();
    }
    let found = async |text: &str| {
        listed(&store, &Query { text: Some(Search::parse(text).unwrap()), ..Query::default() }).await
    };
    for (text, expected) in [
        ("rm -rf", &[2, 1][..]),
        ("\"rm -rf\"", &[1]),
        ("/etc/passwd", &[1]),
        ("passwd etc", &[1]),
        // In different parts of the call.
        ("Passwd MÉNAGE", &[1]),
        ("menage", &[]),
        ("passwd words", &[]),
        ("pass", &[]),
        ("AND", &[3]),
        ("NOT text:*", &[3]),
        ("NEAR(text) ^OR {a}", &[]),
    ] {
        assert_eq!(found(text).await, expected, "{text}");
    }
    assert_eq!(Search::parse(" \" - \" */"), None);
}

pub async fn sessions_are_listed_that_with_the_latest_call_first(database: &impl Database) {
    let store = database.open().await;
    let of = |n, session: &str| Summary { session: Some(session.into()), ..call(n) };
    let tokens = Tokens { input: Some(10), output: Some(2), ..Tokens::default() };
    let calls = [
        Summary { tokens, outcome: Some(Outcome::Delivered), severity: Some(Severity::Warning), ..of(1, "a") },
        of(2, "b \"ü\""),
        Summary {
            tokens,
            model: "other".into(),
            client: Some("ci".into()),
            severity: Some(Severity::Info),
            ..of(5, "a")
        },
        call(4),
    ];
    open(&store, &calls).await;
    open(&store, &calls[..1]).await;
    let ask = async |calls: Query, after: Option<SessionCursor>| {
        store.sessions(&SessionQuery { calls, after }).await.unwrap()
    };
    let all = ask(Query::default(), None).await;
    let ids: Vec<_> = all.sessions.iter().map(|session| session.id.clone()).collect();
    assert_eq!(ids, ["a".to_owned(), id(4).to_string(), "b \"ü\"".to_owned()]);
    assert_eq!(all.next, None);
    let mut session = all.sessions[0].clone();
    session.models.sort();
    let tokens = Tokens { input: Some(20), output: Some(4), ..Tokens::default() };
    let expected = Session {
        id: "a".into(),
        first_at_us: 1_000,
        last_at_us: 5_000,
        calls: 2,
        running: 1,
        tokens,
        models: vec!["gpt".into(), "other".into()],
        clients: vec!["ci".into()],
        severity: Some(Severity::Warning),
    };
    assert_eq!(session, expected);

    let limit = |limit| Query { limit, ..Query::default() };
    let first = ask(limit(2), None).await;
    let cursor = SessionCursor::from_text(&first.next.unwrap().to_text());
    // A new one is before the cursor.
    open(&store, &[of(6, "c")]).await;
    let rest = ask(limit(2), cursor).await;
    assert_eq!(rest.sessions, all.sessions[2..]);
    assert_eq!(rest.next, None);
    let failed = Query { outcome: Some(Ended::As(Outcome::Delivered)), ..Query::default() };
    assert_eq!(ask(failed, None).await.sessions, [all.sessions[0].clone()]);
}

pub async fn a_session_tells_its_conversation_once(database: &impl Database) {
    let store = database.open().await;
    let said: Vec<String> = ["hi", "hello", "go on", "done", "go on"].map(|text| json!({"t": text}).to_string()).into();
    let turn = async |n, messages: &[String]| {
        let session = Some("s".to_owned());
        let (mut batch, request) = request_of(n, messages);
        batch.summaries = vec![Summary { session, ..call(n) }];
        batch.entries = vec![request, entry(id(n), 1, "{}")];
        store.write(&batch).await.unwrap();
    };
    turn(1, &said[..1]).await;
    turn(3, &said).await;
    turn(2, &said[..3]).await;
    let told = async |after, limit| store.session("s", after, limit).await.unwrap();
    let whole = told(None, 9).await.unwrap();
    let messages: Vec<_> = whole.turns.iter().map(|turn| turn.messages.clone()).collect();
    assert_eq!(messages, [said[..1].to_vec(), said[1..3].to_vec(), said[3..].to_vec()]);
    assert_eq!(ids(&whole.turns.iter().map(|turn| turn.call.clone()).collect::<Vec<_>>()), [1, 2, 3]);
    assert_eq!(whole.turns[1].entries, [entry(id(2), 1, "{}")]);
    assert_eq!(whole.next, None);
    let first = told(None, 2).await.unwrap();
    assert_eq!(first.turns, whole.turns[..2]);
    assert_eq!(told(first.next, 2).await.unwrap().turns, whole.turns[2..]);
    assert_eq!(store.session("t", None, 9).await.unwrap(), None);
}

pub async fn a_history_that_was_rewritten_tells_what_is_new_in_it(database: &impl Database) {
    let store = database.open().await;
    let text = |text: &str| json!({ "t": text }).to_string();
    let requests: [&[&str]; 4] =
        [&["a", "b", "c"], &["summary of a and b", "c", "d"], &["a", "b", "c", "e"], &["a", "a"]];
    for (n, messages) in (1..).zip(requests) {
        let messages: Vec<String> = messages.iter().copied().map(text).collect();
        let (mut batch, request) = request_of(n, &messages);
        batch.summaries = vec![Summary { session: Some("s".into()), ..call(n) }];
        batch.entries = vec![request];
        store.write(&batch).await.unwrap();
    }
    // As it was before messages were kept apart.
    let body = r#"{"type":"request","request":{"messages":[{"t":"a"}, {"t":"f"}]}}"#;
    let summaries = vec![Summary { session: Some("s".into()), ..call(5) }];
    let entries = vec![Entry { kind: "request".into(), ..entry(id(5), 0, body) }];
    store.write(&Batch { summaries, entries, ..Batch::default() }).await.unwrap();

    let told = store.session("s", None, 9).await.unwrap().unwrap();
    let messages: Vec<_> = told.turns.iter().map(|turn| turn.messages.clone()).collect();
    let expected: [&[&str]; 5] = [&["a", "b", "c"], &["summary of a and b", "d"], &["e"], &["a"], &["f"]];
    assert_eq!(messages, expected.map(|messages| messages.iter().copied().map(text).collect::<Vec<_>>()));
}

pub async fn a_cursor_stays_where_it_is_when_calls_are_added(database: &impl Database) {
    let store = database.open().await;
    open(&store, &[call(10), call(20), call(30), call(40)]).await;
    let first = store.calls(&Query { limit: 2, ..Query::default() }).await.unwrap();
    assert_eq!(ids(&first.calls), [40, 30]);

    open(&store, &[call(50), call(35), call(15)]).await;
    let rest = store.calls(&Query { after: first.next, limit: 3, ..Query::default() }).await.unwrap();
    assert_eq!(ids(&rest.calls), [20, 15, 10]);
    assert_eq!(rest.next, None);
}

pub async fn calls_that_began_at_the_same_moment_are_all_listed_once(database: &impl Database) {
    let store = database.open().await;
    let calls: Vec<_> = (1..=7).map(|n| Summary { started_at_us: 5, ..call(n) }).collect();
    open(&store, &calls).await;
    let (mut seen, mut query) = (Vec::new(), Query { limit: 2, ..Query::default() });
    loop {
        let page = store.calls(&query).await.unwrap();
        seen.extend(ids(&page.calls));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

pub async fn many_entries_fit_in_one_batch(database: &impl Database) {
    let store = database.open().await;
    open(&store, &[call(1)]).await;
    let entries: Vec<_> = (0..1_303).map(|seq| entry(id(1), seq, "{}")).collect();
    store.write(&Batch { summaries: vec![], entries: entries.clone(), ..Batch::default() }).await.unwrap();
    assert_eq!(store.call(id(1)).await.unwrap().unwrap().entries, entries);
}

pub async fn a_period_is_forgotten_and_nothing_of_the_others(database: &impl Database) {
    let store = database.open().await;
    assert_eq!(store.extent().await.unwrap().oldest, None);
    let messages: Vec<String> = (0..50).map(|n| json!({ "n": n }).to_string()).collect();
    let periods = [7_000, 7_001, 8_000].map(Period::from_number);
    for (i, period) in (0..).zip(periods) {
        for n in 100 * i + 1..=100 * i + 40 {
            let session = Some(if n % 2 == 0 { "all".to_owned() } else { format!("{period:?}") });
            let (mut batch, request) = request_in(period, n, &messages);
            batch.period = period;
            batch.summaries = vec![Summary { period, session, ..call(n) }];
            batch.entries = vec![request];
            batch.texts = vec![Text { call_id: id(n), epoch: 0, seq: 0, text: "word".into() }];
            store.write(&batch).await.unwrap();
        }
    }
    let before = store.extent().await.unwrap();
    assert_eq!((before.oldest, before.newest), (Some(periods[0]), Some(periods[2])));

    let (mut calls, mut steps) = (0, 0);
    while let purged = store.purge(periods[1]).await.unwrap()
        && purged.more
    {
        (calls, steps) = (calls + purged.calls, steps + 1);
    }
    assert_eq!(calls, 80);
    assert!(steps > 1, "in small steps");
    let after = store.extent().await.unwrap();
    assert_eq!((after.oldest, after.newest), (Some(periods[2]), Some(periods[2])));
    assert!(after.bytes < before.bytes, "{after:?} {before:?}");
    let left: Vec<u128> = (201..=240).rev().collect();
    let text = Search::parse("word");
    for query in [Query::default(), Query { text, ..Query::default() }] {
        assert_eq!(listed(&store, &query).await, left);
    }
    assert_eq!(store.call(id(1)).await.unwrap(), None);
    let kept = store.call(id(201)).await.unwrap().unwrap().entries[0].body.clone();
    assert!(kept.contains(r#"{"n":0}"#) && kept.contains(r#"{"n":49}"#), "it is whole");
    let sessions = store.sessions(&SessionQuery::default()).await.unwrap().sessions;
    assert_eq!(sessions.iter().map(|session| session.calls).collect::<Vec<_>>(), [20, 20]);
}

pub async fn a_call_is_found_by_what_another_one_goes_on_from(database: &impl Database) {
    let store = database.open().await;
    let over = |n, answered| Summary { outcome: Some(Outcome::Delivered), answered, ..call(n) };
    let calls = [
        over(1, answered(Some("resp_1"), None, true)),
        over(2, answered(Some("resp_2"), Some("conv_1"), true)),
        over(3, answered(None, Some("conv_1"), false)),
        Summary { answered: answered(None, Some("conv_1"), false), ..call(4) },
        over(5, answered(Some("resp_1"), None, false)),
    ];
    open(&store, &calls).await;
    let from = async |asked: Asked| ids(&store.continued(&asked).await.unwrap());
    assert_eq!(from(Asked::Response("resp_1".into())).await, [5, 1]);
    assert_eq!(from(Asked::Response("resp_3".into())).await, [0; 0]);
    assert_eq!(from(Asked::Conversation("conv_1".into())).await, [4, 2]);
    assert_eq!(from(Asked::Conversation("resp_1".into())).await, [0; 0]);
    assert_eq!(from(Asked::Unreadable).await, [0; 0]);
}

pub async fn two_control_planes_share_a_database(database: &impl Database) {
    let (one, two) = (database.open().await, database.open().await);
    let write = async |store: &dyn Store, from: u128| {
        for n in from..from + 40 {
            let epoch = u32::try_from(n).unwrap();
            let entry = Entry { epoch, ..entry(id(1_000), 0, "{}") };
            let summaries = vec![call(n), Summary { epoch, ..call(1_000) }];
            assert_eq!(
                store.write(&Batch { summaries, entries: vec![entry], ..Batch::default() }).await.unwrap().conflicts,
                []
            );
        }
    };
    tokio::join!(write(&one, 100), write(&two, 200));
    for store in [&one, &two] {
        assert_eq!(listed(store, &Query { limit: 1_000, ..Query::default() }).await.len(), 81);
        let shared = store.call(id(1_000)).await.unwrap().unwrap();
        let epochs: Vec<_> = shared.entries.iter().map(|entry| entry.epoch).collect();
        assert_eq!((shared.summary.epoch, epochs), (239, (100..140).chain(200..240).collect()));
    }
}

pub async fn many_control_planes_starting_at_once_make_one_schema(database: &impl Database) {
    std::thread::scope(|scope| {
        let open = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { database.open().await.close().await });
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Puts calls on record.
pub async fn open(store: &dyn Store, calls: &[Summary]) {
    store.write(&Batch { summaries: calls.to_vec(), ..Batch::default() }).await.unwrap();
}

const PERIOD: Period = Period::from_number(20_000_001);

fn message(body: &str) -> Message {
    Message { period: PERIOD, hash: Hash::of(body), body: body.into() }
}

/// The entry of a request with those messages, and what it refers to.
fn request_of(n: u128, messages: &[String]) -> (Batch, Entry) {
    request_in(PERIOD, n, messages)
}

fn request_in(period: Period, n: u128, messages: &[String]) -> (Batch, Entry) {
    let (mut batch, mut parent) = (Batch::default(), None);
    for (length, body) in (1..).zip(messages) {
        let message = Message { period, ..message(body) };
        let hash = Hash::of_history(parent, message.hash);
        batch.histories.push(History { period, hash, parent, message: message.hash, length });
        batch.messages.push(message);
        parent = Some(hash);
    }
    let history = json!({"history": parent, "period": period});
    let body = json!({"type": "request", "request": {"messages": history}}).to_string();
    (batch, Entry { kind: "request".into(), ..entry(id(n), 0, &body) })
}

/// What goes with entries of a call.
fn said(n: u128) -> Batch {
    let message = message("{}");
    let hash = Hash::of_history(None, message.hash);
    let history = History { period: PERIOD, hash, parent: None, message: message.hash, length: 1 };
    let text = Text { call_id: id(n), epoch: 0, seq: 0, text: "ü\0 \"quoted\"".into() };
    Batch { messages: vec![message], histories: vec![history], texts: vec![text], ..Batch::default() }
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
        acted: Vec::new(),
        period: PERIOD,
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
        acted: vec!["a".into(), "b \"quoted\"".into()],
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
