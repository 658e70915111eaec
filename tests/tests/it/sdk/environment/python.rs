//! A virtual environment with the Python SDKs.

use std::process::Command;

use luthien_tests::environment::{python_of, run};

use super::{Installed, Runtime, folder};

/// The oldest Python for which the pinned versions are made.
const MINOR_MIN: u32 = 11;

const PINNED: &str = "requirements.txt";

/// `None`: there is no Python on this machine to make it from.
pub fn installed() -> Option<Installed> {
    let Some(python) = python_of(MINOR_MIN) else {
        let wanted = format!("a python3 of version 3.{MINOR_MIN} or later with venv");
        Runtime::Python.note(&format!("skipped: they need {wanted}, and there is none"));
        return None;
    };
    let version = run(Command::new(python).arg("--version"), "python3 does not say its version");
    let place = Runtime::Python.place(PINNED, &version.stdout, |aside| {
        run(Command::new(python).args(["-m", "venv"]).arg(aside), "no virtual environment could be made");
        let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "-r"];
        let mut install = Command::new(aside.join("bin").join("python"));
        run(install.args(pip).arg(folder().join(PINNED)), "pip could not install the SDKs");
    });
    Some(Installed { interpreter: place.join("bin").join("python"), scripts: folder() })
}
