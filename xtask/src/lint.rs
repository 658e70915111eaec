//! `cargo xtask lint`.

use std::process::{Command, Stdio};

use crate::step::Step;

/// Runs every check, also when one before it failed, and then says which failed.
pub fn run() -> bool {
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let mut failed = Vec::new();
    let mut check = |what: &'static str, step: Step| {
        if !step.run() {
            failed.push(what);
        }
    };
    check("format (`cargo fmt` repairs it)", Step::cargo(["fmt", "--all", "--check"]));
    check("clippy", Step::cargo(clippy));
    check("documentation", Step::cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"));
    let has_deny = has_cargo_deny();
    if has_deny {
        check("dependencies", Step::cargo(["deny", "check"]));
    }

    let skipped =
        if has_deny { "" } else { " Dependencies were not checked: `cargo install --locked cargo-deny` first." };
    match failed.as_slice() {
        [] => eprintln!("\nNothing to complain about.{skipped}"),
        failed => eprintln!("\nFailed: {}.{skipped}", failed.join(", ")),
    }
    failed.is_empty()
}

fn has_cargo_deny() -> bool {
    let mut version = Command::new("cargo-deny");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
