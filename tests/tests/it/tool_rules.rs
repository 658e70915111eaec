//! `tool_call_rules`: a refused call never reaches the client, whatever it is called by, and the turn stays usable.

use luthien_tests::{
    fixtures::{self, Fixture},
    harness::{Ask, Gateway, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Block, Dialect, Turn, sse},
};
use serde_json::json;

async fn streamed(gateway: &Gateway, dialect: Dialect, case: &str) -> Turn {
    gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, case)));
    gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await
}

async fn whole(gateway: &Gateway, dialect: Dialect, case: &str) -> Turn {
    gateway.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, case)));
    gateway.ask(Ask::whole(dialect)).await.whole(dialect).await
}

/// The word of a dialect for a turn in which tools are to be run, and for one that is over.
fn finishes(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::OpenAi => ("tool_calls", "stop"),
        Dialect::Anthropic => ("tool_use", "end_turn"),
        Dialect::Responses => ("completed", "completed"),
    }
}

const REFUSAL: &str = "The call of delete_file was refused: it deletes";

fn second_is_refused(dialect: Dialect, turn: &Turn, text: &str) {
    assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
    assert_eq!(turn.tool_calls()[0].arguments.replace(' ', ""), r#"{"path":"/tmp/notes.txt"}"#);
    assert!(turn.text().starts_with(text) && turn.text().ends_with(REFUSAL), "{turn:?}");
    assert_eq!(turn.finish(), finishes(dialect).0);
    assert!(matches!(turn.choices[0].blocks.last(), Some(Block::ToolCall(_))), "{turn:?}");
    dialect.next_turn(turn).unwrap();
}

#[tokio::test]
async fn of_two_calls_in_a_row_the_second_is_refused() {
    let gateway = Setup::denying_deletes().start().await;
    for dialect in Dialect::ALL {
        let turn = streamed(&gateway, dialect, "tools_two").await;
        second_is_refused(dialect, &turn, "I will read and then delete.");
        let turn = whole(&gateway, dialect, "tools_two").await;
        second_is_refused(dialect, &turn, "I will read and then delete.");
    }
}

#[tokio::test]
async fn of_two_interleaved_calls_the_second_is_refused() {
    let gateway = Setup::denying_deletes().start().await;
    for dialect in Dialect::ALL {
        let turn = streamed(&gateway, dialect, "tools_interleaved").await;
        second_is_refused(dialect, &turn, "Both at once.");
    }
}

#[tokio::test]
async fn of_two_calls_the_first_is_refused() {
    let gateway = Setup::denying(json!([{"tool": "read_*", "reason": "it reads"}])).start().await;
    for dialect in Dialect::ALL {
        for case in ["tools_two", "tools_interleaved"] {
            let turn = streamed(&gateway, dialect, case).await;
            assert_eq!(turn.tool_names(), ["delete_file"], "{turn:?}");
            assert!(turn.text().ends_with("The call of read_file was refused: it reads"), "{turn:?}");
            assert_eq!(turn.finish(), finishes(dialect).0);
            dialect.next_turn(&turn).unwrap();
        }
    }
}

#[tokio::test]
async fn a_turn_whose_only_call_is_refused_ends_as_a_text() {
    let gateway = Setup::denying_deletes().start().await;
    for dialect in Dialect::ALL {
        for turn in [streamed(&gateway, dialect, "tool_only").await, whole(&gateway, dialect, "tool_only").await] {
            assert_eq!(turn.tool_names(), [""; 0]);
            assert_eq!(turn.text(), REFUSAL);
            assert_eq!(turn.finish(), finishes(dialect).1);
            dialect.next_turn(&turn).unwrap();
        }
    }
}

#[tokio::test]
async fn when_every_call_is_refused_each_is_told() {
    let gateway = Setup::denying(json!([{"reason": "none is wanted"}])).start().await;
    for dialect in Dialect::ALL {
        for case in ["tools_two", "tools_interleaved"] {
            let turn = streamed(&gateway, dialect, case).await;
            assert_eq!(turn.tool_names(), [""; 0]);
            for tool in ["read_file", "delete_file"] {
                assert!(turn.text().contains(&format!("The call of {tool} was refused: none is wanted")), "{turn:?}");
            }
            assert_eq!(turn.finish(), finishes(dialect).1);
            dialect.next_turn(&turn).unwrap();
        }
    }
}

#[tokio::test]
async fn each_choice_keeps_its_own_calls_and_its_own_reason_to_finish() {
    let gateway = Setup::denying_deletes().start().await;
    let dialect = Dialect::OpenAi;
    for turn in [streamed(&gateway, dialect, "choices_tools").await, whole(&gateway, dialect, "choices_tools").await] {
        let [first, second] = &turn.choices[..] else { panic!("{turn:?}") };
        assert!(first.tool_calls().is_empty(), "{first:?}");
        assert!(first.text().starts_with("I will delete.") && first.text().ends_with(REFUSAL), "{first:?}");
        assert_eq!(first.finish, "stop");
        assert_eq!((second.text().as_str(), second.tool_calls().len()), ("I will read.", 1));
        assert_eq!(second.finish, "tool_calls");
    }
}

#[tokio::test]
async fn a_call_that_was_cut_by_the_limit_of_tokens_is_judged_as_far_as_it_came() {
    let gateway = Setup::denying(json!([{"arguments": "/home", "reason": "it is a home"}])).start().await;
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let body = String::from_utf8(fixtures::streamed(dialect, "tools_two")).unwrap();
        let (reason, cut) = match dialect {
            Dialect::OpenAi => (r#""finish_reason":"tool_calls""#, r#""finish_reason":"length""#),
            Dialect::Anthropic | Dialect::Responses => (r#""stop_reason":"tool_use""#, r#""stop_reason":"max_tokens""#),
        };
        let pieces = sse::split(body.as_bytes());
        let kept = pieces.iter().filter(|piece| !String::from_utf8_lossy(piece).contains(":true}"));
        let body = String::from_utf8(kept.copied().collect::<Vec<_>>().concat()).unwrap().replace(reason, cut);
        gateway.upstream.answer(Reply::stream(body.as_bytes()));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.tool_names(), ["read_file"]);
        assert!(turn.text().contains("it is a home"), "{turn:?}");
        assert!(["length", "max_tokens"].contains(&turn.finish()), "{turn:?}");
    }
}

#[tokio::test]
async fn reasoning_before_a_refused_call_stays() {
    let gateway = Setup::denying_deletes().start().await;
    let dialect = Dialect::Anthropic;
    for turn in [streamed(&gateway, dialect, "thinking_tools").await, whole(&gateway, dialect, "thinking_tools").await]
    {
        assert_eq!(turn.thinking(), "I should read first.");
        second_is_refused(dialect, &turn, "I will read and then delete.");
    }
}

/// What clients of a dialect read in different ways is written as all of them read it.
fn is_written_anew(dialect: Dialect, fixture: &Fixture) -> bool {
    dialect == Dialect::Responses && fixture.case == "tools_interleaved"
}

#[tokio::test]
async fn calls_that_no_rule_denies_leave_as_they_came() {
    let gateway = Setup::denying(json!([{"tool": "launch_*", "reason": "it launches"}])).start().await;
    for dialect in Dialect::ALL {
        for fixture in fixtures::all_streamed(dialect) {
            gateway.upstream.answer(Reply::stream(&fixture.body));
            let body = gateway.ask(Ask::streamed(dialect)).await.complete().await;
            let text = String::from_utf8_lossy(&body);
            dialect.stream(&body).unwrap_or_else(|error| panic!("{}: {error}\n{text}", fixture.case));
            if fixture.case != "odd_framing" && !is_written_anew(dialect, &fixture) {
                assert_eq!(text, String::from_utf8_lossy(&fixture.body), "{} {}", dialect.name(), fixture.case);
            }
        }
        for fixture in fixtures::all_whole(dialect) {
            gateway.upstream.answer(Reply::bytes(200, "application/json", &fixture.body));
            let body = gateway.ask(Ask::whole(dialect)).await.complete().await;
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&fixture.body), "{}", fixture.case);
        }
    }
}

