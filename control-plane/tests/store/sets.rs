//! What a store of policy sets promises. Each function takes a database with nothing in it.

use luthien_control_plane::policies::{Current, Replaced, SetStore as _, Source, StoredSet};

use crate::conformance::Database;

/// Calls [`$run`] with every promise.
#[macro_export]
macro_rules! for_each_promise_of_sets {
    ($run:ident) => {
        $run! {
            the_set_of_a_file_counts_when_it_differs_from_the_last_one_that_came_from_a_file
            of_many_who_replace_the_same_set_one_does
            a_set_is_kept_for_a_day_after_the_last_need_of_it_and_the_current_one_always
        }
    };
}

/// The moments that sets are kept at.
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

fn set(revision: &str, now_us: i64) -> StoredSet {
    StoredSet { revision: revision.into(), config: format!("{{\"of\":\"{revision}\"}}"), now_us }
}

fn current(revision: &str, source: Source, since_us: i64) -> Current {
    Current { revision: revision.into(), source, since_us }
}

pub async fn the_set_of_a_file_counts_when_it_differs_from_the_last_one_that_came_from_a_file(
    database: &impl Database,
) {
    let store = database.open().await;
    assert_eq!(store.current().await.unwrap(), None);
    assert_eq!(store.begin(&set("a", 1)).await.unwrap(), current("a", Source::File, 1));
    assert_eq!(store.begin(&set("a", 2)).await.unwrap(), current("a", Source::File, 1));
    let api = current("b", Source::Api, 3);
    assert_eq!(store.replace(Some("a"), &set("b", 3)).await.unwrap(), Replaced::Done(api.clone()));
    assert_eq!(store.begin(&set("a", 4)).await.unwrap(), api);
    assert_eq!(store.begin(&set("c", 5)).await.unwrap(), current("c", Source::File, 5));
    assert_eq!(store.begin(&set("a", 6)).await.unwrap(), current("a", Source::File, 6));
    assert_eq!(store.current().await.unwrap(), Some(current("a", Source::File, 6)));
    assert_eq!(store.config("b").await.unwrap().as_deref(), Some("{\"of\":\"b\"}"));
    assert_eq!(store.config("d").await.unwrap(), None);
}

pub async fn of_many_who_replace_the_same_set_one_does(database: &impl Database) {
    let (one, two) = (database.open().await, database.open().await);
    one.begin(&set("a", 0)).await.unwrap();
    let (first, second) = (set("b", 1), set("c", 1));
    let (first, second) = tokio::join!(one.replace(Some("a"), &first), two.replace(Some("a"), &second));
    let done = |replaced: &Replaced| matches!(replaced, Replaced::Done(_));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(done(&first) != done(&second), "{first:?} {second:?}");
    let now = one.current().await.unwrap().unwrap();
    for replaced in [first, second] {
        let (Replaced::Done(told) | Replaced::Conflict(told)) = replaced;
        assert_eq!(told, now);
    }
    assert!(done(&two.replace(None, &set("d", 2)).await.unwrap()));
}

pub async fn a_set_is_kept_for_a_day_after_the_last_need_of_it_and_the_current_one_always(database: &impl Database) {
    let store = database.open().await;
    store.begin(&set("old", 0)).await.unwrap();
    store.replace(None, &set("used", 0)).await.unwrap();
    store.replace(None, &set("current", 0)).await.unwrap();
    store.touch(&[set("used", DAY_US), set("came back", DAY_US)]).await.unwrap();
    // Told late by another control plane.
    store.touch(&[set("used", 5)]).await.unwrap();
    assert_eq!(store.forget(DAY_US).await.unwrap(), 1);
    assert_eq!(store.forget(DAY_US).await.unwrap(), 0);
    assert_eq!(store.config("old").await.unwrap(), None);
    for kept in ["used", "current", "came back"] {
        assert!(store.config(kept).await.unwrap().is_some(), "{kept}");
    }
}
