//! `cargo xtask bench --instructions`.
//!
//! How many instructions a chunk takes does not depend on what else the machine does, so a regression shows where times
//! would hide it. Each path runs twice, for so many and for twice as many chunks: the difference is the chunks' alone.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::step::Step;

const CHUNKS: u64 = 1000;

/// The packages with hot paths.
const PACKAGES: [&str; 2] = ["luthien-call", "luthien-policy"];

/// Counts all of them, and prints a table.
pub fn run() -> bool {
    if !has_valgrind() {
        eprintln!("valgrind is not installed; it is what counts the instructions.");
        return false;
    }
    let mut table = String::from("| hot path | instructions per chunk |\n|---|--:|\n");
    for package in PACKAGES {
        if !Step::cargo(["bench", "--no-run", "-p", package, "--bench", "hot_paths"]).run() {
            return false;
        }
        let Some(names) = Counted::of(package, &["list"]) else { return false };
        for name in names.said.lines() {
            eprintln!("{name}");
            let counts = [CHUNKS, 2 * CHUNKS].map(|chunks| {
                Counted::of(package, &["run", name, &chunks.to_string()]).and_then(|counted| counted.instructions)
            });
            let [Some(once), Some(twice)] = counts else {
                eprintln!("valgrind gave no count of {name}");
                return false;
            };
            table.push_str(&format!("| {name} | {} |\n", (twice - once) / CHUNKS));
        }
    }
    println!("{table}");
    true
}

/// A run under callgrind.
struct Counted {
    said: String,
    instructions: Option<u64>,
}

impl Counted {
    fn of(package: &str, args: &[&str]) -> Option<Self> {
        let counts = std::env::temp_dir().join(format!("luthien-callgrind-{}.out", std::process::id()));
        let tool = format!("'valgrind', '--tool=callgrind', '--callgrind-out-file={}'", counts.display());
        let runner = format!("target.'cfg(all())'.runner = [{tool}]");
        let mut command =
            Step::cargo(["bench", "--quiet", "--config", &runner, "-p", package, "--bench", "hot_paths", "--"])
                .args(args.iter().map(|arg| (*arg).to_owned()))
                .into_command();
        let output = command.stderr(Stdio::null()).output().ok()?;
        let instructions = fs::read_to_string(&counts).ok().and_then(|counts| total(&counts));
        // It may not be there; then there was no count either.
        let _ = fs::remove_file(&counts);
        Some(Self { said: String::from_utf8(output.stdout).ok()?, instructions })
    }
}

fn total(counts: &str) -> Option<u64> {
    let line = |name| counts.lines().rev().find_map(|line| line.strip_prefix(name));
    line("totals: ").or_else(|| line("summary: "))?.split_whitespace().next()?.parse().ok()
}

fn has_valgrind() -> bool {
    let mut version = Command::new("valgrind");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
