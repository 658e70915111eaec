//! The admin token: configured, or made once and kept beside the database.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use luthien_service::Secret;
use thiserror::Error;
use uuid::Uuid;

const FILE_NAME: &str = "luthien-admin-token";
const BYTES: usize = 32;
/// Of a token that stands in a file: whatever is shorter was not made here.
const FILE_CHARS_MIN: usize = 32;

/// What opens the admin API.
#[derive(Clone, Debug)]
pub struct AdminToken(Secret);

/// Why there is no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file can't be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others could read the file.
    #[error("{}: others than its owner can read or write it; if nobody has, run chmod 600, else delete it", .0.display())]
    Exposed(PathBuf),
    /// The file holds something else.
    #[error("{}: no token of ours; delete it, and a new one is made", .0.display())]
    Unusable(PathBuf),
    /// The system gives no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

impl AdminToken {
    /// A token that the operator chose.
    pub fn configured(token: Secret) -> Self {
        Self(token)
    }

    /// The token in the file beside that one, made if there is none; and the file. Control planes that start at once
    /// agree on one.
    ///
    /// # Errors
    /// The file can't be read or made, or is not as it should be.
    pub fn kept_beside(database: &Path) -> Result<(Self, PathBuf), TokenError> {
        let path = database.with_file_name(FILE_NAME);
        let path = std::path::absolute(&path).map_err(|source| TokenError::File { path, source })?;
        let failed = |source| TokenError::File { path: path.clone(), source };
        if !path.try_exists().map_err(failed)? {
            make(&path, &random()?).map_err(failed)?;
        }
        let token = read(&path)?;
        Ok((token, path))
    }

    /// Whether this is the token; in constant time (the length aside).
    pub fn is(&self, token: &[u8]) -> bool {
        self.0.matches(token)
    }

    /// The token itself, for whoever has to be told.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

fn random() -> Result<String, TokenError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Makes the file whole or not at all; one that appears meanwhile is kept.
fn make(path: &Path, token: &str) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.new", Uuid::now_v7()));
    let result = write_draft(&draft, token).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&draft)?;
    result
}

fn write_draft(draft: &Path, token: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    file.write_all(token.as_bytes())?;
    file.sync_all()
}

fn read(path: &Path) -> Result<AdminToken, TokenError> {
    let failed = |source| TokenError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if is_exposed(&file).map_err(failed)? {
        return Err(TokenError::Exposed(path.to_owned()));
    }
    let text = io::read_to_string(file).map_err(failed)?;
    let token = text.trim();
    match Secret::new(token) {
        Some(secret) if token.len() >= FILE_CHARS_MIN => Ok(AdminToken(secret)),
        Some(_) | None => Err(TokenError::Unusable(path.to_owned())),
    }
}

#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_kept() {
        let dir = TempDir::new().unwrap();
        let (first, path) = AdminToken::kept_beside(&dir.path().join("luthien.db")).unwrap();
        let (again, _) = AdminToken::kept_beside(&dir.path().join("luthien.db")).unwrap();
        assert_eq!(first.expose().len(), 43);
        assert_eq!(first.expose(), again.expose());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = TempDir::new().unwrap();
        let (_, path) = AdminToken::kept_beside(&dir.path().join("luthien.db")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(AdminToken::kept_beside(&dir.path().join("luthien.db")), Err(TokenError::Exposed(_))));
    }

    #[test]
    fn a_file_with_something_else_is_refused() {
        let dir = TempDir::new().unwrap();
        write_draft(&dir.path().join(FILE_NAME), "short").unwrap();
        assert!(matches!(AdminToken::kept_beside(&dir.path().join("luthien.db")), Err(TokenError::Unusable(_))));
    }
}
