//! The journal before Postgres: whatever happens to the server and to the line, what was written comes to it once, in
//! order; and what happens to the journal itself is never passed over in silence.

use std::{path::Path, sync::Arc, time::Duration};

use luthien_control_plane::record::{
    Batch, Entry, Journal, Journaled, Postgres, Shipper, Store, StoreError, Waiting, Writer,
};
use luthien_policy::Audit;
use luthien_tests_postgres::{Cluster, Relay, Weather};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::conformance::{call, entry, id};

/// What a journal may hold here.
const ROOM: u64 = 1 << 30;

/// A control plane's journal, and what writes it to a database.
struct Plane {
    journal: Arc<Journal>,
    postgres: Arc<Postgres>,
    store: Journaled,
    shipping: JoinHandle<()>,
    finish: CancellationToken,
    give_up: CancellationToken,
}

impl Plane {
    async fn start(folder: &TempDir, url: &str) -> Self {
        Self::with_room(folder, url, ROOM).await
    }

    async fn with_room(folder: &TempDir, url: &str, room: u64) -> Self {
        let journal = Arc::new(Journal::open(&directory(folder), Audit::Relaxed, room).await.unwrap());
        let postgres = Arc::new(Postgres::new(url.parse().unwrap()));
        let store = Journaled::new(Arc::clone(&journal), Arc::clone(&postgres));
        let (_, recorder) = Writer::new(Arc::new(Journaled::new(Arc::clone(&journal), Arc::clone(&postgres))));
        let shipper = Shipper::new(Arc::clone(&journal), Arc::clone(&postgres), recorder);
        let (finish, give_up) = (CancellationToken::new(), CancellationToken::new());
        let shipping = tokio::spawn(shipper.run(finish.clone(), give_up.clone()));
        Self { journal, postgres, store, shipping, finish, give_up }
    }

    /// Writes batches with one entry each, of one call.
    async fn write(&self, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            self.store.write(&batch(seq)).await.unwrap();
        }
    }

    /// Waits until everything is in the database.
    async fn shipped(&self) {
        eventually("the journal to be written", async || self.journal.waiting() == Waiting::default()).await;
    }

    /// As if it were killed.
    async fn killed(self) {
        self.give_up.cancel();
        self.shipping.await.unwrap();
        self.store.close().await;
    }
}

fn directory(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("journal")
}

fn batch(seq: u64) -> Batch {
    Batch {
        summaries: vec![call(1)],
        entries: vec![entry(id(1), seq, &format!("{{\"n\":{seq}}}"))],
        ..Batch::default()
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

async fn seqs(store: &impl Store) -> Vec<u64> {
    let found = store.call(id(1)).await.unwrap().unwrap();
    found.entries.iter().map(|Entry { seq, .. }| *seq).collect()
}

async fn raw(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// A database that notes in which order a journal is written: in `marks`.
async fn watched() -> String {
    let url = Cluster::shared().database();
    Postgres::open(url.parse().unwrap()).await.unwrap().close().await;
    let watch = "CREATE TABLE marks (at bigserial, shipped bigint);
        CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO marks (shipped) VALUES (NEW.shipped); RETURN NEW; END $$;
        CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON journals FOR EACH ROW EXECUTE FUNCTION watch();";
    raw(&url).await.execute(watch).await.unwrap();
    url
}

async fn is_in_order(url: &str) -> bool {
    let marks: Vec<i64> =
        sqlx::query_scalar("SELECT shipped FROM marks ORDER BY at").fetch_all(&mut raw(url).await).await.unwrap();
    !marks.is_empty() && marks.is_sorted()
}

#[tokio::test]
async fn what_is_written_while_the_server_is_down_is_there_when_it_is_back() {
    let (cluster, folder) = (Cluster::start(), TempDir::new().unwrap());
    let url = cluster.database();
    cluster.stop();
    let plane = Plane::start(&folder, &url).await;
    plane.write(0..40).await;
    assert_eq!(plane.journal.waiting().entries, 40);
    let unread = plane.store.call(id(1)).await.unwrap_err();
    assert!(matches!(unread, StoreError::Unreachable(_)), "{unread}");
    eventually("a warning", async || plane.journal.warnings().iter().any(|warning| warning.contains("wait in"))).await;

    cluster.start_again();
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, (0..40).collect::<Vec<_>>());
    assert_eq!(plane.journal.warnings(), [""; 0]);
    // And once more, of a server that was there.
    for _ in 0..2 {
        cluster.kill();
        let from = seqs_written(&plane);
        plane.write(from..from + 10).await;
        cluster.start_again();
        plane.shipped().await;
    }
    assert_eq!(seqs(&plane.store).await, (0..60).collect::<Vec<_>>());
}

/// How many entries were shipped, and so which seq is the next.
fn seqs_written(plane: &Plane) -> u64 {
    let shipped = plane.journal.shipped();
    assert_eq!(plane.journal.waiting(), Waiting::default());
    shipped
}

#[tokio::test]
async fn what_a_killed_control_plane_has_left_is_written_after_its_next_start() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let relay = Relay::to(&Cluster::shared().socket()).await;
    relay.turn(Weather::Broken);
    let plane = Plane::start(&folder, &relay.url(&url)).await;
    plane.write(0..20).await;
    plane.killed().await;

    let plane = Plane::start(&folder, &relay.url(&url)).await;
    assert_eq!(plane.journal.waiting().entries, 20);
    let asked = luthien_control_plane::continuation::Asked::Response("resp_1".into());
    assert!(matches!(plane.store.continued(&asked).await, Err(StoreError::Behind)));
    plane.write(20..30).await;
    relay.turn(Weather::Fair);
    plane.shipped().await;
    assert!(plane.store.continued(&asked).await.is_ok());
    assert_eq!(seqs(&plane.store).await, (0..30).collect::<Vec<_>>());

    // What may be written again changes nothing, and no id is given twice.
    plane.killed().await;
    let plane = Plane::start(&folder, &url).await;
    plane.write(30..32).await;
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, (0..32).collect::<Vec<_>>());
    assert!(is_in_order(&url).await);
}

