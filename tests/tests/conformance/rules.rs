//! Each rule can be broken, and the kit says so.

use std::{collections::BTreeSet, fs, time::Duration};

use futures_util::{StreamExt as _, stream};
use luthien_tests::conformance::{self, Findings, Options, Rule, Status, json_lines, table};
use serde_json::Value;
use tokio::time::timeout;

use crate::wrong::Wrong;

/// Within that the kit comes to an end, whatever a service does.
const LONGEST: Duration = Duration::from_secs(60);
/// How many services are checked at once.
const AT_ONCE: usize = 6;

async fn findings(breaks: Option<Rule>, patience: Duration) -> Findings {
    let service = Wrong::start(breaks).await;
    let options = Options {
        address: service.address.to_string(),
        lease: patience,
        hold: patience,
        close: patience,
        crowd: 40,
        ..Options::default()
    };
    conformance::run(&options, |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_service_that_keeps_them_all_is_told_to() {
    let findings = findings(None, Duration::from_secs(4)).await;
    for rule in Rule::ALL {
        assert_eq!(findings.status(*rule), Status::Kept, "{}\n{}", rule.id(), table(&findings, false));
    }
    let lines = json_lines(&findings);
    let ids: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["rule"].take()).collect();
    assert_eq!(ids.len(), Rule::ALL.len());
}

#[tokio::test]
async fn a_service_that_breaks_one_is_told_which() {
    // Whoever is slow may break others too: only the rule itself counts.
    let patience = Duration::from_millis(700);
    let each = stream::iter(Rule::ALL)
        .map(|rule| async move { (*rule, timeout(LONGEST, findings(Some(*rule), patience)).await) });
    let mut each = each.buffer_unordered(AT_ONCE);
    let mut unnoticed = Vec::new();
    while let Some((rule, findings)) = each.next().await {
        match findings {
            Ok(findings) if findings.status(rule) == Status::Broken => {}
            Ok(findings) => unnoticed.push(format!("{}: {}\n{}", rule.id(), rule.says(), table(&findings, false))),
            Err(_) => unnoticed.push(format!("{}: the kit does not come to an end", rule.id())),
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[tokio::test]
async fn nobody_there_is_no_broken_rule() {
    let options = Options { address: "127.0.0.1:1".to_owned(), ..Options::default() };
    assert!(conformance::run(&options, |_| {}).await.is_err());
}

#[test]
fn the_documentation_names_each_rule_as_the_kit_does() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let told: BTreeSet<(&str, &str)> = rows.map(|(id, says)| (id, says.split(" | ").next().unwrap())).collect();
    let known: BTreeSet<(&str, &str)> = Rule::ALL.iter().map(|rule| (rule.id(), rule.says())).collect();
    assert_eq!(told, known);
}
