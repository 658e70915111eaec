//! `cargo xtask conformance`.

use crate::step::Step;

/// Builds the kit, and runs it with these arguments.
pub fn run(args: impl Iterator<Item = String>) -> std::process::ExitCode {
    let quiet = ["run", "--quiet", "--package", "luthien-tests", "--bin", "luthien-conformance", "--"];
    let mut kit = Step::cargo(quiet).args(args).into_command();
    match kit.status().map(|status| status.code()) {
        Ok(Some(code)) => u8::try_from(code).unwrap_or(1).into(),
        Ok(None) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo can't be run: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
