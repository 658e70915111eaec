//! A virtual environment with the SDKs, made once and kept beside what cargo builds.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// Set to `1`, the tests of the SDKs are left out.
const SKIP: &str = "LUTHIEN_SKIP_SDK";

/// The oldest Python for which the pinned versions are made.
const MINOR_MIN: u32 = 11;

static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();

/// The folder of the scripts.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

/// The Python that has the SDKs; `None`, and a note on stderr: there is none on this machine to make it from.
///
/// # Panics
/// When there is a Python, and the SDKs can't be installed.
pub fn python() -> Option<&'static Path> {
    PYTHON.get_or_init(|| find().map(|python| made(&python))).as_deref()
}

fn find() -> Option<PathBuf> {
    if env::var(SKIP).is_ok_and(|skip| skip == "1") {
        note(&format!("skipped: {SKIP}=1"));
        return None;
    }
    let found = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"].into_iter().find(|name| {
        let probe = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < (3, {MINOR_MIN}))");
        Command::new(name).args(["-c", &probe]).output().is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        note(&format!("skipped: they need a python3 of version 3.{MINOR_MIN} or later with venv, and there is none"));
    }
    found.map(PathBuf::from)
}

/// The environment for the versions that are pinned, made if it is not there. It is built aside and renamed, so that
/// what has the name is complete.
fn made(python: &Path) -> PathBuf {
    let requirements = folder().join("requirements.txt");
    let version = run(Command::new(python).arg("--version"), "python3 does not say its version");
    let mut hasher = DefaultHasher::new();
    (fs::read(&requirements).expect("requirements.txt is there"), &version.stdout).hash(&mut hasher);
    let place = target().join("sdk-venv").join(format!("{:016x}", hasher.finish()));
    let interpreter = place.join("bin").join("python");
    if !interpreter.exists() {
        note(&format!("installing {} (once)", requirements.display()));
        let aside = place.with_extension(std::process::id().to_string());
        run(Command::new(python).args(["-m", "venv"]).arg(&aside), "no virtual environment could be made");
        let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "-r"];
        let mut install = Command::new(aside.join("bin").join("python"));
        run(install.args(pip).arg(&requirements), "pip could not install the SDKs");
        if fs::rename(&aside, &place).is_err() {
            // Another run was faster.
            let _ = fs::remove_dir_all(&aside);
        }
    }
    interpreter
}

fn run(command: &mut Command, otherwise: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{otherwise}: {error}"));
    assert!(
        output.status.success(),
        "{otherwise}; to leave the tests of the SDKs out, set {SKIP}=1\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Tests lie in `target/PROFILE/deps`.
fn target() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    test.ancestors().nth(3).expect("tests lie in target/PROFILE/deps").to_owned()
}

/// Says something also where the output of tests is kept back.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "\nnote: tests of the Python SDKs: {text}");
}
