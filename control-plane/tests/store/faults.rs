//! A store that fails: nothing is lost while there is time, and what is lost is counted.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use luthien_control_plane::{
    continuation::Asked,
    record::{
        Batch, Conversation, Cursor, Extent, FullCall, Page, Period, Purged, Query, Recorder, SessionPage,
        SessionQuery, Sqlite, Store, StoreError, Summary, Writer, Written,
    },
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::conformance::{call, id, note};

/// More than may be queued.
const MORE_THAN_ROOM: usize = 65 << 20;

#[tokio::test]
async fn a_store_that_fails_for_a_while_loses_nothing_and_is_told_of() {
    let plane = Plane::new().await;
    plane.store.fail(true);
    let mut record = plane.recorder.call(call(1));
    record.push(note(0, "s"));
    record.flush().await;
    let closing = tokio::spawn(record.close());
    while plane.recorder.health().failing().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    plane.store.fail(false);
    closing.await.unwrap().unwrap();
    assert_eq!(plane.recorder.health().failing(), None);
    assert_eq!(plane.entries(1).await, 1);
}

#[tokio::test]
async fn what_cannot_be_written_before_the_end_is_counted_and_never_told_to_be_durable() {
    let plane = Plane::new().await;
    plane.store.fail(true);
    let mut record = plane.recorder.call(call(1));
    record.push(note(0, "s"));
    record.push(note(1, "s"));
    record.flush().await;
    let closing = tokio::spawn(record.close());
    plane.finish.cancel();
    plane.give_up.cancel();
    plane.writing.await.unwrap();
    assert!(closing.await.unwrap().is_err());
    assert_eq!(plane.recorder.health().entries_lost(), 2);
}

#[tokio::test]
async fn a_full_queue_makes_calls_wait_and_loses_nothing() {
    let plane = Plane::new().await;
    plane.store.fail(true);
    let (mut large, mut next) = (plane.recorder.call(call(1)), plane.recorder.call(call(2)));
    large.push(note(0, &"x".repeat(MORE_THAN_ROOM)));
    large.flush().await;
    next.push(note(0, "s"));
    assert!(next.flush().now_or_never().is_none());
    assert!(!next.is_flushed());

    plane.store.fail(false);
    next.flush().await;
    next.close().await.unwrap();
    large.close().await.unwrap();
    assert_eq!((plane.entries(1).await, plane.entries(2).await), (1, 1));
}

#[tokio::test]
async fn calls_that_wait_for_what_they_put_on_record_wait_for_one_transaction() {
    let plane = Plane::new().await;
    plane.store.fail(true);
    let mut records: Vec<_> = (1..=20).map(|number| plane.recorder.call(call(number))).collect();
    let mut waiting = Vec::new();
    for record in &mut records {
        record.push(note(0, "s"));
        record.push(note(1, "s"));
        record.flush().await;
        waiting.push(record.durable());
    }
    while plane.recorder.health().failing().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(waiting.iter().all(|durable| *durable.borrow() == Some(0)));
    plane.store.fail(false);
    for mut durable in waiting {
        durable.wait_for(|durable| *durable == Some(2)).await.unwrap();
    }
    let written = plane.store.written.load(Ordering::SeqCst);
    assert!(written <= 2, "{written} transactions");
}

#[tokio::test]
async fn of_two_streams_that_claim_one_epoch_the_first_is_kept_and_the_other_counted() {
    let plane = Plane::new().await;
    for said in ["first", "second"] {
        let mut record = plane.recorder.call(call(1));
        record.push(note(0, said));
        record.flush().await;
        let mut durable = record.durable();
        let told = durable.wait_for(|durable| *durable != Some(0)).await.unwrap();
        assert_eq!(told.is_some(), said == "first", "what is on record is the first's");
        drop(told);
        record.close().await.unwrap();
    }
    assert_eq!(plane.recorder.health().conflicts(), 1);
    assert_eq!(plane.recorder.health().entries_lost(), 0);
    let entries = plane.store.call(id(1)).await.unwrap().unwrap().entries;
    assert!(entries.len() == 1 && entries[0].body.contains("first"), "{entries:?}");
}

pub struct Plane {
    pub store: Arc<Flaky>,
    pub recorder: Recorder,
    writing: JoinHandle<()>,
    finish: CancellationToken,
    give_up: CancellationToken,
    _folder: TempDir,
}

impl Plane {
    pub async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let inner = Sqlite::open(&folder.path().join("luthien.db")).await.unwrap();
        let store = Arc::new(Flaky::new(inner));
        let (writer, recorder) = Writer::new(Arc::<Flaky>::clone(&store));
        let (finish, give_up) = (CancellationToken::new(), CancellationToken::new());
        let writing = tokio::spawn(writer.run(finish.clone(), give_up.clone()));
        Self { store, recorder, writing, finish, give_up, _folder: folder }
    }

    async fn entries(&self, call: u128) -> usize {
        self.store.call(id(call)).await.unwrap().unwrap().entries.len()
    }
}

/// A store that can be told to fail.
pub struct Flaky {
    inner: Sqlite,
    failing: AtomicBool,
    /// What was written.
    batches: Mutex<Vec<Batch>>,
    written: AtomicUsize,
}

impl Flaky {
    pub fn new(inner: Sqlite) -> Self {
        Self { inner, failing: AtomicBool::new(false), batches: Mutex::default(), written: AtomicUsize::new(0) }
    }

    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// What was written since the last time.
    pub fn written(&self) -> Vec<Batch> {
        std::mem::take(&mut *self.batches.lock().unwrap())
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.failing.load(Ordering::SeqCst) {
            true => Err(StoreError::Database(sqlx::Error::WorkerCrashed)),
            false => Ok(()),
        }
    }
}

impl Store for Flaky {
    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Written, StoreError>> {
        Box::pin(async {
            self.check()?;
            self.batches.lock().unwrap().push(batch.clone());
            self.written.fetch_add(1, Ordering::SeqCst);
            self.inner.write(batch).await
        })
    }

    fn calls<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.inner.calls(query)
    }

    fn call(&self, id: Uuid) -> BoxFuture<'_, Result<Option<FullCall>, StoreError>> {
        self.inner.call(id)
    }

    fn sessions<'a>(&'a self, query: &'a SessionQuery) -> BoxFuture<'a, Result<SessionPage, StoreError>> {
        self.inner.sessions(query)
    }

    fn session<'a>(
        &'a self,
        id: &'a str,
        after: Option<Cursor>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Option<Conversation>, StoreError>> {
        self.inner.session(id, after, limit)
    }

    fn continued<'a>(&'a self, from: &'a Asked) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(async {
            self.check()?;
            self.inner.continued(from).await
        })
    }

    fn extent(&self) -> BoxFuture<'_, Result<Extent, StoreError>> {
        self.inner.extent()
    }

    fn purge(&self, until: Period) -> BoxFuture<'_, Result<Purged, StoreError>> {
        self.inner.purge(until)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
