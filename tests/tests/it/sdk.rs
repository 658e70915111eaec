//! The providers' own SDKs for Python and Node, through luthien and straight at the provider: where no policy interferes, they must not
//! see a difference.
//!
//! The scripts in `tests/sdk` write down what they see; here the transcripts are compared.

pub mod environment;
mod provider;

use std::{collections::BTreeMap, net::SocketAddr};

use luthien_tests::{harness::Setup, peers::upstream::Upstream, validate::Dialect};
use serde_json::{Value, json};

use self::environment::Runtime;

/// What a script saw, by case.
type Transcript = BTreeMap<String, Value>;

/// Runs a dialect's script; `None`: there is nothing to run it with.
async fn transcript(runtime: Runtime, dialect: Dialect, address: SocketAddr) -> Option<Transcript> {
    let script = match dialect {
        Dialect::OpenAi => "openai_chat",
        Dialect::Anthropic => "anthropic_messages",
        Dialect::Responses => "openai_responses",
    };
    let run = move || {
        let mut command = runtime.command(script)?;
        command.env("OPENAI_BASE_URL", format!("http://{address}/v1")).env("OPENAI_API_KEY", "client-key-canary");
        command.env("ANTHROPIC_BASE_URL", format!("http://{address}")).env("ANTHROPIC_API_KEY", "client-key-canary");
        command.env("WHOLE", provider::whole(dialect).join(",")).env("STREAMED", provider::streamed(dialect).join(","));
        let output = command.output().unwrap_or_else(|error| panic!("{script}: {error}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} of {runtime:?} failed:\n{stderr}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let lines = tokio::task::spawn_blocking(run).await.unwrap()?;
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    Some(lines.map(|mut line| (line["case"].as_str().unwrap().to_owned(), line["saw"].take())).collect())
}

async fn straight(runtime: Runtime, dialect: Dialect) -> Option<Transcript> {
    let upstream = Upstream::start().await;
    upstream.answer_by(move |exchange| provider::answer(dialect, exchange));
    transcript(runtime, dialect, upstream.address()).await
}

async fn through(setup: Setup, runtime: Runtime, dialect: Dialect) -> Option<Transcript> {
    let gateway = setup.start().await;
    gateway.upstream.answer_by(move |exchange| provider::answer(dialect, exchange));
    transcript(runtime, dialect, gateway.data.address).await
}

fn assert_same(straight: &Transcript, through: &Transcript, what: &str) {
    let (expected, seen): (Vec<&String>, Vec<&String>) = (straight.keys().collect(), through.keys().collect());
    assert_eq!(expected, seen, "{what}");
    let differ = straight.iter().filter(|(case, expected)| through[*case] != **expected);
    let differ: Vec<String> = differ
        .map(|(case, expected)| format!("{case}:\n  straight      {expected}\n  through luthien {}", through[case]))
        .collect();
    assert!(differ.is_empty(), "{what}: {} of {}\n{}", differ.len(), straight.len(), differ.join("\n"));
}

async fn sees_no_difference(runtime: Runtime, dialect: Dialect) {
    let Some(expected) = straight(runtime, dialect).await else { return };
    // The scripts see what they are there to see.
    assert_eq!(expected["error 429"]["raised"], "RateLimitError");
    assert_eq!(expected["retried 429"], expected["whole text"]);
    let broken = &expected["helped error_in_stream"];
    assert!(broken["raised"].is_string() || broken["final"]["status"] == "failed", "{broken}");
    if runtime == Runtime::Node {
        assert_eq!(called(&expected, "tools_two"), ["read_file", "delete_file"]);
        assert_eq!(
            text(dialect, message(&expected, "loop", "tools_two")),
            text(dialect, message(&expected, "whole", "text"))
        );
    }
    for (what, setup) in [
        ("recorded", Setup::noop()),
        // No text of the fixtures could even begin like this, so nothing is held for it.
        ("gated", Setup::replacing(json!({"replacements": [["§ never said", "never seen"]]}))),
    ] {
        let seen = through(setup, runtime, dialect).await.unwrap();
        assert_same(&expected, &seen, &format!("{runtime:?} {} {what}", dialect.name()));
    }
}

#[tokio::test]
async fn the_openai_sdk_of_python_sees_no_difference_where_no_policy_interferes() {
    sees_no_difference(Runtime::Python, Dialect::OpenAi).await;
}

#[tokio::test]
async fn the_anthropic_sdk_of_python_sees_no_difference_where_no_policy_interferes() {
    sees_no_difference(Runtime::Python, Dialect::Anthropic).await;
}

#[tokio::test]
async fn the_openai_sdks_responses_of_python_see_no_difference_where_no_policy_interferes() {
    sees_no_difference(Runtime::Python, Dialect::Responses).await;
}

#[tokio::test]
async fn the_openai_sdk_of_node_sees_no_difference_where_no_policy_interferes() {
    sees_no_difference(Runtime::Node, Dialect::OpenAi).await;
}

#[tokio::test]
async fn the_anthropic_sdk_of_node_sees_no_difference_where_no_policy_interferes() {
    sees_no_difference(Runtime::Node, Dialect::Anthropic).await;
}

#[tokio::test]
async fn the_openai_sdks_responses_of_node_see_no_difference_where_no_policy_interferes() {
    sees_no_difference(Runtime::Node, Dialect::Responses).await;
}

/// The ways in which the scripts get a response put together.
fn put_together(runtime: Runtime) -> &'static [&'static str] {
    match runtime {
        Runtime::Python => &["whole", "helped", "async whole", "async helped"],
        Runtime::Node => &["whole", "helped"],
    }
}

/// The ways in which they get it piece by piece.
fn in_pieces(runtime: Runtime) -> &'static [&'static str] {
    match runtime {
        Runtime::Python => &["iterated", "async iterated"],
        Runtime::Node => &["iterated"],
    }
}

/// Each SDK and dialect.
fn all() -> impl Iterator<Item = (Runtime, Dialect)> {
    Runtime::ALL.into_iter().flat_map(|runtime| Dialect::ALL.map(|dialect| (runtime, dialect)))
}

/// The message of a response that was put together.
fn message<'a>(transcript: &'a Transcript, how: &str, case: &str) -> &'a Value {
    let saw = &transcript[&format!("{how} {case}")];
    let response = if saw["final"].is_null() { saw } else { &saw["final"] };
    let openai = &response["choices"][0];
    if openai.is_null() { response } else { openai }
}

