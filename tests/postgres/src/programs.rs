//! Where the programs of a Postgres server are on this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What to do on a machine without the programs.
pub const HOW_TO_INSTALL: &str = "the tests of Postgres need the programs of its server (initdb, pg_ctl, postgres, psql): \
    `cargo xtask test` installs them where it can; else `apt-get install postgresql`, or have them on the PATH";

/// What has to be there, all in one folder.
const NEEDED: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];

/// The folder with the programs of a server.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    /// Those of this machine: on the PATH, else the newest where Debian has them.
    pub fn find() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<_> = env::split_paths(&path).collect();
        folders.extend(debian());
        folders.into_iter().find(|folder| NEEDED.iter().all(|name| folder.join(name).is_file())).map(Self)
    }

    /// One of them, to be run.
    pub fn command(&self, name: &str) -> Command {
        Command::new(self.0.join(name))
    }
}

/// Debian's folders, newest version first.
fn debian() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut found: Vec<_> = versions.filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path.join("bin")).collect()
}
