//! One input per case; what every target is sent, and what is told of it, is in a file beside it.
//!
//! `requests/<case>/<client dialect>.json` is the input. The name of a case tells the rule; cases of known mistakes say in
//! `why.txt` what went wrong elsewhere.

use std::{fs, path::Path};

use expect_test::expect_file;
use luthien_call::conversion::{Converted, Unconvertible};
use luthien_proto::request::Dialect;
use serde_json::Value;

use crate::{check, convert_body, file_name, model, targets};

#[test]
fn every_case_is_converted_as_it_was_reviewed() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversion/requests");
    let mut cases: Vec<_> = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut failed = Vec::new();
    for case in cases {
        for client in Dialect::ALL {
            let Ok(body) = fs::read_to_string(case.join(format!("{}.json", client.name()))) else { continue };
            for (target, options) in targets(client) {
                let converted = convert_body(client, &body, target, model(target), &options);
                if let Ok(converted) = &converted
                    && let Err(what) = check::body(target, &converted.body)
                {
                    failed.push(format!("{} to {}: {what}", case.display(), target.name()));
                }
                let to = file_name(target, options.compatible);
                expect_file![case.join(format!("{}.to.{to}.txt", client.name()))].assert_eq(&show(&converted));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn show(converted: &Result<Converted, Unconvertible>) -> String {
    let converted = match converted {
        Ok(converted) => converted,
        Err(error) => {
            let code = error.code.map(|code| format!(" ({code})")).unwrap_or_default();
            return format!("refused{code}: {error}\n");
        }
    };
    let mut out = String::new();
    for (name, fields) in [("dropped", &converted.lost.dropped), ("omitted", &converted.lost.omitted)] {
        if !fields.is_empty() {
            out.push_str(&format!("{name}: {}\n", fields.join(", ")));
        }
    }
    for (name, tool) in &converted.response.bridge().tools {
        out.push_str(&format!("tool {name}: {:?} {:?} {:?}\n", tool.namespace, tool.name, tool.form));
    }
    let body: Value = serde_json::from_slice(&converted.body).unwrap();
    out + &serde_json::to_string_pretty(&body).unwrap() + "\n"
}