fn text(dialect: Dialect, message: &Value) -> String {
    match dialect {
        Dialect::OpenAi => message["message"]["content"].as_str().unwrap_or_default().to_owned(),
        Dialect::Anthropic => {
            let blocks = message["content"].as_array().unwrap().iter();
            blocks.filter_map(|block| block["text"].as_str()).collect()
        }
        Dialect::Responses => {
            let parts = message["output"].as_array().unwrap().iter().filter_map(|item| item["content"].as_array());
            parts.flatten().filter_map(|part| part["text"].as_str()).collect()
        }
    }
}

/// The names of the tools, and why the turn finished.
fn tools(dialect: Dialect, message: &Value) -> (Vec<&str>, &str) {
    match dialect {
        Dialect::OpenAi => {
            let calls = message["message"]["tool_calls"].as_array().into_iter().flatten();
            let names = calls.map(|call| call["function"]["name"].as_str().unwrap()).collect();
            (names, message["finish_reason"].as_str().unwrap())
        }
        Dialect::Anthropic => {
            let blocks = message["content"].as_array().unwrap().iter();
            let names = blocks.filter(|block| block["type"] == "tool_use").map(|block| block["name"].as_str().unwrap());
            (names.collect(), message["stop_reason"].as_str().unwrap())
        }
        Dialect::Responses => {
            let items = message["output"].as_array().unwrap().iter();
            let names = items.filter(|item| item["type"] == "function_call").map(|item| item["name"].as_str().unwrap());
            (names.collect(), message["status"].as_str().unwrap())
        }
    }
}

/// The tools that were called by the SDK's own loop.
fn called<'a>(transcript: &'a Transcript, case: &str) -> Vec<&'a str> {
    let calls = transcript[&format!("loop {case}")]["called"].as_array().unwrap();
    calls.iter().map(|call| call[0].as_str().unwrap()).collect()
}

