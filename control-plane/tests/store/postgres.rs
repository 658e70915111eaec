//! The suite on Postgres, and what only concerns a server.

use luthien_control_plane::record::{Activity as _, Batch, Postgres, Store as _, StoreError};
use luthien_tests_postgres::{Cluster, Relay};
use sqlx::{Connection as _, PgConnection};

use crate::{
    activity,
    conformance::{self, Database},
    sets,
};

struct Fresh(String);

impl Database for Fresh {
    type Store = Postgres;

    async fn open(&self) -> Postgres {
        Postgres::open(self.0.parse().unwrap()).await.unwrap()
    }
}

fn fresh() -> Fresh {
    Fresh(Cluster::shared().database())
}

macro_rules! run_on_postgres {
    ($($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            promises::$promise(&fresh()).await;
        }
    )*};
}

mod record {
    use super::{conformance as promises, fresh};

    crate::for_each_promise!(run_on_postgres);
}

mod activities {
    use super::{activity as promises, fresh};

    crate::for_each_promise_of_activity!(run_on_postgres);
}

mod policy_sets {
    use super::{fresh, sets as promises};

    crate::for_each_promise_of_sets!(run_on_postgres);
}

async fn raw(database: &Fresh) -> PgConnection {
    PgConnection::connect(&database.0).await.unwrap()
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let database = fresh();
    database.open().await.close().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (900, 'later', TRUE, '\\x00', 0)";
    sqlx::query(later).execute(&mut raw(&database).await).await.unwrap();

    let error = Postgres::open(database.0.parse().unwrap()).await.err().unwrap();
    assert!(matches!(error, StoreError::TooNew { found: 900, .. }), "{error:?}");
    assert!(error.to_string().contains("schema version 900"), "{error}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_no_trace() {
    let database = fresh();
    let mut raw = raw(&database).await;
    // Something is in the way.
    sqlx::query("CREATE TABLE journals (n int)").execute(&mut raw).await.unwrap();
    let error = Postgres::open(database.0.parse().unwrap()).await.err().unwrap();
    assert!(matches!(error, StoreError::Migration(_)), "{error:?}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'journals'";
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&mut raw).await.unwrap(), 0);

    sqlx::query("DROP TABLE journals").execute(&mut raw).await.unwrap();
    database.open().await;
}

#[tokio::test]
async fn a_server_is_reached_by_tls_as_the_url_says() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let name = database.split(['/', '?']).nth(3).unwrap();
    let (port, certificate) = cluster.listen_with_tls();
    let open = async |host: &str, mode: &str| {
        let url = format!("postgres://luthien@{host}:{port}/{name}?{mode}");
        Postgres::open(url.parse().unwrap()).await
    };
    cluster.stop();
    cluster.start_again();
    let verified = format!("sslmode=verify-full&sslrootcert={}", certificate.display());
    for mode in ["sslmode=require", "sslmode=prefer", &verified] {
        let store = open("localhost", mode).await.unwrap_or_else(|error| panic!("{mode}: {error}"));
        store.close().await;
    }
    // Another host than the certificate's; a certificate that nobody vouches for.
    assert!(open("127.0.0.1", &verified).await.is_err());
    assert!(open("localhost", "sslmode=verify-full").await.is_err());
}

#[tokio::test]
async fn a_server_without_tls_is_not_used_where_tls_is_required() {
    let cluster = Cluster::start();
    let relay = Relay::to(&cluster.socket()).await;
    let url = relay.url(&cluster.database());
    let refused = Postgres::open(format!("{url}?sslmode=require").parse().unwrap()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Database(sqlx::Error::Tls(_))), "{refused:?}");
}

#[tokio::test]
async fn nothing_is_told_before_what_may_still_come_before_it() {
    let database = fresh();
    let store = database.open().await;
    let begin = store.end().await.unwrap();
    conformance::open(&store, &[conformance::call(1)]).await;
    // Another control plane, in the midst of a batch.
    let mut early = raw(&database).await;
    let mut transaction = early.begin().await.unwrap();
    let row = "INSERT INTO activity (call_id, epoch, first, last) VALUES ($1, 0, 0, 0)";
    sqlx::query(row).bind(conformance::id(1)).execute(&mut *transaction).await.unwrap();
    let entries = [activity::note(1, 0), activity::note(1, 1)];
    let late = Batch { entries: entries[1..].to_vec(), ..Batch::default() };
    store.write(&late).await.unwrap();
    let seen = store.after(begin, 100).await.unwrap();
    assert!(seen.happenings.is_empty(), "{seen:?}");

    transaction.commit().await.unwrap();
    store.write(&Batch { entries: entries[..1].to_vec(), ..Batch::default() }).await.unwrap();
    let seqs = async |place| {
        let told = activity::told(&store, place, 100).await;
        told.iter().map(|happening| happening.seq.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((seqs(seen.through).await, seqs(begin).await), (vec![0, 1], vec![0, 1]));
}
