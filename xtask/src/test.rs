//! `cargo xtask test`.

use std::time::Instant;

use crate::{postgres, step::Step};

/// Builds the programs, which the end-to-end tests start, together with the tests, so that both have the same
/// dependencies; then runs the tests. What they need beside that is installed first.
pub fn run(args: impl Iterator<Item = String>) -> bool {
    let started = Instant::now();
    postgres::install();
    if !Step::cargo(["build", "--workspace", "--bins", "--tests"]).run() {
        eprintln!("\nThe build failed; no test was run.");
        return false;
    }
    let passed = Step::cargo(["test", "--workspace"]).args(args).run();
    let seconds = started.elapsed().as_secs();
    if passed {
        eprintln!("\nAll tests passed ({seconds} s, with the build).");
    } else {
        eprintln!("\nTests failed; the first `failures:` above names them. One again: cargo xtask test <its name>");
    }
    passed
}