#[tokio::test]
async fn a_line_that_is_cut_anywhere_in_a_batch_loses_and_doubles_nothing() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let relay = Relay::to(&Cluster::shared().socket()).await;
    let plane = Plane::start(&folder, &relay.url(&url)).await;
    plane.write(0..1).await;
    plane.shipped().await;
    let mut written = 1;
    // A transaction has some 900 bytes here, and a new connection before it as many again.
    for bytes in (0..2_000).step_by(61) {
        relay.cut_after(bytes);
        plane.write(written..written + 2).await;
        written += 2;
        plane.shipped().await;
    }
    assert!(relay.cuts() > 20, "{}", relay.cuts());
    // The last one may still be to come.
    relay.cut_after(u64::MAX);
    assert_eq!(seqs(&plane.store).await, (0..written).collect::<Vec<_>>());
    assert!(is_in_order(&url).await);
    assert_eq!(plane.journal.shipped(), written);
}

#[tokio::test]
async fn a_deadlock_and_a_failed_serialization_are_tried_again_with_the_whole_batch() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let plane = Plane::start(&folder, &url).await;
    plane.write(0..1).await;
    plane.shipped().await;
    // A sequence is not rolled back: the first attempts fail, behind what they have inserted already.
    let fail = "CREATE SEQUENCE attempts;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE attempt bigint := nextval('attempts');
        BEGIN
            IF attempt = 1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
            IF attempt = 2 THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END IF;
            IF attempt = 3 THEN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION fail();";
    raw(&url).await.execute(fail).await.unwrap();
    plane.write(1..20).await;
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, (0..20).collect::<Vec<_>>());
    let attempts: i64 =
        sqlx::query_scalar("SELECT last_value FROM attempts").fetch_one(&mut raw(&url).await).await.unwrap();
    assert!(attempts > 3);
    assert!(plane.journal.warnings().is_empty());
}

#[tokio::test]
async fn a_real_deadlock_is_resolved() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let plane = Plane::start(&folder, &url).await;
    let both =
        |seq| Batch { summaries: vec![call(1), call(2)], entries: vec![entry(id(1), seq, "{}")], ..Batch::default() };
    plane.store.write(&both(0)).await.unwrap();
    plane.shipped().await;

    let mut other = raw(&url).await;
    // The one that looks first gives up: that is to be the journal.
    other.execute("SET deadlock_timeout = '1h'").await.unwrap();
    let mut transaction = other.begin().await.unwrap();
    transaction
        .execute("UPDATE calls SET reason = 'x' WHERE call_id = '00000000-0000-0000-0000-000000000002'")
        .await
        .unwrap();
    plane.store.write(&both(1)).await.unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
    let mut look = raw(&url).await;
    eventually("the journal to wait", async || {
        sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut look).await.unwrap() > 0
    })
    .await;
    transaction
        .execute("UPDATE calls SET reason = 'x' WHERE call_id = '00000000-0000-0000-0000-000000000001'")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, [0, 1]);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    eventually("the server to have counted it", async || {
        sqlx::query_scalar::<_, i64>(deadlocks).fetch_one(&mut look).await.unwrap() > 0
    })
    .await;
}

