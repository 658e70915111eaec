//! The schema, and how a file comes to it.

use sqlx::{
    Connection as _, SqlSafeStr as _, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::record::StoreError;

const MIGRATIONS: [(i64, &str, &str); 7] = [
    (1, "record", include_str!("../../../../migrations/sqlite/0001_record.sql")),
    (2, "lost_fields", include_str!("../../../../migrations/sqlite/0002_lost_fields.sql")),
    (3, "policies", include_str!("../../../../migrations/sqlite/0003_policies.sql")),
    (4, "continuations", include_str!("../../../../migrations/sqlite/0004_continuations.sql")),
    (5, "messages", include_str!("../../../../migrations/sqlite/0005_messages.sql")),
    (6, "activity", include_str!("../../../../migrations/sqlite/0006_activity.sql")),
    (7, "search", include_str!("../../../../migrations/sqlite/0007_search.sql")),
];

/// Runs the migrations that the file lacks. All in one transaction that locks the file from its start, so that of several
/// control planes starting at once one does it.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    match migrator().run_direct(None, &mut *transaction, false).await {
        Ok(()) => Ok(transaction.commit().await?),
        Err(MigrateError::VersionMissing(_)) => Err(too_new(&mut transaction).await?),
        Err(error) => Err(StoreError::Migration(error)),
    }
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.map(|(version, description, sql)| {
        Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.into())
}

async fn too_new(connection: &mut SqliteConnection) -> Result<StoreError, sqlx::Error> {
    let found = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?;
    Ok(StoreError::TooNew { found, known: MIGRATIONS[MIGRATIONS.len() - 1].0 })
}
