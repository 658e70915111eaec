//! What is damaged, or is refused by the database for what it is, is set aside beside the journal: nothing is thrown away,
//! and nothing waits behind it for ever.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What the names of these files begin with.
const ASIDE: &str = "set-aside-";
/// SQLite's files beside a database: without them, what was committed last is missing.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

/// Renames a journal's file and those beside it. Tells its new name.
pub(super) fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let name = file.file_name().unwrap_or_default();
    let mut aside = OsString::from(format!("{ASIDE}{}-", now_ms()));
    aside.push(name);
    let aside = file.with_file_name(aside);
    for companion in COMPANIONS {
        let with = |path: &Path| {
            let mut path = path.as_os_str().to_owned();
            path.push(companion);
            path
        };
        match fs::rename(with(file), with(&aside)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    Ok(aside)
}

/// Keeps one batch in a file of its own. Tells its name.
pub(super) fn set_batch_aside(directory: &Path, id: i64, packed: &[u8]) -> io::Result<PathBuf> {
    let path = directory.join(format!("{ASIDE}{}-batch-{id}.json.zst", now_ms()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path)?;
    io::Write::write_all(&mut file, packed)?;
    file.sync_all()?;
    Ok(path)
}

/// What was set aside and is still there.
pub(super) fn found(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(ASIDE) && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    let mut found: Vec<_> = paths.filter(is_aside).collect();
    found.sort();
    found
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
