//! What fuzzing has found worth keeping, replayed: see docs/fuzzing.md.

#![expect(clippy::wildcard_enum_match_arm, reason = "a check that can't go on fails")]

use std::{fs, path::Path};

#[path = "../../../fuzz/src"]
mod checks {
    #[expect(dead_code, reason = "other checks need more")]
    pub mod input;
    pub mod session;
}

use checks::{input, session};

#[test]
fn a_session_owes_nothing_and_replaces_what_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/session");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    for case in cases {
        eprintln!("{}", case.display());
        session::check(&fs::read(&case).unwrap());
    }
}
