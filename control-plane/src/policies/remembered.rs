//! The set that was current last, as this control plane itself remembers it: what it begins with when the store can't be
//! asked. Without it, a restart at the wrong moment would bring back what somebody has replaced.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use luthien_policy::PolicySet;
use serde::{Deserialize, Serialize};
use tracing::error;

const FILE: &str = "policies.json";

/// Where it is kept.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    path: PathBuf,
    /// The set in the configuration file of this process.
    file_revision: String,
}

/// A set, and which one was in the configuration file then.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) revision: String,
    pub(super) config: String,
    pub(super) file_revision: String,
}

impl Memory {
    /// In a directory that nobody else has.
    pub(super) fn new(directory: &Path, file_revision: &str) -> Self {
        Self { path: directory.join(FILE), file_revision: file_revision.to_owned() }
    }

    /// What was remembered last.
    pub(super) fn load(&self) -> io::Result<Option<Remembered>> {
        match fs::read(&self.path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers a set in place of the last one.
    pub(super) fn remember(&self, set: &PolicySet) {
        if let Err(error) = self.save(set) {
            error!(%error, path = %self.path.display(), "which policies are current can't be remembered");
        }
    }

    /// Saves it, or fails and leaves the last one there.
    fn save(&self, set: &PolicySet) -> io::Result<()> {
        let remembered = Remembered {
            revision: set.revision().to_owned(),
            config: set.config().canonical().to_string(),
            file_revision: self.file_revision.clone(),
        };
        let draft = self.path.with_extension("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&serde_json::to_vec(&remembered)?)?;
        file.sync_all()?;
        fs::rename(draft, &self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
