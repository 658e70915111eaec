//! The programs of a Postgres server, which tests start one with.

use std::{path::Path, process::Command};

use luthien_tests_postgres::{HOW_TO_INSTALL, Programs};

use crate::step::Step;

/// Installs them where they are missing and Debian's packages are at hand. Where that fails, it is said what to do; the
/// tests that need them fail then, and no others.
pub fn install() {
    if Programs::find().is_some() {
        return;
    }
    let apt_get = "/usr/bin/apt-get";
    let installed = Path::new(apt_get).exists()
        // The lists of packages may be missing, or old.
        && (run(apt_get, &["install"]) || (run(apt_get, &["update"]) && run(apt_get, &["install"])));
    if !installed || Programs::find().is_none() {
        eprintln!("\nPostgres is not installed: {HOW_TO_INSTALL}");
    }
}

fn run(apt_get: &str, command: &[&str]) -> bool {
    let mut args = vec!["-q", "-y", "-o", "DPkg::Lock::Timeout=60"];
    args.extend(command);
    if command == ["install"] {
        args.extend(["--no-install-recommends", "postgresql"]);
    }
    let args = args.into_iter().map(str::to_owned);
    match is_root() {
        true => Step::program(apt_get, "apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").run(),
        // It asks for no password: there may be nobody who reads the question.
        false => Step::program("sudo", "sudo").args(["-n".to_owned(), apt_get.to_owned()]).args(args).run(),
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
