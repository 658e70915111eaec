//! One call of cargo.

use std::{env, process::Command};

/// A call of cargo in this workspace; its output goes where ours goes.
pub struct Step {
    shown: String,
    command: Command,
}

impl Step {
    pub fn cargo<const N: usize>(args: [&str; N]) -> Self {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        Self { shown: "cargo".to_owned(), command }.args(args.map(str::to_owned))
    }

    pub fn args(mut self, args: impl IntoIterator<Item = String>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&arg);
            self.command.arg(arg);
        }
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
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
