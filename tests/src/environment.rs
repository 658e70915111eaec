//! What other languages need to run: found on this machine, or made once and kept beside what cargo builds.

pub mod package;

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    process::{Command, Output},
};

/// Set to `1`, the tests of the SDKs are left out.
pub const SKIP: &str = "LUTHIEN_SKIP_SDK";

/// The name of a place that is made once for what it depends on.
#[derive(Default)]
pub struct Hashed(DefaultHasher);

impl Hashed {
    /// It depends on these bytes.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        bytes.hash(&mut self.0);
        self
    }

    /// It depends on the names of these files, and on what is in them.
    #[must_use]
    pub fn with_files(self, files: &[PathBuf]) -> Self {
        files.iter().fold(self, |hashed, file| {
            let name = file.to_string_lossy();
            hashed.with(name.as_bytes()).with(&fs::read(file).expect("what it depends on can be read"))
        })
    }

    /// The name.
    pub fn name(self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// Cargo's target folder: programs lie in `target/PROFILE`, tests in `target/PROFILE/deps`.
///
/// # Panics
/// When this program lies elsewhere.
pub fn target() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let is_test = program.parent().is_some_and(|folder| folder.ends_with("deps"));
    program.ancestors().nth(if is_test { 3 } else { 2 }).expect("programs lie in target/PROFILE").to_owned()
}

/// Runs a command that has to go well.
///
/// # Panics
/// When it does not, with that text.
pub fn run(command: &mut Command, otherwise: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{otherwise}: {error}"));
    assert!(
        output.status.success(),
        "{otherwise}; to leave the tests of the SDKs out, set {SKIP}=1\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Whether there is such a program, and it says yes.
pub fn can(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A Python of that minor version or a later one, from which an environment can be made; `None`: there is none on this machine.
pub fn python_of(minor_min: u32) -> Option<&'static str> {
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
    names.into_iter().find(|name| {
        let probe = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < (3, {minor_min}))");
        can(name, &["-c", &probe])
    })
}
