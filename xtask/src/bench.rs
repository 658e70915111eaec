//! `cargo xtask bench`.

mod instructions;

use std::{env, path::PathBuf};

use clap::Args;

use crate::{
    postgres,
    step::{Step, release_folder},
};

/// What to measure, and how.
#[derive(Args)]
pub struct Bench {
    /// Fewer loads, two seconds each
    #[arg(long)]
    quick: bool,
    /// How long each path is measured under each load
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// One scenario, with its floor: nothing, passed, replaced, strict, whole
    #[arg(long, value_name = "SCENARIO")]
    only: Option<String>,
    /// Writes the table there too, row by row
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The micro-benchmarks instead
    #[arg(long, conflicts_with_all = ["quick", "seconds", "only", "out", "instructions"])]
    micro: bool,
    /// Instructions per chunk of the hot paths instead, counted by valgrind
    #[arg(long, conflicts_with_all = ["quick", "seconds", "only", "out"])]
    instructions: bool,
    /// Long answers instead, converted between all dialects: whether time is linear and memory bounded
    #[arg(long, conflicts_with_all = ["quick", "seconds", "only", "out", "micro", "instructions"])]
    long: bool,
    /// The record instead: entries per second and CPU per call, in SQLite and in Postgres behind its journal
    #[arg(long, conflicts_with_all = ["quick", "seconds", "only", "out", "micro", "instructions", "long"])]
    record: bool,
}

/// What is measured, and what measures it.
const PROGRAMS: [&str; 3] = ["luthien-data-plane", "luthien-control-plane", "luthien-bench"];

/// Measures, and prints a table.
pub fn run(bench: &Bench) -> bool {
    if bench.micro {
        return Step::cargo(["bench", "-p", "luthien-call", "-p", "luthien-policy", "--bench", "hot_paths"]).run();
    }
    if bench.instructions {
        return instructions::run();
    }
    if bench.long {
        return Step::cargo(["bench", "-p", "luthien-call", "--bench", "long"]).run();
    }
    if bench.record {
        postgres::install();
        return Step::cargo(["bench", "-p", "luthien-control-plane", "--bench", "record"]).run();
    }
    if !Step::release(&PROGRAMS).run() {
        eprintln!("\nThe build failed; nothing was measured.");
        return false;
    }
    with_open_files(release_folder().join("luthien-bench")).args(options(bench)).run()
}

fn options(bench: &Bench) -> Vec<String> {
    let mut options = Vec::new();
    if bench.quick {
        options.push("--quick".to_owned());
    }
    let seconds = bench.seconds.or(bench.quick.then_some(2.0)).map(|seconds| seconds.to_string());
    // Here, and not where the program runs.
    let out = bench.out.as_ref().map(|file| env::current_dir().unwrap_or_default().join(file).display().to_string());
    for (name, value) in [("--seconds", seconds), ("--only", bench.only.clone()), ("--out", out)] {
        options.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    }
    options
}

/// A thousand calls take some thousand files, more than many shells allow at first.
fn with_open_files(program: PathBuf) -> Step {
    let script = r#"ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@""#;
    Step::program("sh", "luthien-bench").hidden_args(["-c".into(), script.into(), "sh".into(), program.into()])
}
