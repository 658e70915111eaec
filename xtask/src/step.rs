//! One call of cargo, or of another program.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

/// Where programs lie that are built as they are released.
pub fn release_folder() -> PathBuf {
    // This program lies in target/debug.
    let target = env::current_exe().ok().and_then(|path| Some(path.parent()?.parent()?.to_owned()));
    target.unwrap_or_else(|| "target".into()).join("release")
}

fn is_of_our_package(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}

/// A call of a program in this workspace; its output goes where ours goes.
pub struct Step {
    shown: String,
    command: Command,
}

impl Step {
    pub fn cargo<const N: usize>(args: [&str; N]) -> Self {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Self::program(cargo, "cargo").args(args.map(str::to_owned))
    }

    /// Another program, shown as that.
    pub fn program(program: impl AsRef<OsStr>, shown: &str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // What cargo tells this program about its package. Build scripts look at it (ring's does): with it, cargo would build
        // anew what it has built without.
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_our_package(name)) {
            command.env_remove(name);
        }
        Self { shown: shown.to_owned(), command }
    }

    /// Builds programs as they are released.
    pub fn release(programs: &[&str]) -> Self {
        let programs = programs.iter().flat_map(|program| ["--bin".to_owned(), (*program).to_owned()]);
        Self::cargo(["build", "--release", "--workspace"]).args(programs)
    }

    /// Arguments that nobody wants to read.
    pub fn hidden_args(mut self, args: impl IntoIterator<Item = OsString>) -> Self {
        self.command.args(args);
        self
    }

    pub fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg);
            self.command.arg(arg);
        }
        self
    }

    /// In another folder than this workspace's.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// To be run in another way.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it, and says whether it went well.
    pub fn run(mut self) -> bool {
        eprintln!("\n=== {}", self.shown);
        match self.command.status() {
            Ok(status) => status.success(),
            Err(error) => {
                eprintln!("can't be started: {error}");
                false
            }
        }
    }
}
