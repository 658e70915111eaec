//! The policies for one purpose that are judges, or replace.

use luthien_policy::{PolicySet, kinds};
use luthien_proto::request::{ContentBlock, Dialect};
use serde_json::{Value, json};

use crate::{
    judge::data,
    proxy::{Proxy, set},
    response::{read, response, text, thinking, tool},
};

fn preset(kind: &str, config: Value) -> Proxy {
    Proxy::start_with(set(json!([{ "name": "p", "kind": kind, "config": config }])), Dialect::AnthropicMessages)
}

#[test]
fn manners_are_judged_in_texts_and_calls_flow() {
    for (kind, word) in [("no_yapping", "to the point"), ("no_apologies", "apologise")] {
        let mut proxy = preset(kind, json!({ "model": "m" }));
        proxy.respond(&response([tool(0, "ls", &["{}"]), text(1, ["Sorry! ", "x is 2."])]), &[1]);
        assert_eq!(read(&proxy.released), ["call ls: {}"]);
        let consult = &proxy.consults["p/1"];
        let ContentBlock::Text(system) = &consult.request.system[0].block else { panic!() };
        assert!(system.contains(word), "{system}");
        assert_eq!(data(consult), json!({ "text": "Sorry! x is 2." }));
        proxy.answer("p/1", r#"{"decision":"replace","text":"x is 2."}"#);
        assert_eq!(read(&proxy.released), ["call ls: {}", "text: x is 2."]);
    }
}

#[test]
fn dashes_become_plain_across_chunks_and_arguments_stay() {
    let mut proxy = preset("plain_dashes", json!({}));
    let blocks = [
        thinking(0, &["a \u{2014} b"], Some("sig")),
        text(1, ["a ", "\u{2014}", " b, 1\u{2013}2", "; \u{2015}\u{2012} c-d"]),
        tool(2, "Edit", &["{\"old_string\":\"a \u{2014} b\"}"]),
    ];
    proxy.respond(&response(blocks), &[1]);
    let expected =
        ["thinking: a \u{2014} b [sig]", "text: a - b, 1-2; -- c-d", "call Edit: {\"old_string\":\"a \u{2014} b\"}"];
    assert_eq!(read(&proxy.released), expected);
    assert!(proxy.consults.is_empty());

    let mut proxy = preset("plain_dashes", json!({ "apply_to": ["tool_call"] }));
    proxy.respond(&response([text(0, ["\u{2014}"]), tool(1, "f", &["{\"a\":\"\\u2014\"}"])]), &[1]);
    assert_eq!(read(&proxy.released), ["text: \u{2014}", "call f: {\"a\":\"-\"}"]);
}

#[test]
fn what_is_configured_wrongly_is_told_with_its_key() {
    let cases = [
        ("no_yapping", json!({}), "model: it is missing"),
        ("no_apologies", json!({ "model": "m", "instructions": "x" }), "instructions: unknown key"),
        ("plain_dashes", json!({ "apply_to": [] }), "apply_to: it is empty"),
        ("plain_dashes", json!({ "replacements": [] }), "replacements: unknown key; there are: apply_to"),
        ("prefer_uv", json!({ "allow": ["("] }), "allow[0]: regex parse error"),
        ("block_dangerous_commands", json!({ "allow": [1] }), "allow[0]: invalid type"),
        ("block_web_requests", json!({ "deny": [] }), "deny: unknown key; there are: allow, message"),
        ("block_sensitive_file_writes", json!({ "message": 1 }), "message: invalid type"),
    ];
    for (kind, config, expected) in cases {
        let set = json!({ "policies": [{ "name": "p", "kind": kind, "config": config }] });
        let error = PolicySet::build(serde_json::from_value(set).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("policies[0] (p).config.{expected}")), "{error}");
    }
}

#[test]
fn every_kind_is_told_of() {
    let kinds = kinds();
    let names: Vec<&str> = kinds.as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    for kind in [
        "llm_judge",
        "no_yapping",
        "no_apologies",
        "plain_dashes",
        "prefer_uv",
        "block_dangerous_commands",
        "block_web_requests",
        "block_sensitive_file_writes",
    ] {
        assert!(names.contains(&kind), "{kind}");
    }
}
