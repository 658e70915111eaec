//! luthien's own policy service keeps every rule, whatever its policies are.

use std::time::Duration;

use luthien_tests::{
    conformance::{self, Findings, Options, Rule, Status, table},
    harness::ControlPlane,
};
use serde_json::{Value, json};
use tempfile::TempDir;

async fn findings(policies: Value, audit: &str) -> Findings {
    let folder = TempDir::new().unwrap();
    let pipeline: Vec<&Value> = policies.as_array().unwrap().iter().map(|policy| &policy["name"]).collect();
    let timeouts = json!({"lease": "200ms"});
    let section = json!({"audit": audit, "policies": policies, "pipeline": pipeline, "timeouts": timeouts});
    let control = ControlPlane::start(folder.path(), "control-plane", &section).await;
    let options = Options { address: control.url(), lease: Duration::from_secs(3), ..Options::default() };
    conformance::run(&options, |_| {}).await.unwrap()
}

/// No rule is broken; the rules that these policies never come to.
async fn not_seen(policies: Value, audit: &str) -> Vec<Rule> {
    let findings = findings(policies, audit).await;
    assert!(findings.broken_rules().is_empty(), "{}", table(&findings, false));
    Rule::ALL.iter().copied().filter(|rule| findings.status(*rule) == Status::NotSeen).collect()
}

fn words() -> Value {
    json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"], ["word", "bird"]]}})
}

fn rules() -> Value {
    json!({"name": "rules", "kind": "tool_call_rules", "config": {"deny": [{"tool": "delete_*"}, {"arguments": "rm "}]}})
}

fn judge() -> Value {
    json!({"name": "judge", "kind": "tool_call_judge", "config": {"model": "conformance", "probability_threshold": 0.4}})
}

#[tokio::test]
async fn with_policies_that_hold_and_replace_every_rule_but_that_of_questions_is_kept() {
    assert_eq!(not_seen(json!([words(), rules()]), "relaxed").await, [Rule::C2]);
}

#[tokio::test]
async fn so_it_is_under_strict_audit() {
    assert_eq!(not_seen(json!([words(), rules()]), "strict").await, [Rule::C2]);
}

#[tokio::test]
async fn with_a_judge_every_rule_is_kept() {
    assert_eq!(not_seen(json!([words(), judge()]), "relaxed").await, []);
}

#[tokio::test]
async fn without_policies_and_with_one_that_does_nothing_no_rule_is_broken() {
    for (policies, audit) in [(json!([]), "relaxed"), (json!([{"name": "n", "kind": "noop"}]), "strict")] {
        not_seen(policies, audit).await;
    }
}

#[tokio::test]
async fn with_a_policy_that_answers_every_call_no_rule_is_broken() {
    let desk = json!({"name": "desk", "kind": "canned_answers", "config": {"answers": [{"text": "hello"}]}});
    let not_seen = not_seen(json!([desk]), "relaxed").await;
    assert!([Rule::V1, Rule::L1, Rule::L2, Rule::S2].iter().all(|rule| not_seen.contains(rule)), "{not_seen:?}");
}
