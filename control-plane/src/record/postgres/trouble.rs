//! What it means that the database failed.

use crate::record::StoreError;

/// Whose fault it is, and so what may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The database is not there at present, or has no time: it may be asked again.
    Outage,
    /// It will not have what it was given, however often.
    Data,
    /// It is not as it should be, or we may not do what we have to: somebody has to see to it.
    Setup,
}

impl Trouble {
    pub(crate) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Unreachable(_) | StoreError::Slow(_) | StoreError::Behind | StoreError::JournalFull(_) => {
                Self::Outage
            }
            StoreError::Database(error) => Self::of_database(error),
            StoreError::TooNew { .. }
            | StoreError::Migration(_)
            | StoreError::File { .. }
            | StoreError::JournalTaken(_)
            | StoreError::Inconsistent { .. } => Self::Setup,
        }
    }

    /// By the class of the SQLSTATE, where the server gave one.
    fn of_database(error: &sqlx::Error) -> Self {
        let Some(error) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Outage,
                // The others say that a row, or the configuration, is not what it should be.
                _ => Self::Setup,
            };
        };
        let code = error.code().unwrap_or_default();
        match code.get(..2) {
            // A value that the type does not take; a limit of the server.
            Some("22" | "54") => Self::Data,
            // No connection; rolled back to be tried again; no resources; somebody stepped in; the disk.
            Some("08" | "40" | "53" | "57" | "58") => Self::Outage,
            // A standby, which may become the primary.
            Some(_) if code == "25006" => Self::Outage,
            Some(_) | None => Self::Setup,
        }
    }
}
