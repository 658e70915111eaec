//! The schema, and how a database comes to it.

use sqlx::{
    Connection as _, PgConnection, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::record::StoreError;

const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "record", include_str!("../../../../migrations/postgres/0001_record.sql")),
    (2, "messages", include_str!("../../../../migrations/postgres/0002_messages.sql")),
    (3, "activity", include_str!("../../../../migrations/postgres/0003_activity.sql")),
];

/// What those take who change the schema. Any number, but always the same.
const LOCK: i64 = 0x6c75_7468_6965_6e01;

/// Runs the migrations that the database lacks, all in one transaction under a lock, so that of several control planes
/// starting at once one does it, and whatever fails leaves no trace.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    match migrator().run_direct(None, &mut *transaction, false).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(MigrateError::VersionMissing(_)) => Err(too_new(&mut transaction).await?),
        // Not the schema's fault.
        Err(MigrateError::Execute(error)) if error.as_database_error().is_none() => Err(StoreError::Database(error)),
        Err(error) => Err(StoreError::Migration(error)),
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.into());
    // sqlx's own lock is one of the session: a pooler between here and the server loses it.
    migrator.set_locking(false);
    migrator
}

async fn too_new(connection: &mut PgConnection) -> Result<StoreError, sqlx::Error> {
    let found = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?;
    Ok(StoreError::TooNew { found, known: MIGRATIONS[MIGRATIONS.len() - 1].0 })
}
