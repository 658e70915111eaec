//! The suite on SQLite, and what only concerns a file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use luthien_control_plane::record::{Batch, Entry, Period, Sqlite, Store, StoreError, Summary, Writer, Written};
use luthien_proto::message::{Outcome, Severity};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection,
    migrate::{Migrate as _, Migrator},
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    activity,
    conformance::{self, Database},
    sets,
};

struct File {
    path: PathBuf,
    _dir: TempDir,
}

fn file() -> File {
    let dir = TempDir::new().unwrap();
    File { path: dir.path().join("luthien.db"), _dir: dir }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path)
}

impl Database for File {
    type Store = Sqlite;

    async fn open(&self) -> Sqlite {
        Sqlite::open(&self.path).await.unwrap()
    }
}

macro_rules! run_on_sqlite {
    ($($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            promises::$promise(&file()).await;
        }
    )*};
}

mod record {
    use super::{conformance as promises, file};

    crate::for_each_promise!(run_on_sqlite);
}

mod activities {
    use super::{activity as promises, file};

    crate::for_each_promise_of_activity!(run_on_sqlite);
}

mod policy_sets {
    use super::{file, sets as promises};

    crate::for_each_promise_of_sets!(run_on_sqlite);
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused() {
    let file = file();
    Sqlite::open(&file.path).await.unwrap().close().await;
    let mut raw = SqliteConnection::connect(&format!("sqlite://{}", file.path.display())).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (900, 'later', TRUE, x'00', 0)";
    sqlx::query(later).execute(&mut raw).await.unwrap();

    let error = Sqlite::open(&file.path).await.err().unwrap();
    assert!(matches!(error, StoreError::TooNew { found: 900, known: 7 }), "{error:?}");
    assert!(error.to_string().contains("schema version 900"), "{error}");
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_brought_up_and_keeps_its_calls() {
    let file = file();
    let mut raw = SqliteConnection::connect_with(&options(&file.path).create_if_missing(true)).await.unwrap();
    sqlx::raw_sql(include_str!("../../../migrations/sqlite/0001_record.sql")).execute(&mut raw).await.unwrap();
    let first = Migrator::new(Path::new("../migrations/sqlite")).await.unwrap();
    let checksum = first.iter().find(|migration| migration.version == 1).unwrap().checksum.to_vec();
    raw.ensure_migrations_table("_sqlx_migrations").await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1, 'record', TRUE, ?, 0)",
    )
    .bind(checksum)
    .execute(&mut raw)
    .await
    .unwrap();
    let body =
        format!(r#"{{"type":"request","request":{{"messages":[{{"role":"user","text":"{}"}}]}}}}"#, "x".repeat(999));
    for sql in [
        "INSERT INTO calls (call_id, epoch, session, started_at_us, dialect, upstream_dialect, upstream, route, model,
            upstream_model, stream, outcome)
         VALUES (x'00000000000000000000000000000001', 0, NULL, 1000, 'openai-chat', 'openai-chat', 'openai', 'gpt-*',
            'gpt', 'gpt', 1, NULL)"
            .to_owned(),
        format!("INSERT INTO entries VALUES (x'00000000000000000000000000000001', 0, 0, 0, 'request', '{body}')"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut raw).await.unwrap();
    }
    raw.close().await.unwrap();

    let store = Sqlite::open(&file.path).await.unwrap();
    let found = store.call(conformance::id(1)).await.unwrap().unwrap();
    assert_eq!(found.summary, Summary { period: Period::default(), ..conformance::call(1) });
    let request = Entry { at_us: 0, kind: "request".into(), body, ..conformance::entry(conformance::id(1), 0, "") };
    assert_eq!(found.entries, [request]);
    // What is told of it again is no conflict.
    let batch = Batch { summaries: vec![found.summary], entries: found.entries, ..Batch::default() };
    assert_eq!(store.write(&batch).await.unwrap(), Written::default());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let file = file();
    std::fs::write(&file.path, "not a database, but long enough to be taken for one if nobody looks".repeat(99))
        .unwrap();
    assert!(Sqlite::open(&file.path).await.is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = file();
    let store = Sqlite::open(&file.path).await.unwrap();
    conformance::open(&store, &[conformance::call(1)]).await;
    for entry in std::fs::read_dir(file.path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_closed_call_is_durable() {
    let file = file();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&file.path).await.unwrap());
    let (writer, recorder) = Writer::new(Arc::clone(&store));
    let finish = CancellationToken::new();
    let writing = tokio::spawn(writer.run(finish.clone(), CancellationToken::new()));

    let mut summary = conformance::call(1);
    let mut record = recorder.call(summary.clone());
    for seq in 0..3 {
        record.push(conformance::note(seq, "s"));
    }
    assert!(!record.is_flushed());
    record.flush().await;
    assert!(record.is_flushed());
    record.lose("gone");
    record.close().await.unwrap();
    summary.outcome = Some(Outcome::Unknown);
    summary.reason = Some("gone".into());
    summary.severity = Some(Severity::Info);
    summary.acted = vec!["p".into()];
    summary.period = Period::of(SystemTime::now());

    let other = Sqlite::open(&file.path).await.unwrap();
    let found = other.call(conformance::id(1)).await.unwrap().unwrap();
    assert_eq!(found.summary, summary);
    assert_eq!(found.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [0, 1, 2]);
    for entry in found.entries {
        assert_eq!(entry.body.parse::<Value>().unwrap()["type"], *entry.kind);
    }

    finish.cancel();
    writing.await.unwrap();
}

#[tokio::test]
async fn what_is_queued_when_the_plane_ends_is_written() {
    let file = file();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&file.path).await.unwrap());
    let (writer, recorder) = Writer::new(Arc::clone(&store));
    let mut record = recorder.call(conformance::call(1));
    record.push(conformance::note(0, "s"));
    record.flush().await;
    drop(record);

    let finish = CancellationToken::new();
    finish.cancel();
    writer.run(finish, CancellationToken::new()).await;
    let found = store.call(conformance::id(1)).await.unwrap().unwrap();
    assert_eq!((found.entries.len(), found.summary.outcome), (1, None));
}

#[tokio::test]
async fn what_nobody_flushed_is_counted_as_lost() {
    let file = file();
    let (_writer, recorder) = Writer::new(Arc::new(Sqlite::open(&file.path).await.unwrap()));
    let mut record = recorder.call(conformance::call(1));
    record.push(conformance::note(0, "s"));
    drop(record);
    assert_eq!(recorder.health().entries_lost(), 1);
}

#[tokio::test]
async fn a_write_that_waits_for_another_process_succeeds() {
    let file = file();
    let store = Sqlite::open(&file.path).await.unwrap();
    conformance::open(&store, &[conformance::call(1)]).await;
    let mut raw = SqliteConnection::connect(&format!("sqlite://{}", file.path.display())).await.unwrap();
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let batch =
        Batch { summaries: vec![], entries: vec![conformance::entry(conformance::id(1), 0, "{}")], ..Batch::default() };
    let (written, unlocked) = tokio::join!(store.write(&batch), lock.rollback());
    unlocked.unwrap();
    written.unwrap();
}
