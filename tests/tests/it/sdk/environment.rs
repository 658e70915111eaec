//! Where the SDKs of a language are installed: made once and kept beside what cargo builds.

mod node;
mod python;

pub use python::python_of;

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// Set to `1`, the tests of the SDKs are left out.
pub const SKIP: &str = "LUTHIEN_SKIP_SDK";

/// What runs the SDKs of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Python,
    Node,
}

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

/// What runs the scripts, and finds the SDKs.
struct Installed {
    interpreter: PathBuf,
    scripts: PathBuf,
}

impl Runtime {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Python, Self::Node];

    /// Runs one of its scripts, named without its extension, in an empty environment; `None`, and a note on stderr: there is
    /// none on this machine.
    ///
    /// # Panics
    /// When there is one, and the SDKs can't be installed.
    pub fn command(self, script: &str) -> Option<Command> {
        static PYTHON: OnceLock<Option<Installed>> = OnceLock::new();
        static NODE: OnceLock<Option<Installed>> = OnceLock::new();
        let (once, install, extension): (_, fn() -> Option<Installed>, _) = match self {
            Self::Python => (&PYTHON, python::installed, "py"),
            Self::Node => (&NODE, node::installed, "mjs"),
        };
        let installed = once.get_or_init(|| if self.is_left_out() { None } else { install() }).as_ref()?;
        let mut command = Command::new(&installed.interpreter);
        command.arg(installed.scripts.join(script).with_extension(extension)).env_clear();
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
        Some(command)
    }

    fn is_left_out(self) -> bool {
        let is_left_out = env::var(SKIP).is_ok_and(|skip| skip == "1");
        if is_left_out {
            self.note(&format!("skipped: {SKIP}=1"));
        }
        is_left_out
    }

    /// Says something also where the output of tests is kept back.
    fn note(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "\nnote: tests of the {self:?} SDKs: {text}");
    }

    /// The place in cargo's target folder for what is pinned, installed if it is not there. It is built aside and renamed,
    /// so that what has the name is complete.
    fn place(self, pinned: &str, version: &[u8], install: impl FnOnce(&Path)) -> PathBuf {
        let pinned = folder().join(pinned);
        let name = Hashed::default().with(&fs::read(&pinned).expect("what is pinned is there")).with(version).name();
        let place = target().join(self.keeps()).join(name);
        if !place.exists() {
            self.note(&format!("installing {} (once)", pinned.display()));
            let aside = place.with_extension(std::process::id().to_string());
            install(&aside);
            if fs::rename(&aside, &place).is_err() {
                // Another run was faster.
                let _ = fs::remove_dir_all(&aside);
            }
        }
        place
    }

    fn keeps(self) -> &'static str {
        match self {
            Self::Python => "sdk-venv",
            Self::Node => "sdk-node",
        }
    }
}

/// The folder of the scripts.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

/// Tests lie in `target/PROFILE/deps`.
pub fn target() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    test.ancestors().nth(3).expect("tests lie in target/PROFILE/deps").to_owned()
}

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
fn can(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}
