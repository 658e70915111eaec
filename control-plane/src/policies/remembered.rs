//! The set that was current last, as this control plane itself remembers it: what it begins with when the store can't be
//! asked. Without it, a restart at the wrong moment would bring back what somebody has replaced.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use luthien_policy::PolicySet;
use serde::{Deserialize, Serialize};

const FILE: &str = "policies.json";

/// Where it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Memory(PathBuf);

/// A set, and which one was in the configuration file then.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) revision: String,
    pub(super) config: String,
    pub(super) file_revision: String,
}

impl Memory {
    /// In a directory that nobody else has.
    pub(crate) fn within(directory: &Path) -> Self {
        Self(directory.join(FILE))
    }

    /// What was remembered last.
    pub(super) fn load(&self) -> io::Result<Option<Remembered>> {
        match fs::read(&self.0) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers a set in place of the last one, or fails and remembers that.
    pub(super) fn save(&self, set: &PolicySet, file_revision: &str) -> io::Result<()> {
        let remembered = Remembered {
            revision: set.revision().to_owned(),
            config: set.config().canonical().to_string(),
            file_revision: file_revision.to_owned(),
        };
        let draft = self.0.with_extension("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&serde_json::to_vec(&remembered)?)?;
        file.sync_all()?;
        fs::rename(draft, &self.0)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}
