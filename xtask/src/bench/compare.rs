//! The planes of another revision.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::step::{Step, release_folder};

/// Builds them in a worktree, which stays beside what cargo builds: the next revision is built from there sooner. The folder
/// of the programs; `None`: it was said what is wrong.
pub fn build(revision: &str) -> Option<PathBuf> {
    let Some(commit) =
        git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")])
    else {
        eprintln!("git knows no revision {revision:?}; nothing was measured.");
        return None;
    };
    let place = release_folder().with_file_name("bench-base");
    let (tree, target) = (place.join("tree"), place.join("target"));
    if !check_out(&tree, &commit) {
        eprintln!("\n{revision} can't be checked out in {}; nothing was measured.", tree.display());
        return None;
    }
    let programs = ["luthien-data-plane", "luthien-control-plane"];
    if !Step::release(&programs).within(&tree).env("CARGO_TARGET_DIR", &target.display().to_string()).run() {
        eprintln!("\nThe build of {revision} failed; nothing was measured.");
        return None;
    }
    Some(target.join("release"))
}

fn check_out(tree: &Path, commit: &str) -> bool {
    if tree.exists() {
        return step(&["checkout", "--quiet", "--detach", "--force", commit]).within(tree).run();
    }
    let at = tree.display().to_string();
    // One that was there may have been removed with all that cargo built.
    step(&["worktree", "prune"]).run() && step(&["worktree", "add", "--quiet", "--detach", &at, commit]).run()
}

fn step(args: &[&str]) -> Step {
    Step::program("git", "git").args(args.iter().map(|arg| (*arg).to_owned()))
}

fn git(args: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(args).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