/// What an SDK gives piece by piece, put together.
fn pieces(dialect: Dialect, transcript: &Transcript, how: &str, case: &str) -> String {
    let pieces = transcript[&format!("{how} {case}")].as_array().unwrap().iter();
    let piece = |piece: &Value| match dialect {
        Dialect::OpenAi => piece["choices"][0]["delta"]["content"].as_str().map(str::to_owned),
        Dialect::Anthropic => piece["delta"]["text"].as_str().map(str::to_owned),
        Dialect::Responses => {
            let is_text = piece["type"] == "response.output_text.delta";
            is_text.then(|| piece["delta"].as_str().map(str::to_owned)).flatten()
        }
    };
    pieces.filter_map(piece).collect()
}

#[tokio::test]
async fn what_is_replaced_comes_whole_to_an_sdk() {
    for (runtime, dialect) in all() {
        let Some(seen) = through(Setup::replacing_cool(), runtime, dialect).await else { continue };
        let replaced = "Hello there, the radically radical answer is 42. Grüße 🦀!";
        for how in put_together(runtime) {
            assert_eq!(text(dialect, message(&seen, how, "text")), replaced, "{how}");
        }
        for how in in_pieces(runtime) {
            assert_eq!(pieces(dialect, &seen, how, "text"), replaced, "{how}");
        }
        assert_eq!(seen["error 429"]["raised"], "RateLimitError");
        assert_eq!(text(dialect, message(&seen, "retried", "429")), replaced);
        assert!(!seen["lines"].to_string().contains("cool"), "{}", seen["lines"]);
    }
}

#[tokio::test]
async fn what_a_policy_answers_comes_whole_to_an_sdk() {
    let answer = json!({"answers": [{"text": "The gateway is up. 🦀"}]});
    for (runtime, dialect) in all() {
        let setup = Setup::pipeline(&[json!({"name": "desk", "kind": "canned_answers", "config": answer})]);
        let Some(seen) = through(setup, runtime, dialect).await else { continue };
        for how in put_together(runtime) {
            let message = message(&seen, how, "text");
            assert_eq!(text(dialect, message), "The gateway is up. 🦀", "{how}");
            assert_eq!(tools(dialect, message).1, finishes(dialect), "{how}");
        }
        for how in in_pieces(runtime) {
            assert_eq!(pieces(dialect, &seen, how, "text"), "The gateway is up. 🦀", "{how}");
        }
    }
}

fn finishes(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "stop",
        Dialect::Anthropic => "end_turn",
        Dialect::Responses => "completed",
    }
}

#[tokio::test]
async fn a_refused_tool_call_is_never_seen_by_an_sdk() {
    for (runtime, dialect) in all() {
        let Some(seen) = through(Setup::denying_deletes(), runtime, dialect).await else { continue };
        let (uses_tools, is_over) = match dialect {
            Dialect::OpenAi => ("tool_calls", "stop"),
            Dialect::Anthropic => ("tool_use", "end_turn"),
            Dialect::Responses => ("completed", "completed"),
        };
        let refusal = "The call of delete_file was refused: it deletes";
        for how in put_together(runtime) {
            let parallel = message(&seen, how, "tools_two");
            assert_eq!(tools(dialect, parallel), (vec!["read_file"], uses_tools), "{how}");
            assert!(text(dialect, parallel).ends_with(refusal), "{how}: {parallel}");
            let only = message(&seen, how, "tool_only");
            assert_eq!(tools(dialect, only), (Vec::new(), is_over), "{how}");
            assert_eq!(text(dialect, only), refusal, "{how}");
        }
        if runtime == Runtime::Node {
            assert_eq!(called(&seen, "tools_two"), ["read_file"]);
            assert!(called(&seen, "tool_only").is_empty());
        }
        for how in in_pieces(runtime) {
            let saw = &seen[&format!("{how} tools_two")];
            assert!(!saw.to_string().contains("\"delete_file\""), "{how}: {saw}");
            assert!(pieces(dialect, &seen, how, "tools_two").ends_with(refusal), "{how}: {saw}");
        }
    }
}
