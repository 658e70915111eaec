//! `luthien replay`: other policies over the calls of the record, and over an export of it.

use std::fs;

use luthien_tests::{
    fixtures,
    harness::{Ask, Exit, Gateway, Process, Program, Setup},
    peers::upstream::Reply,
    validate::Dialect,
};
use serde_json::{Value, json};

use crate::tool_judge::{is_question, opinion};

const SAME: &str = "
policies: [{ name: words, kind: string_replacement, config: { replacements: [[cool, radical]] } }]
pipeline: [words]
";

/// Also refuses calls of a tool.
const STRICTER: &str = "
control_plane:
  policies:
    - { name: words, kind: string_replacement, config: { replacements: [[cool, radical]] } }
    - name: rules
      kind: tool_call_rules
      config: { deny: [{ tool: 'delete_*', reason: it deletes }] }
  pipeline: [words, rules]
";

/// Calls in every dialect, streamed and whole, with text and with tools.
async fn recorded() -> Gateway {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        for case in ["text", "tools_two"] {
            let streamed = (Ask::streamed(dialect), Reply::stream(&fixtures::streamed(dialect, case)));
            let whole = (Ask::whole(dialect), Reply::bytes(200, "application/json", &fixtures::whole(dialect, case)));
            for (ask, reply) in [streamed, whole] {
                gateway.upstream.answer(reply);
                let answer = gateway.ask(ask).await;
                let id = answer.call_id();
                answer.whatever_comes().await;
                gateway.record(&id).await;
            }
        }
    }
    gateway
}

async fn replay(gateway: &Gateway, policies: &str, more: &[&str]) -> Exit {
    replay_with("control-plane.yaml", gateway, policies, more).await
}

async fn replay_with(config: &str, gateway: &Gateway, policies: &str, more: &[&str]) -> Exit {
    fs::write(gateway.folder().join("candidate.yaml"), policies).unwrap();
    let args = ["replay", "--config", config, "--policies", "candidate.yaml"];
    Process::start(Program::Luthien, gateway.folder(), &[&args, more].concat(), &[]).exit().await
}

/// What is told of each call, in lines of JSON.
fn lines(exit: &Exit) -> Vec<Value> {
    exit.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[tokio::test]
async fn the_policies_that_judged_the_calls_decide_the_same_again() {
    let gateway = recorded().await;
    let exit = replay(&gateway, SAME, &["--fail-on-diff", "--jsonl", "-"]).await;
    assert_eq!(exit.code, Some(0), "{}{}", exit.stdout, exit.stderr);
    let calls = lines(&exit);
    assert_eq!(calls.len(), 12);
    for call in calls {
        assert_eq!((&call["differences"], &call["unanswered"], &call["error"]), (&json!([]), &json!(0), &Value::Null));
    }
}

#[tokio::test]
async fn stricter_policies_are_told_apart_call_by_call() {
    let gateway = recorded().await;
    let exit = replay(&gateway, STRICTER, &["--fail-on-diff", "--jsonl", "-"]).await;
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    let (differ, same): (Vec<_>, Vec<_>) =
        lines(&exit).into_iter().partition(|call| call["differences"].as_array().is_some_and(|all| !all.is_empty()));
    assert_eq!((differ.len(), same.len()), (6, 6));
    for call in differ {
        let difference = &call["differences"][0];
        assert_eq!((&difference["at"], &difference["tool"]), (&json!("block"), &json!("delete_file")), "{call}");
        assert_eq!(
            (&difference["before"]["decision"], &difference["after"]["decision"]),
            (&json!("pass"), &json!("withhold"))
        );
        assert_eq!(difference["after"]["policies"], json!(["rules"]));
    }
}

#[tokio::test]
async fn a_person_reads_which_calls_differ_and_why() {
    let gateway = recorded().await;
    let exit = replay(&gateway, STRICTER, &["--limit", "2", "--since", "1h"]).await;
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""));
    for told in ["delete_file", "pass → withhold by rules", "2 calls judged anew: 2 would be decided otherwise."] {
        assert!(exit.stdout.contains(told), "{told}: {}", exit.stdout);
    }
    assert!(!exit.stdout.contains('\x1b'), "colours where nobody sees them: {}", exit.stdout);
}

