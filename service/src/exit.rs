//! How a program ends: 0, 1 for a failure, 2 for its use or configuration.

use std::process::{ExitCode, Termination};

use thiserror::Error;

use crate::ConfigError;

/// A program was called in a way that it can't follow.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Usage(String);

impl Usage {
    /// An error with what is wrong, for the person at the command line.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Runs a program. An error is told on stderr, with its causes and what to do about it, and becomes the exit code.
pub fn run<T: Termination>(main: impl FnOnce() -> anyhow::Result<T>) -> ExitCode {
    match main() {
        Ok(end) => end.report(),
        Err(error) => {
            let (code, text) = report(&error);
            eprint!("{text}");
            ExitCode::from(code)
        }
    }
}

fn report(error: &anyhow::Error) -> (u8, String) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  because: {cause}\n"));
    }
    let (code, next) = next_step(error);
    text.push_str(next);
    text.push('\n');
    (code, text)
}

fn next_step(error: &anyhow::Error) -> (u8, &'static str) {
    let has = |is: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(is);
    if has(|cause| cause.is::<ConfigError>()) {
        (2, "Nothing was started. Correct the configuration and try again; README.md describes it.")
    } else if has(|cause| cause.is::<Usage>()) {
        (2, "Nothing was started. `--help` tells how to call it.")
    } else {
        (1, "RUST_LOG=debug shows more of what happened before.")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};
    use expect_test::{Expect, expect};

    use super::*;

    fn check(error: &anyhow::Error, code: u8, expected: &Expect) {
        let (actual, text) = report(error);
        expected.assert_eq(&text);
        assert_eq!(actual, code);
    }

    #[test]
    fn a_failure_is_told_with_its_causes_and_ends_with_1() {
        let error = anyhow!("address in use").context("can't listen on 127.0.0.1:8000").context("data plane");
        check(
            &error,
            1,
            &expect![[r#"
                error: data plane
                  because: can't listen on 127.0.0.1:8000
                  because: address in use
                RUST_LOG=debug shows more of what happened before.
            "#]],
        );
    }

    #[test]
    fn a_configuration_that_cannot_be_used_ends_with_2_wherever_it_stands_in_the_chain() {
        let error = crate::config::load::<u8>("/nowhere/luthien.yaml").context("control plane").unwrap_err();
        check(
            &error,
            2,
            &expect![[r#"
                error: control plane
                  because: /nowhere/luthien.yaml: the file can't be read
                  because: No such file or directory (os error 2)
                Nothing was started. Correct the configuration and try again; README.md describes it.
            "#]],
        );
    }

    #[test]
    fn a_wrong_use_ends_with_2() {
        check(
            &Usage::new("--speed has to be positive").into(),
            2,
            &expect![[r#"
                error: --speed has to be positive
                Nothing was started. `--help` tells how to call it.
            "#]],
        );
    }
}