#[tokio::test]
async fn text_flows_while_a_call_is_held_and_nothing_of_the_call_shows() {
    let gateway = Setup::denying_deletes().start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "tools_two");
        let pieces = sse::split(&body);
        let at = pieces.iter().position(|piece| String::from_utf8_lossy(piece).contains("/tmp")).unwrap() + 1;
        let gate = Gate::new();
        gateway.upstream.answer(Reply::sse().send(pieces[..at].concat()).wait(&gate).send(pieces[at..].concat()));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        gate.reached().await;
        answer.until(" and then delete.").await;
        answer.for_a_moment().await;
        for part in ["read_file", "tool_use", "\"tool_calls\"", "call_read", "/tmp"] {
            assert!(!answer.so_far().contains(part), "{part} was let go: {}", answer.so_far());
        }
        gate.open();
        second_is_refused(dialect, &answer.stream(dialect).await, "I will read and then delete.");
    }
}

#[tokio::test]
async fn arguments_are_judged_as_the_tool_would_read_them() {
    let deny = json!([{"arguments": r"/home/\w+", "reason": "it is a home"}]);
    let gateway = Setup::denying(deny).start().await;
    for dialect in Dialect::ALL {
        let body = String::from_utf8(fixtures::streamed(dialect, "tools_two")).unwrap();
        let hidden = body.replace("/home/me", r"/\\u0068om\\u0065/me");
        assert_ne!(hidden, body);
        gateway.upstream.answer(Reply::stream(hidden.as_bytes()));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
        assert!(turn.text().ends_with("The call of delete_file was refused: it is a home"), "{turn:?}");
    }
}

