//! Who runs a server: it refuses to run as root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

/// Accounts that a server may run as, in place of root.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The user of a server's processes and files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Ourselves,
    Other { user: u32, group: u32 },
}

impl Owner {
    /// Who we are, unless that is root; owns the folder.
    pub(super) fn of_servers(folder: &Path) -> Self {
        let ourselves = fs::metadata(folder).expect("the folder is there").uid();
        if ourselves != 0 {
            return Self::Ourselves;
        }
        let (user, group) = account().expect("root runs no Postgres, and there is neither `postgres` nor `nobody`");
        chown(folder, Some(user), Some(group)).expect("root may give a folder away");
        Self::Other { user, group }
    }

    /// Makes a program run as this user.
    pub(super) fn run(self, command: &mut Command) {
        match self {
            Self::Ourselves => {}
            Self::Other { user, group } => drop(command.uid(user).gid(group)),
        }
    }
}

/// User and group of an account.
fn account() -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let ids = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ACCOUNTS.iter().find_map(|name| ids(name))
}
