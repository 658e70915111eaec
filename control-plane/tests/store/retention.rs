//! What is not to be kept any longer is forgotten, while calls go on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use luthien_control_plane::record::{Batch, Extent, Period, Purger, Query, Recorder, Retention, Store as _, Summary};

use crate::{
    conformance::{call, note},
    faults::{Flaky, Plane},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn day(n: u32) -> SystemTime {
    UNIX_EPOCH + n * DAY
}

/// A call a day, and one more in the second part of the last.
async fn fill(store: &Flaky, days: std::ops::Range<u32>) {
    let last = Period::of(day(days.end - 1)).next_part();
    let periods = days.map(|n| Period::of(day(n))).chain([last]);
    for (n, period) in (1..).zip(periods) {
        let batch = Batch { period, summaries: vec![Summary { period, ..call(n) }], ..Batch::default() };
        store.write(&batch).await.unwrap();
    }
}

async fn listed(store: &Flaky) -> Vec<u128> {
    let page = store.calls(&Query::default()).await.unwrap();
    page.calls.iter().map(|call| call.call_id.as_u128()).collect()
}

fn purger(store: &Arc<Flaky>, recorder: &Recorder, retention: Retention) -> Purger {
    Purger::new(Arc::<Flaky>::clone(store), recorder.clone(), retention)
}

#[test]
fn the_oldest_is_due_when_its_day_ended_long_enough_ago_or_when_there_is_too_much() {
    let period = |n| Some(Period::of(day(n)));
    let extent = |oldest, newest, bytes| Extent { bytes, oldest: period(oldest), newest: period(newest) };
    let age = |days| Retention { age: Some(days * DAY), size: None };
    let size = Retention { age: None, size: Some(1_000) };
    let late = day(40) + DAY - Duration::from_millis(1);
    for (retention, extent, now, due) in [
        (Retention::default(), extent(1, 40, u64::MAX), day(40), None),
        (age(30), extent(9, 40, 0), day(40), period(9)),
        (age(30), extent(10, 40, 0), late, None),
        (age(30), extent(10, 40, 0), late + DAY, period(10)),
        // Whoever comes back after a long time.
        (age(30), extent(3, 3, 0), day(40), period(3)),
        (age(30), extent(3, 3, 0), day(4), None),
        (age(30), Extent::default(), day(40), None),
        (size, extent(39, 40, 1_000), day(40), None),
        (size, extent(39, 40, 1_001), day(40), period(39)),
        // Something has to stay, and a clock that is wrong changes nothing.
        (size, extent(40, 40, 1_001), day(99), None),
    ] {
        assert_eq!(retention.due(&extent, now), due, "{retention:?} {extent:?}");
    }
}

#[tokio::test]
async fn days_that_are_old_are_forgotten() {
    let plane = Plane::new().await;
    fill(&plane.store, 10..15).await;
    let purger = purger(&plane.store, &plane.recorder, Retention { age: Some(2 * DAY), size: None });
    assert_eq!(purger.round(day(12)).await.unwrap(), 0);
    assert_eq!(purger.round(day(15) - Duration::from_secs(1)).await.unwrap(), 2);
    assert_eq!(listed(&plane.store).await, [6, 5, 4, 3]);
    assert_eq!(purger.round(day(99)).await.unwrap(), 4);
    assert_eq!(listed(&plane.store).await, [0; 0]);
}

#[tokio::test]
async fn of_what_is_too_much_the_oldest_is_forgotten_and_the_newest_stays() {
    let plane = Plane::new().await;
    fill(&plane.store, 10..15).await;
    let purger = purger(&plane.store, &plane.recorder, Retention { age: None, size: Some(0) });
    assert_eq!(purger.round(day(15)).await.unwrap(), 5);
    assert_eq!(listed(&plane.store).await, [6]);
}

#[tokio::test]
async fn calls_go_on_record_while_others_are_forgotten() {
    let plane = Plane::new().await;
    for n in 10..40 {
        fill(&plane.store, n..n + 1).await;
    }
    let purger = purger(&plane.store, &plane.recorder, Retention { age: Some(DAY), size: None });
    let writing = async {
        for n in 1_000..1_050 {
            let mut record = plane.recorder.call(call(n));
            record.push(note(0, "s"));
            record.close().await.unwrap();
        }
    };
    let (forgotten, ()) = tokio::join!(purger.round(day(50)), writing);
    assert!(forgotten.unwrap() > 0);
    assert_eq!(listed(&plane.store).await.len(), 50);
}