#[tokio::test]
async fn whatever_is_wrong_is_told_before_anything_is_judged() {
    let gateway = recorded().await;
    let broken = STRICTER.replace("delete_*", "[");
    let exit = replay(&gateway, &broken, &[]).await;
    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    assert!(
        exit.stderr.contains("candidate.yaml:5:7: control_plane.policies[1] (rules).config.deny[0].tool"),
        "{}",
        exit.stderr
    );

    let exit = replay(&gateway, &SAME.replace("pipeline", "pipelines"), &[]).await;
    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    assert!(exit.stderr.contains("candidate.yaml:3:1: pipelines"), "{}", exit.stderr);

    let exit = replay(&gateway, SAME, &["--since", "yesterday"]).await;
    assert_eq!(exit.code, Some(2), "{}", exit.stderr);
    assert!(exit.stderr.contains("7d, 36h"), "{}", exit.stderr);

    fs::write(gateway.folder().join("control-plane.yaml"), "control_plane: { database: 'sqlite://nowhere.db' }")
        .unwrap();
    let exit = replay(&gateway, SAME, &[]).await;
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert!(exit.stderr.contains("nowhere.db"), "{}", exit.stderr);
    assert!(!gateway.folder().join("nowhere.db").exists());
}

#[tokio::test]
async fn a_judge_that_was_not_asked_then_is_asked_now_if_one_wants_it() {
    const JUDGED: &str = "
policies: [{ name: guard, kind: tool_call_judge, config: { model: judge } }]
pipeline: [guard]
";
    let gateway = Setup::replacing_cool().with_upstream_keys().start().await;
    for dialect in Dialect::ALL {
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "tools_two")));
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        let id = answer.call_id();
        answer.whatever_comes().await;
        gateway.record(&id).await;
    }
    let section = |plane: &str| {
        let text = fs::read_to_string(gateway.folder().join(format!("{plane}.yaml"))).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let (mut both, data) = (section("control-plane"), section("data-plane"));
    both["data_plane"] = data["data_plane"].clone();
    fs::write(gateway.folder().join("both.yaml"), both.to_string()).unwrap();

    // Without an answer there is no opinion, though each is asked for twice, and nothing passes.
    let exit = replay(&gateway, JUDGED, &["--jsonl", "-"]).await;
    for call in lines(&exit) {
        assert_eq!((&call["asked"], &call["unanswered"]), (&json!(0), &json!(4)), "{call}");
    }
    gateway.upstream.answer_by(opinion);
    let exit = replay_with("both.yaml", &gateway, JUDGED, &["--ask", "--jsonl", "-"]).await;
    let calls = lines(&exit);
    assert_eq!(calls.len(), 3, "{}", exit.stderr);
    for call in calls {
        assert_eq!((&call["asked"], &call["unanswered"]), (&json!(2), &json!(0)), "{call}");
        let withheld = |difference: &&Value| difference["after"]["decision"] == "withhold";
        let tools: Vec<&Value> = call["differences"].as_array().unwrap().iter().filter(withheld).collect();
        assert_eq!((tools.len(), &tools[0]["tool"]), (1, &json!("delete_file")), "{call}");
    }
    let mut questions = gateway.upstream.exchanges().into_iter().filter(is_question);
    assert!(questions.all(|question| question.header("authorization").ends_with("upstream-key-openai")));
}

#[tokio::test]
async fn an_export_that_broke_off_is_said_to_be_one() {
    let gateway = Setup::replacing_cool().start().await;
    let broken = json!({"error": {"message": "the database is gone"}});
    fs::write(gateway.folder().join("export.jsonl"), broken.to_string()).unwrap();
    let exit = replay(&gateway, SAME, &["--from", "export.jsonl"]).await;
    assert_eq!(exit.code, Some(1), "{}", exit.stdout);
    assert!(exit.stderr.contains("the export broke off: the database is gone"), "{}", exit.stderr);
}

#[tokio::test]
async fn calls_that_no_policy_was_asked_about_are_left_out_and_counted() {
    let gateway = Setup::replacing_cool().start().await;
    let refused = json!({
        "call_id": "0198c9a5-7e4c-7000-8000-000000000001", "model": "\u{1b}[31m", "entries": [{"body": {"type": "report"}}],
    });
    fs::write(gateway.folder().join("export.jsonl"), refused.to_string()).unwrap();
    let exit = replay(&gateway, SAME, &["--from", "export.jsonl", "--fail-on-diff"]).await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(exit.stdout.contains("1 call left out"), "{}", exit.stdout);
}
