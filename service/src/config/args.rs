//! Which file.

use std::path::PathBuf;

use clap::Args;
use serde::de::DeserializeOwned;

use super::{ConfigError, Document};

/// The command-line option that names the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// The configuration file (YAML). Without one, sensible defaults from the environment
    #[arg(long = "config", env = "LUTHIEN_CONFIG", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ConfigArgs {
    /// The file that was named; an empty name is none.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref().filter(|path| !path.as_os_str().is_empty())
    }

    /// The file as parsed; one without keys where none was named.
    ///
    /// # Errors
    /// What can't be read or parsed.
    pub fn document(&self) -> Result<Document, ConfigError> {
        match self.file() {
            Some(path) => Document::load(path),
            None => Document::parse("the defaults", "", |variable| std::env::var(variable).ok()),
        }
    }

    /// The file as a `T`; where none was named, what `T` makes of a file without keys.
    ///
    /// # Errors
    /// What can't be read, parsed, or taken as a `T`.
    pub fn load<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.document()?.get()
    }
}
