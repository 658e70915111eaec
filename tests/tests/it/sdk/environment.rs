//! Where the SDKs of a language are installed: made once and kept beside what cargo builds.

mod node;
mod python;

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use luthien_tests::environment::{Hashed, SKIP, target};

/// What runs the SDKs of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Python,
    Node,
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
