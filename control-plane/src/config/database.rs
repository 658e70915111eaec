//! Where the record is kept.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use luthien_service::config::ByteSize;
use sqlx::postgres::PgConnectOptions;

use super::Invalid;
use crate::record::{Postgres, Sqlite, Store, StoreError};

const SQLITE: &str = "sqlite://luthien.db";
const JOURNAL: &str = "luthien-journal";
const JOURNAL_BYTES: u64 = 10 << 30;
/// Below this, what is under way at once would not fit.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;

/// Where the record is kept. It may hold a password: it is shown nowhere.
#[derive(Clone)]
pub enum Database {
    /// In an SQLite file.
    Sqlite(PathBuf),
    /// In Postgres, with a journal before it.
    Postgres {
        /// How it is reached.
        options: Box<PgConnectOptions>,
        /// The directory of the journal.
        journal: PathBuf,
        /// What may wait in it.
        journal_bytes_max: u64,
    },
}

impl Database {
    /// Opens the record for those who only read it. What waits in a journal is not in it yet.
    ///
    /// # Errors
    /// It is not there, or can't be opened.
    pub async fn open_for_reading(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Sqlite(path) => {
                // To open it would make it.
                path.metadata().map_err(|source| StoreError::File { path: path.display().to_string(), source })?;
                Ok(Arc::new(Sqlite::open(path).await?))
            }
            Self::Postgres { options, .. } => Ok(Arc::new(Postgres::open(options.as_ref().clone()).await?)),
        }
    }

    pub(super) fn check(
        url: Option<&str>,
        journal: Option<PathBuf>,
        journal_max: Option<ByteSize>,
    ) -> Result<Self, Invalid> {
        let journal = journal.unwrap_or_else(|| JOURNAL.into());
        if journal.as_os_str().is_empty() {
            return Err(Invalid::new("journal", "a directory is needed, as in ./luthien-journal"));
        }
        let journal_bytes_max = journal_max.map_or(JOURNAL_BYTES, |ByteSize(bytes)| bytes);
        if !(JOURNAL_BYTES_MIN..=i64::MAX.unsigned_abs()).contains(&journal_bytes_max) {
            return Err(Invalid::new("journal_max", "a size of at least 64MiB is needed"));
        }
        let invalid = |reason: &str| Err(Invalid::new("database", reason));
        let url = url.unwrap_or(SQLITE);
        match url.split_once("://") {
            Some(("sqlite", path)) if path.contains('?') => invalid("options after `?` are not known here"),
            Some(("sqlite", "" | ":memory:")) => invalid("a record needs a file: sqlite://luthien.db"),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", _)) => match url.parse() {
                Ok(options) => Ok(Self::Postgres { options: Box::new(options), journal, journal_bytes_max }),
                Err(error) => invalid(&format!("this is no address of a database: {error}")),
            },
            Some(_) | None => invalid(
                "the database is sqlite:// and a path, as in sqlite://luthien.db, or postgres://, as in \
                 postgres://user:password@host/luthien",
            ),
        }
    }

    /// What lies where this control plane keeps its own.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Sqlite(path) => path,
            Self::Postgres { journal, .. } => journal,
        }
    }
}
