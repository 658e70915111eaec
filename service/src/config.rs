//! The configuration file: one YAML file for both programs, each of which reads its own section.
//!
//! A file is first read as a tree that knows the place of each of its values; a program's own structs are then read from
//! the tree. So whatever is wrong, an unknown key (the structs have `deny_unknown_fields`), a wrong type, a missing
//! variable, the error names file, line, column, key and reason.
//!
//! **Variables.** In string values `${NAME}` is the value of an environment variable, and `${NAME:-default}` is `default`
//! where the variable is unset or empty; `$${` stands for `${` itself. Substitution happens within a value that is
//! already parsed, so a variable can't add YAML. A value made of variables is a string, or a number or boolean where the
//! program asks for one (`port: ${PORT}`); empty, it counts as absent where the key is optional. Keys are never
//! substituted, and neither is a section that the program does not read. Errors never show the value of a variable.

mod args;
mod env;
mod error;
mod fault;
mod node;
mod read;
mod units;

#[cfg(test)]
mod tests;

use std::{fs, marker::PhantomData, path::Path};

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

pub use args::ConfigArgs;
pub use error::ConfigError;
pub use units::{ByteSize, HumanDuration};

use env::Env;
use node::Node;
use read::{Place, Reader};

/// Reads a file, with the variables of the environment.
///
/// # Errors
/// What can't be read, parsed, or taken as a `T`.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    Document::load(path)?.get()
}

/// Reads `text`, which errors call `name`, with the variables that `env` has.
///
/// # Errors
/// What can't be parsed, or taken as a `T`.
pub fn parse<T: DeserializeOwned>(
    name: &str,
    text: &str,
    env: impl Fn(&str) -> Option<String> + 'static,
) -> Result<T, ConfigError> {
    Document::parse(name, text, env)?.get()
}

/// The whole file. A program that reads one section leaves the other as [`IgnoredAny`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File<D = IgnoredAny, C = IgnoredAny> {
    /// The data plane's section.
    pub data_plane: Option<D>,
    /// The control plane's section.
    pub control_plane: Option<C>,
}

impl<D, C> Default for File<D, C> {
    fn default() -> Self {
        Self { data_plane: None, control_plane: None }
    }
}

/// A file that was parsed, and can tell the place of each of its keys: for what a program finds wrong later
/// (`error_at`), and for parts whose type depends on others (`at`).
pub struct Document {
    name: String,
    root: Node,
    env: Env,
}

impl Document {
    /// Parses a file, with the variables of the environment.
    ///
    /// # Errors
    /// What can't be read or parsed.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| ConfigError::unreadable(&name, error))?;
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::new("the file is not UTF-8").in_file(&name))?;
        Self::parse(&name, &text, |variable| std::env::var(variable).ok())
    }

    /// Parses `text`, which errors call `name`, with the variables that `env` has.
    ///
    /// # Errors
    /// What is not YAML.
    pub fn parse(name: &str, text: &str, env: impl Fn(&str) -> Option<String> + 'static) -> Result<Self, ConfigError> {
        let root = Node::parse(text).map_err(|error| error.in_file(name))?;
        Ok(Self { name: name.to_owned(), root, env: Env::new(env) })
    }

    /// The whole as a `T`.
    ///
    /// # Errors
    /// What is no `T`.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.read(&self.root, &Place::Root)
    }

    /// The part at a path (`control_plane.policies[1].config`) as a `T`. A part that is not there is read as nothing.
    ///
    /// # Errors
    /// What is no `T`.
    pub fn at<T: DeserializeOwned>(&self, path: &str) -> Result<T, ConfigError> {
        let absent = Node::absent(self.root.nearest(path));
        self.read(self.root.at(path).unwrap_or(&absent), &Place::Path(path))
    }

    /// The error that says what is wrong at a path, with the file and line of it, or of the nearest part around it.
    pub fn error_at(&self, path: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(reason).at(self.root.nearest(path).mark, path).in_file(&self.name)
    }

    fn read<T: DeserializeOwned>(&self, node: &Node, place: &Place<'_>) -> Result<T, ConfigError> {
        Reader::new(node, place, &self.env).read(PhantomData).map_err(|fault| fault.into_error().in_file(&self.name))
    }
}