#[tokio::test]
async fn custom_tools_are_judged() {
    let deny = json!([{"tool": "apply_patch", "arguments": r"Delete File", "reason": "it deletes"}]);
    let gateway = Setup::denying(deny).start().await;
    let dialect = Dialect::OpenAi;
    for turn in [streamed(&gateway, dialect, "custom_tool").await, whole(&gateway, dialect, "custom_tool").await] {
        assert_eq!(turn.tool_names(), [""; 0]);
        assert_eq!(turn.text(), "The call of apply_patch was refused: it deletes");
        assert_eq!(turn.finish(), "stop");
    }
}

#[tokio::test]
async fn legacy_function_calls_are_judged() {
    let gateway = Setup::denying_deletes().start().await;
    let dialect = Dialect::OpenAi;
    for turn in
        [streamed(&gateway, dialect, "legacy_function").await, whole(&gateway, dialect, "legacy_function").await]
    {
        assert_eq!(turn.tool_names(), [""; 0]);
        assert_eq!(turn.text(), REFUSAL);
        assert_eq!(turn.finish(), "stop");
    }
}

#[tokio::test]
async fn calls_that_the_provider_runs_are_judged() {
    let gateway = Setup::denying(json!([{"tool": "web_*", "reason": "it searches"}])).start().await;
    let dialect = Dialect::Anthropic;
    for turn in [streamed(&gateway, dialect, "server_tools").await, whole(&gateway, dialect, "server_tools").await] {
        assert_eq!(turn.tool_names(), [""; 0]);
        assert!(turn.text().contains("The call of web_search was refused: it searches"), "{turn:?}");
        assert_eq!(turn.finish(), "end_turn");
    }
}

#[tokio::test]
async fn the_record_shows_what_was_refused_and_why() {
    let gateway = Setup::denying_deletes().start().await;
    for dialect in Dialect::ALL {
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "tools_two")));
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        let id = answer.call_id();
        answer.stream(dialect).await;
        let record = gateway.record(&id).await;
        let refused = record.blocks("tool_call").find(|block| block["tool"] == "delete_file").unwrap();
        assert!(refused["original"]["arguments"].as_str().unwrap().contains("/home/me"), "{refused}");
        assert!(refused["final"].is_null(), "{refused}");
        let kept = record.blocks("tool_call").find(|block| block["tool"] == "read_file").unwrap();
        assert_eq!(kept["unchanged"], true, "{kept}");
        assert!(record.text("text", "final").contains(REFUSAL), "{record:?}");
        let verdicts: Vec<_> = record.of_type("verdict").collect();
        assert!(verdicts.iter().any(|verdict| verdict["policies"] == json!(["rules"])), "{verdicts:?}");
        assert_eq!(record.outcome(), "delivered");
    }
}

#[tokio::test]
async fn two_policies_work_on_what_the_one_before_left() {
    let gateway = Setup::pipeline(&[
        json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["/home/me", "/etc"]]}}),
        json!({"name": "rules", "kind": "tool_call_rules", "config": {
            "deny": [{"arguments": "/etc", "reason": "it is the system's"}],
            "message": "{tool_name} refused: {reason}: {tool_arguments}",
        }}),
    ])
    .start()
    .await;
    for dialect in Dialect::ALL {
        for turn in [streamed(&gateway, dialect, "tools_two").await, whole(&gateway, dialect, "tools_two").await] {
            assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
            assert!(turn.text().contains("delete_file refused: it is the system's: {"), "{turn:?}");
            assert!(turn.text().contains("\"/etc\""), "{turn:?}");
            dialect.next_turn(&turn).unwrap();
        }
    }
}
