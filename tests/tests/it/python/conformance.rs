//! The examples keep the rules of the protocol: the conformance kit says so.

use std::time::Duration;

use luthien_tests::conformance::{self, Options, table};

use super::service::Service;

async fn keeps_the_rules(example: &str) {
    let Some(service) = Service::example(example).await else { return };
    let options = Options { address: service.url(), lease: Duration::from_secs(6), ..Options::default() };
    let findings = conformance::run(&options, |_| {}).await.unwrap();
    assert!(findings.broken_rules().is_empty(), "{example}:\n{}", table(&findings, false));
}

#[tokio::test]
async fn a_redactor_in_python_keeps_the_rules_of_the_protocol() {
    keeps_the_rules("redact").await;
}

#[tokio::test]
async fn a_monitor_in_python_keeps_the_rules_of_the_protocol() {
    keeps_the_rules("score_tool_calls").await;
}

#[tokio::test]
async fn a_policy_in_python_that_asks_a_judge_keeps_the_rules_of_the_protocol() {
    keeps_the_rules("ask_a_judge").await;
}
