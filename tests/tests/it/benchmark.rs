//! The benchmark measures what it says that it measures: a small run of it, which shows nothing of speed.

use std::process::Command;

use tempfile::TempDir;

fn bench(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_luthien-bench")).args(args).output().unwrap();
    let (said, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert!(!said.contains("failed"), "{said}\n{log}");
    said
}

#[test]
fn every_path_that_is_asked_for_is_measured_beside_what_it_is_compared_with() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("table.md");
    let said = bench(&["--quick", "--seconds", "0.2", "--only", "converted,remote", "--out", out.to_str().unwrap()]);
    assert_eq!(said.trim(), std::fs::read_to_string(out).unwrap().trim());
    for load in ["1 × 250/s, 5 B", "64, full speed, 5 B"] {
        for path in [
            "straight",
            "*floor: relay, a message per event*",
            "gated, passed",
            "gated, passed, converted",
            "gated, passed by a remote policy",
        ] {
            let [quiet, noisy] = ["", " !"].map(|noise| format!("| {load} | {path}{noise} |"));
            assert!(said.contains(&quiet) || said.contains(&noisy), "{load}, {path}: {said}");
        }
    }
    assert!(said.contains("| gated: CPU of both planes, × the floor's | 1 × 250/s, 5 B |"), "{said}");
}

#[test]
fn a_build_that_is_compared_with_itself_is_measured_twice() {
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_luthien-bench")).parent().unwrap();
    let base = programs.to_str().unwrap();
    let said = bench(&["--quick", "--seconds", "0.1", "--only", "passed", "--base", base]);
    let rows: Vec<&str> = said.lines().filter(|line| line.contains(" B | gated, passed |")).collect();
    assert_eq!(rows.len(), 2, "{said}");
    assert!(rows.iter().all(|row| row.contains(" → ") && row.contains("**× ")), "{said}");
}
