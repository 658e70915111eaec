//! `cargo xtask bench`.

mod compare;
mod instructions;
mod scenario;

use std::{env, path::PathBuf};

use clap::{Args, ValueEnum as _};

use crate::{
    postgres,
    step::{Step, release_folder},
};
use scenario::Scenario;

/// What to measure, and how.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench --only converted,remote --seconds 3\n  \
    cargo xtask bench --compare main --only passed --quick\n  \
    cargo xtask bench --soak 30 --out soak.md\n\n\
    What the columns mean, and what was measured last: docs/benchmarks.md.")]
pub struct Bench {
    /// Fewer loads, two seconds each
    #[arg(long, conflicts_with = "instead")]
    quick: bool,
    /// How long each path is measured under each load
    #[arg(long, value_name = "N", conflicts_with = "instead")]
    seconds: Option<f64>,
    /// These scenarios, each with what it is compared with; several with commas between them. Without it: nothing, passed,
    /// replaced, whole
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',',
          conflicts_with_all = ["flat", "start", "micro", "instructions", "long", "record"])]
    only: Vec<Scenario>,
    /// Writes the table there too, row by row
    #[arg(long, value_name = "FILE", conflicts_with_all = ["micro", "instructions", "long", "record"])]
    out: Option<PathBuf>,
    /// Measures the planes of that git revision too, by turns with those that are here, and prints ratios
    #[arg(long, value_name = "BASE", conflicts_with = "instead")]
    compare: Option<String>,
    /// Instead: so many minutes under 80 % of what the machine sustains, and whether cost and memory stay as they are
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, default_missing_value = "10", group = "instead",
          value_parser = clap::value_parser!(u32).range(3..))]
    soak: Option<u32>,
    /// Instead: cost and memory over the 200,000 chunks of one response, and over the 100,000 calls of a process
    #[arg(long, group = "instead")]
    flat: bool,
    /// Instead: how long each plane takes until it is ready, with a database that has calls; how large the programs are
    #[arg(long, group = "instead")]
    start: bool,
    /// Instead: the micro-benchmarks
    #[arg(long, group = "instead")]
    micro: bool,
    /// Instead: instructions per chunk of the hot paths, counted by valgrind
    #[arg(long, group = "instead")]
    instructions: bool,
    /// Instead: long answers, converted between all dialects: whether time is linear and memory bounded
    #[arg(long, group = "instead")]
    long: bool,
    /// Instead: the record: entries per second and CPU per call, in SQLite and in Postgres behind its journal
    #[arg(long, group = "instead")]
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
    if bench.only.iter().any(|scenario| scenario.needs_postgres()) {
        postgres::install();
    }
    let base = match bench.compare.as_deref().map(compare::build) {
        Some(None) => return false,
        base => base.flatten(),
    };
    let sized: &[&str] = if bench.start { &["luthien"] } else { &[] };
    if !Step::release(&[&PROGRAMS, sized].concat()).run() {
        eprintln!("\nThe build failed; nothing was measured.");
        return false;
    }
    with_open_files(release_folder().join("luthien-bench")).args(options(bench, base)).run()
}

fn options(bench: &Bench, base: Option<PathBuf>) -> Vec<String> {
    let flags = [("--quick", bench.quick), ("--flat", bench.flat), ("--start", bench.start)];
    let mut options: Vec<String> =
        flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()).collect();
    let seconds = bench.seconds.or(bench.quick.then_some(2.0)).map(|seconds| seconds.to_string());
    let only: Vec<String> =
        bench.only.iter().filter_map(Scenario::to_possible_value).map(|it| it.get_name().to_owned()).collect();
    // Here, and not where the program runs.
    let out = bench.out.as_ref().map(|file| env::current_dir().unwrap_or_default().join(file).display().to_string());
    for (name, value) in [
        ("--seconds", seconds),
        ("--only", (!only.is_empty()).then(|| only.join(","))),
        ("--out", out),
        ("--base", base.map(|folder| folder.display().to_string())),
        ("--soak", bench.soak.map(|minutes| minutes.to_string())),
    ] {
        options.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    }
    options
}

/// A thousand calls take some thousand files, more than many shells allow at first.
fn with_open_files(program: PathBuf) -> Step {
    let script = r#"ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@""#;
    Step::program("sh", "luthien-bench").hidden_args(["-c".into(), script.into(), "sh".into(), program.into()])
}
