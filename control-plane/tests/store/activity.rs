//! What a store promises to those who watch. Each function takes a database with nothing in it.

use luthien_control_plane::record::{
    Activities, Activity, Batch, Entry, Happening, Place, Store, Summary, activity::What,
};
use luthien_proto::message::Outcome;
use serde_json::json;

use crate::conformance::{Database, call, entry, id};

/// Calls [`$run`] with every promise.
#[macro_export]
macro_rules! for_each_promise_of_activity {
    ($run:ident) => {
        $run! {
            what_is_written_is_told_in_order_and_read_on_from_any_place
            a_batch_that_is_written_twice_is_told_once
            an_end_that_nobody_told_of_is_told
            what_was_forgotten_is_a_gap_and_no_silence
            a_place_of_another_database_is_a_gap
            control_planes_that_write_at_once_are_told_of_without_loss
        }
    };
}

pub async fn what_is_written_is_told_in_order_and_read_on_from_any_place(database: &impl Database) {
    let store = database.open().await;
    write(&store, Batch { summaries: vec![call(1), call(2)], entries: vec![request(1)], ..Batch::default() }).await;
    let entries = vec![note(1, 1), request(2), silent(1, 2), note(1, 3), note(2, 1)];
    write(&store, Batch { entries, ..Batch::default() }).await;
    write(&store, Batch { entries: vec![note(2, 2), silent(2, 3)], ..Batch::default() }).await;

    let all = told(&store, Place::START, 100).await;
    let names = |happenings: &[Happening]| {
        let name = |happening: &Happening| (happening.call.call_id.as_u128(), happening.seq.unwrap());
        happenings.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&all), [(1, 0), (1, 1), (1, 3), (2, 0), (2, 1), (2, 2)]);
    assert!(all.is_sorted_by_key(|happening| happening.place));
    let What::Request(request) = &all[0].what else { panic!("{:?}", all[0]) };
    assert_eq!((&*request.upstream, &*all[0].call.model, all[0].at_us), ("openai", "gpt", 1_000));
    assert_eq!((all[1].what.policies(), all[1].at_us), (vec!["p"], 1_010));
    for (n, happening) in all.iter().enumerate() {
        for limit in [1, 2, 100] {
            assert_eq!(told(&store, happening.place, limit).await, all[n + 1..], "{n} {limit}");
        }
    }
    let end = store.end().await.unwrap();
    assert_eq!(told(&store, end, 100).await, []);
    write(&store, Batch { entries: vec![note(2, 4)], ..Batch::default() }).await;
    assert_eq!(names(&told(&store, end, 100).await), [(2, 4)]);
}

pub async fn a_batch_that_is_written_twice_is_told_once(database: &impl Database) {
    let store = database.open().await;
    let batch = Batch { summaries: vec![ended(1)], entries: vec![request(1), note(1, 1)], ..Batch::default() };
    write(&store, batch.clone()).await;
    let all = told(&store, Place::START, 100).await;
    assert_eq!(all.len(), 3);
    write(&store, batch).await;
    assert_eq!(told(&store, Place::START, 100).await, all);
}