#[tokio::test]
async fn commits_that_take_ten_seconds_are_waited_for_and_starve_no_reader() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let relay = Relay::to(&Cluster::shared().socket()).await;
    let plane = Plane::start(&folder, &relay.url(&url)).await;
    plane.write(0..1).await;
    plane.shipped().await;
    let backends = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_locks WHERE NOT granted";
    let mut look = raw(&url).await;

    let mut other = raw(&url).await;
    let mut lock = other.begin().await.unwrap();
    lock.execute("LOCK TABLE entries IN SHARE MODE").await.unwrap();
    plane.write(1..5).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        // Reads are answered meanwhile, by connections of their own.
        for _ in 0..20 {
            assert_eq!(seqs(&plane.store).await, [0]);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        waiting.extend(sqlx::query_scalar::<_, Option<String>>(backends).fetch_one(&mut look).await.unwrap());
    }
    assert!(plane.journal.waiting().entries > 0);
    // It was slow, and not lost: the same session waits all the time.
    waiting.dedup();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    lock.rollback().await.unwrap();
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_line_that_has_gone_silent_is_left_for_another() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let relay = Relay::to(&Cluster::shared().socket()).await;
    let plane = Plane::start(&folder, &relay.url(&url)).await;
    plane.write(0..1).await;
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, [0]);
    let before = relay.connections();

    relay.turn(Weather::Silent);
    plane.write(1..5).await;
    let (read, ()) = tokio::join!(plane.store.call(id(1)), async {
        eventually("the silence to be noticed", async || !plane.journal.warnings().is_empty()).await;
    });
    assert!(matches!(read, Err(StoreError::Slow(_) | StoreError::Database(sqlx::Error::PoolTimedOut))), "{read:?}");
    relay.turn(Weather::Fair);
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, [0, 1, 2, 3, 4]);
    assert!(relay.connections() > before);
    assert!(is_in_order(&url).await);
}

#[tokio::test]
async fn a_journal_belongs_to_one_control_plane() {
    let folder = TempDir::new().unwrap();
    let journal = Journal::open(&directory(&folder), Audit::Relaxed, ROOM).await.unwrap();
    let taken = Journal::open(&directory(&folder), Audit::Relaxed, ROOM).await.err().unwrap();
    assert!(matches!(taken, StoreError::JournalTaken(_)), "{taken}");
    drop(journal);
    Journal::open(&directory(&folder), Audit::Relaxed, ROOM).await.unwrap();
    #[cfg(unix)]
    for path in [directory(&folder)].into_iter().chain(files(&directory(&folder))) {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_full_journal_takes_no_more_and_loses_nothing() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let relay = Relay::to(&Cluster::shared().socket()).await;
    relay.turn(Weather::Broken);
    let plane = Plane::with_room(&folder, &relay.url(&url), 2_000).await;
    let mut written = 0;
    let full = loop {
        match plane.store.write(&batch(written)).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::JournalFull(2_000)), "{full}");
    assert!(written > 1 && plane.journal.waiting().bytes <= 2_000);
    relay.turn(Weather::Fair);
    eventually("room", async || plane.store.write(&batch(written)).await.is_ok()).await;
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, (0..=written).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_journal_is_set_aside_and_told_of_and_another_one_begun() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let file = directory(&folder).join("journal.db");
    for damage in ["no database", "cut short", "overwritten"] {
        let journal = Journal::open(&directory(&folder), Audit::Relaxed, ROOM).await.unwrap();
        let store = Journaled::new(Arc::new(journal), Arc::new(Postgres::new(url.parse().unwrap())));
        for seq in 0..200 {
            store.write(&Batch { entries: vec![entry(id(2), seq, &"x".repeat(3_000))], ..batch(0) }).await.unwrap();
        }
        store.close().await;
        drop(store);
        let mut bytes = std::fs::read(&file).unwrap();
        match damage {
            "no database" => bytes.fill(b'x'),
            "cut short" => bytes.truncate(bytes.len() / 2),
            _ => bytes[4096 * 2..4096 * 6].fill(0xa5),
        }
        std::fs::write(&file, bytes).unwrap();
        let journal = Journal::open(&directory(&folder), Audit::Relaxed, ROOM).await.unwrap();
        assert_eq!(journal.waiting(), Waiting::default(), "{damage}");
        let warnings = journal.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("set aside"), "{damage}: {warnings:?}");
        for aside in files(&directory(&folder)) {
            if aside.file_name().unwrap().to_string_lossy().starts_with("set-aside-") {
                std::fs::remove_file(aside).unwrap();
            }
        }
        assert_eq!(journal.warnings(), [""; 0]);
    }
}

