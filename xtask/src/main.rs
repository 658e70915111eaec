//! The developer's commands.

mod bench;
mod conformance;
mod lint;
mod mutants;
mod postgres;
mod sim;
mod soak;
mod step;
mod test;

use std::{env, process::ExitCode};

use clap::Parser;

/// The developer's commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Builds the programs, then runs all tests
    Test {
        /// Passed on to `cargo test` as they are: a part of the tests' names, its options, `-- --nocapture`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Checks format, lints, documentation and dependencies
    Lint,
    /// Kills control planes under calls, and checks that no client notices and nothing is missing from the record
    Soak(soak::Soak),
    /// Measures what luthien costs, beside the least that it could cost
    Bench(bench::Bench),
    /// Simulates clients, planes, upstream and store by seed; one seed alone is told as a story
    Sim(sim::Sim),
    Mutants(mutants::Mutants),
    /// Checks whether a policy service keeps the rules of the verdict protocol
    #[command(disable_help_flag = true)]
    Conformance {
        /// Passed on as they are; `--help` tells what there is
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    let passed = match Command::parse() {
        // Not as clap took them: it swallows a leading `--`.
        Command::Test { args: _ } => test::run(env::args().skip(2)),
        Command::Lint => lint::run(),
        Command::Soak(soak) => soak::run(&soak),
        Command::Bench(bench) => bench::run(&bench),
        Command::Sim(sim) => sim::run(&sim),
        Command::Mutants(mutants) => mutants::run(&mutants),
        Command::Conformance { args } => return conformance::run(args.into_iter()),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
