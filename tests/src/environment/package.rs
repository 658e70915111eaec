//! A virtual environment with the Python package: made once for each state of it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
};

use super::{Hashed, SKIP, python_of, run, target};

/// The oldest Python for which the package is made.
const MINOR_MIN: u32 = 10;

/// The folder of the package.
pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../clients/python")
}

/// The interpreter that finds the package; `None`, and a note on stderr: there is no Python on this machine, or its tests are left
/// out.
///
/// # Panics
/// When the package can't be installed.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(installed).as_deref()
}

fn installed() -> Option<PathBuf> {
    if env::var(SKIP).is_ok_and(|skip| skip == "1") {
        note(&format!("skipped: {SKIP}=1"));
        return None;
    }
    let Some(python) = python_of(MINOR_MIN) else {
        note(&format!("skipped: they need a python3 of version 3.{MINOR_MIN} or later with venv, and there is none"));
        return None;
    };
    let version = run(Command::new(python).arg("--version"), "python3 does not say its version");
    let name = Hashed::default().with(&version.stdout).with_files(&sources()).name();
    let place = target().join("python-venv").join(name);
    if !place.exists() {
        note(&format!("installing {} (once)", package().display()));
        install(python, &place);
    }
    Some(place.join("bin").join("python"))
}

/// It is made aside and renamed, so that what has the name is complete.
fn install(python: &str, place: &Path) {
    let aside = place.with_extension(process::id().to_string());
    run(Command::new(python).args(["-m", "venv"]).arg(&aside), "no virtual environment could be made");
    let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"];
    let mut install = Command::new(aside.join("bin").join("python"));
    let what = format!("{}[test]", package().display());
    run(install.args(pip).arg(what), "pip could not install the Python package");
    if fs::rename(&aside, place).is_err() {
        // Another run was faster.
        let _ = fs::remove_dir_all(&aside);
    }
}

/// All that the package is made from.
fn sources() -> Vec<PathBuf> {
    let proto = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proto/luthien");
    let mut files =
        vec![package().join("pyproject.toml"), package().join("hatch_build.py"), package().join("README.md")];
    for folder in [package().join("src"), proto] {
        collect(&folder, &mut files);
    }
    files.sort();
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the repository is complete") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "__pycache__" {
            collect(&path, files);
        } else if !name.contains("_pb2") && !path.is_dir() {
            files.push(path);
        }
    }
}

fn note(text: &str) {
    eprintln!("\nnote: tests of the Python package: {text}");
}
