//! `cargo xtask lint`.

use std::process::{Command, Stdio};

use crate::step::Step;

/// Checks by tools that do not come with Rust: what they check, the tool, and its arguments. The tools are called by
/// themselves: below `cargo xtask`, cargo-machete does not notice that cargo calls it.
const TOOLS: [(&str, &str, &[&str]); 2] = [
    ("advisories, licences and sources of dependencies", "cargo-deny", &["check"]),
    ("unused dependencies", "cargo-machete", &[]),
];

/// Runs every check, also when one before it failed, and then says which failed and which could not be run.
pub fn run() -> bool {
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let (mut failed, mut unchecked) = (Vec::new(), Vec::new());
    let mut check = |what: &'static str, step: Step| {
        if !step.run() {
            failed.push(what);
        }
    };
    check("format (`cargo fmt --all` repairs it)", Step::cargo(["fmt", "--all", "--check"]));
    check("clippy", Step::cargo(clippy));
    check("documentation", Step::cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"));
    for (what, tool, args) in TOOLS {
        if is_installed(tool) {
            check(what, Step::program(tool, tool).args(args.iter().map(|arg| (*arg).to_owned())));
        } else {
            unchecked.push(format!("Not checked: {what}; `cargo install --locked {tool}` first."));
        }
    }
    eprintln!("\n{}", unchecked.join("\n"));
    match failed.as_slice() {
        [] => eprintln!("Nothing to complain about."),
        failed => eprintln!("Failed: {}.", failed.join(", ")),
    }
    failed.is_empty()
}

fn is_installed(tool: &str) -> bool {
    let mut version = Command::new(tool);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