pub async fn an_end_that_nobody_told_of_is_told(database: &impl Database) {
    let store = database.open().await;
    let outcome = Entry { kind: "outcome".into(), ..entry(id(2), 1, r#"{"type":"outcome","outcome":"unknown"}"#) };
    let entries = vec![request(1), request(2), outcome];
    write(&store, Batch { summaries: vec![ended(1), ended(2)], entries, ..Batch::default() }).await;
    let ends: Vec<_> = told(&store, Place::START, 100).await;
    let ends: Vec<_> =
        ends.iter().filter_map(|end| Some((end.call.call_id.as_u128(), end.seq, end.what.outcome()?))).collect();
    assert_eq!(ends, [(2, Some(1), Outcome::Unknown), (1, None, Outcome::Unknown)]);
}

pub async fn what_was_forgotten_is_a_gap_and_no_silence(database: &impl Database) {
    let store = database.open().await;
    write(&store, Batch { summaries: vec![call(1)], entries: vec![request(1)], ..Batch::default() }).await;
    for seq in 1..10 {
        write(&store, Batch { entries: vec![note(1, seq)], ..Batch::default() }).await;
    }
    let all = told(&store, Place::START, 100).await;
    store.forget(4).await.unwrap();
    let behind = store.after(all[2].place, 100).await.unwrap();
    assert_eq!((behind.happenings.as_slice(), behind.is_gap), (&all[6..], true));
    let behind = store.after(all[6].place, 100).await.unwrap();
    assert_eq!((behind.happenings.as_slice(), behind.is_gap), (&all[7..], false));
    store.forget(4).await.unwrap();
    assert_eq!(told(&store, all[6].place, 100).await, all[7..]);
}

pub async fn a_place_of_another_database_is_a_gap(database: &impl Database) {
    let store = database.open().await;
    write(&store, Batch { summaries: vec![call(1)], entries: vec![request(1)], ..Batch::default() }).await;
    let elsewhere = Place::from_text(&"f".repeat(32)).unwrap();
    let behind = store.after(elsewhere, 100).await.unwrap();
    assert!(behind.happenings.is_empty() && behind.is_gap && behind.through < elsewhere, "{behind:?}");
    write(&store, Batch { entries: vec![note(1, 1)], ..Batch::default() }).await;
    assert_eq!(told(&store, behind.through, 100).await.len(), 1);
}

pub async fn control_planes_that_write_at_once_are_told_of_without_loss(database: &impl Database) {
    const EACH: u64 = 40;
    let (one, two, watching) = (database.open().await, database.open().await, database.open().await);
    write(&one, Batch { summaries: vec![call(1), call(2)], ..Batch::default() }).await;
    let begin = watching.end().await.unwrap();
    let writes = async |store: &dyn Store, n| {
        for seq in 0..EACH {
            store.write(&Batch { entries: vec![note(n, seq)], ..Batch::default() }).await.unwrap();
        }
    };
    let watch = async {
        let (mut seen, mut place) = (Vec::new(), begin);
        while seen.len() < 2 * EACH as usize {
            let Activities { happenings, through, .. } = watching.after(place, 7).await.unwrap();
            seen.extend(happenings);
            place = through;
        }
        seen
    };
    let (seen, ..) = tokio::join!(watch, writes(&one, 1), writes(&two, 2));
    for n in [1, 2] {
        let of = seen.iter().filter(|happening| happening.call.call_id == id(n));
        let seqs: Vec<_> = of.map(|happening| happening.seq.unwrap()).collect();
        assert_eq!(seqs, (0..EACH).collect::<Vec<_>>());
    }
    assert_eq!(told(&watching, begin, 100).await, seen);
}

/// All that is behind a place, read in pieces.
pub async fn told(store: &dyn Activity, mut place: Place, limit: u32) -> Vec<Happening> {
    let mut all = Vec::new();
    loop {
        let Activities { happenings, through, is_more, is_gap } = store.after(place, limit).await.unwrap();
        assert!(!is_gap);
        all.extend(happenings);
        place = through;
        if !is_more {
            return all;
        }
    }
}

async fn write(store: &dyn Store, batch: Batch) {
    store.write(&batch).await.unwrap();
}

fn ended(n: u128) -> Summary {
    Summary { outcome: Some(Outcome::Unknown), reason: Some("lost".into()), ..call(n) }
}

fn request(n: u128) -> Entry {
    Entry { kind: "request".into(), ..entry(id(n), 0, r#"{"type":"request"}"#) }
}

pub fn note(n: u128, seq: u64) -> Entry {
    let body = json!({ "type": "note", "policy": "p", "seq": seq, "severity": "info", "summary": "s" });
    Entry { kind: "note".into(), ..entry(id(n), seq, &body.to_string()) }
}

/// What nobody is told of.
fn silent(n: u128, seq: u64) -> Entry {
    entry(id(n), seq, r#"{"type":"step"}"#)
}