#[tokio::test]
async fn a_damaged_batch_is_set_aside_and_told_of_and_the_others_are_written() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let relay = Relay::to(&Cluster::shared().socket()).await;
    relay.turn(Weather::Broken);
    let plane = Plane::start(&folder, &relay.url(&url)).await;
    plane.write(0..10).await;
    plane.killed().await;
    // One byte of one batch.
    let path = format!("sqlite://{}", directory(&folder).join("journal.db").display());
    let mut raw = SqliteConnection::connect(&path).await.unwrap();
    let packed: Vec<u8> =
        sqlx::query_scalar("SELECT packed FROM batches WHERE id = 5").fetch_one(&mut raw).await.unwrap();
    let mut flipped = packed.clone();
    flipped[packed.len() / 2] ^= 1;
    sqlx::query("UPDATE batches SET packed = ? WHERE id = 5").bind(flipped.clone()).execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();

    relay.turn(Weather::Fair);
    let plane = Plane::start(&folder, &relay.url(&url)).await;
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    let aside =
        files(&directory(&folder)).into_iter().find(|path| path.to_string_lossy().contains("set-aside-")).unwrap();
    assert_eq!(std::fs::read(&aside).unwrap(), flipped);
    assert!(plane.journal.warnings()[0].contains("batch-5"), "{:?}", plane.journal.warnings());
    assert!(is_in_order(&url).await);
}

#[tokio::test]
async fn a_batch_that_the_database_will_never_have_does_not_hold_the_others_up() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.seq = 3 THEN RAISE EXCEPTION 'out of range' USING ERRCODE = '22003'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION refuse();";
    raw(&url).await.execute(refuse).await.unwrap();
    let relay = Relay::to(&Cluster::shared().socket()).await;
    relay.turn(Weather::Broken);
    let plane = Plane::start(&folder, &relay.url(&url)).await;
    plane.write(0..8).await;
    relay.turn(Weather::Fair);
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, [0, 1, 2, 4, 5, 6, 7]);
    assert!(plane.journal.warnings()[0].contains("batch-4"), "{:?}", plane.journal.warnings());
}

#[tokio::test]
async fn characters_that_postgres_cannot_hold_hold_nothing_up() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let plane = Plane::start(&folder, &url).await;
    let mut summary = call(1);
    summary.model = "a\0b".into();
    summary.session = Some("\0".into());
    plane
        .store
        .write(&Batch { summaries: vec![summary], entries: vec![entry(id(1), 0, "{}")], ..Batch::default() })
        .await
        .unwrap();
    plane.shipped().await;
    let found = plane.store.call(id(1)).await.unwrap().unwrap().summary;
    assert_eq!((found.model.as_str(), found.session.as_deref()), ("a\u{fffd}b", Some("\u{fffd}")));
    assert_eq!(plane.journal.warnings(), [""; 0]);
}

#[tokio::test]
async fn what_is_in_the_database_is_forgotten_in_the_journal() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let plane = Plane::start(&folder, &url).await;
    plane.write(0..10).await;
    plane.finish.cancel();
    plane.shipping.await.unwrap();
    assert_eq!(plane.journal.waiting(), Waiting::default());
    plane.store.close().await;
    let path = format!("sqlite://{}", directory(&folder).join("journal.db").display());
    let mut raw = SqliteConnection::connect(&path).await.unwrap();
    let left = sqlx::query_scalar::<_, i64>(AssertSqlSafe("SELECT count(*) FROM batches")).fetch_one(&mut raw);
    assert_eq!(left.await.unwrap(), 0);
    drop(plane.postgres);
}

#[tokio::test]
async fn texts_with_more_words_than_postgres_keeps_together_hold_nothing_up() {
    let (folder, url) = (TempDir::new().unwrap(), watched().await);
    let plane = Plane::start(&folder, &url).await;
    let syllable = |n: u32| char::from_u32(0x4e00 + n).unwrap();
    // Each is three words for the index.
    let text: Vec<String> = (0..30_000).map(|n| format!("{}-{}", syllable(n % 20_000), n)).collect();
    let text = luthien_control_plane::record::Text { call_id: id(1), epoch: 0, seq: 0, text: text.join(" ") };
    plane.store.write(&Batch { texts: vec![text], ..batch(0) }).await.unwrap();
    plane.shipped().await;
    assert_eq!(seqs(&plane.store).await, [0]);
    assert_eq!(plane.journal.warnings(), [""; 0]);
    let lengths = "SELECT length(words) FROM texts";
    let length: i32 = sqlx::query_scalar(lengths).fetch_one(&mut raw(&url).await).await.unwrap();
    assert!(length > 1_000);
}
