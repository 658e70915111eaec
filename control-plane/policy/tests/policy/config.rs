//! What an operator gets wrong, and what is said of it.

use expect_test::{Expect, expect};
use luthien_policy::{PolicySet, PolicySetConfig};
use serde_json::{Value, json};

fn check(policies: Value, pipeline: Value, expected: Expect) {
    let config: PolicySetConfig =
        serde_json::from_value(json!({ "policies": policies, "pipeline": pipeline })).unwrap();
    expected.assert_eq(&PolicySet::build(config).expect_err("an error").to_string());
}

fn check_policy(kind: &str, config: Value, expected: Expect) {
    check(json!([{ "name": "p", "kind": kind, "config": config }]), json!(["p"]), expected);
}

#[test]
fn an_unknown_kind_lists_the_kinds() {
    check_policy(
        "nope",
        json!({}),
        expect![[
            r#"policies[0] (p).kind: unknown kind "nope"; there are: noop, string_replacement, tool_call_rules, tool_call_judge, llm_judge, no_yapping, no_apologies, plain_dashes, prefer_uv, block_dangerous_commands, block_web_requests, block_sensitive_file_writes, parallel, remote, canned_answers, debug_logging"#
        ]],
    );
}

#[test]
fn names_are_checked() {
    let noop = |name: &str| json!({ "name": name, "kind": "noop" });
    check(
        json!([noop("a"), noop("a")]),
        json!(["a"]),
        expect!["policies[1] (a).name: there is another policy of that name"],
    );
    check(json!([noop("")]), json!([]), expect!["policies[0] ().name: it is empty"]);
    check(json!([noop("a")]), json!(["a", "b"]), expect![[r#"pipeline[1]: no policy is called "b"; there are: a"#]]);
    check(json!([noop("a")]), json!(["a", "a"]), expect![[r#"pipeline[1]: policy "a" is in the pipeline already"#]]);
}

#[test]
fn a_policy_out_of_use_is_checked_too() {
    check(
        json!([{ "name": "p", "kind": "noop", "config": { "x": 1 } }]),
        json!([]),
        expect!["policies[0] (p).config.x: unknown key: this kind has none"],
    );
}

#[test]
fn replacements_are_checked() {
    let kind = "string_replacement";
    check_policy(
        kind,
        json!({}),
        expect!["policies[0] (p).config.replacements: there are none: give at least one pair, as [from, to]"],
    );
    check_policy(
        kind,
        json!({ "replacements": [["a", "b"], ["", "c"]] }),
        expect!["policies[0] (p).config.replacements[1]: the string to find is empty"],
    );
    check_policy(
        kind,
        json!({ "replacements": [["a"]] }),
        expect![
            "policies[0] (p).config.replacements[0]: expected a pair of strings, [from, to]: invalid length 1, expected a tuple of size 2"
        ],
    );
    check_policy(
        kind,
        json!({ "replacements": [["a", "b"]], "apply": [] }),
        expect!["policies[0] (p).config.apply: unknown key; there are: replacements, match_capitalization, apply_to"],
    );
    check_policy(
        kind,
        json!({ "replacements": [["a", "b"]], "apply_to": ["text", "texts"] }),
        expect![[
            r#"policies[0] (p).config.apply_to[1]: "texts" is no kind of content; there are: text, thinking, refusal, tool_call, opaque"#
        ]],
    );
    check_policy(
        kind,
        json!({ "replacements": [["a", "b"]], "match_capitalization": "yes" }),
        expect![[r#"policies[0] (p).config.match_capitalization: invalid type: string "yes", expected a boolean"#]],
    );
}

#[test]
fn rules_are_checked() {
    let kind = "tool_call_rules";
    check_policy(
        kind,
        json!({ "deny": [] }),
        expect!["policies[0] (p).config.deny: there are no rules: give at least one"],
    );
    check_policy(
        kind,
        json!({ "deny": [{ "tool": "[a" }] }),
        expect!["policies[0] (p).config.deny[0].tool: error parsing glob '[a': unclosed character class; missing ']'"],
    );
    check_policy(
        kind,
        json!({ "deny": [{}, { "arguments": "(" }] }),
        expect![[r#"
        policies[0] (p).config.deny[1].arguments: regex parse error:
            (
            ^
        error: unclosed group"#]],
    );
    check_policy(
        kind,
        json!({ "deny": [{ "arguments": "(\\w{1000}){1000}" }] }),
        expect!["policies[0] (p).config.deny[0].arguments: Compiled regex exceeds size limit of 1048576 bytes."],
    );
    check_policy(
        kind,
        json!({ "deny": [{ "tools": "a" }] }),
        expect!["policies[0] (p).config.deny[0].tools: unknown key; there are: tool, arguments, reason"],
    );
    check_policy(
        kind,
        json!({ "deny": ["Bash"] }),
        expect!["policies[0] (p).config.deny[0]: expected a rule with keys, found a string"],
    );
}

#[test]
fn what_is_to_be_logged_is_checked() {
    let kind = "debug_logging";
    check_policy(
        kind,
        json!({ "max_chars": -1 }),
        expect!["policies[0] (p).config.max_chars: invalid value: integer `-1`, expected usize"],
    );
    check_policy(
        kind,
        json!({ "chars": 1 }),
        expect!["policies[0] (p).config.chars: unknown key; there are: max_chars"],
    );
}

fn check_binding(binding: Value, expected: Expect) {
    let policies = json!([{ "name": "a", "kind": "noop" }]);
    let config = serde_json::from_value(json!({ "policies": policies, "bindings": [binding] })).unwrap();
    expected.assert_eq(&PolicySet::build(config).expect_err("an error").to_string());
}

#[test]
fn bindings_are_checked() {
    let when = json!({ "model": "gpt-*" });
    check_binding(
        json!({ "when": when, "pipeline": ["a", "b"] }),
        expect![[r#"bindings[0].pipeline[1]: no policy is called "b"; there are: a"#]],
    );
    check_binding(
        json!({ "when": when, "pipeline": ["a", "a"] }),
        expect![[r#"bindings[0].pipeline[1]: policy "a" is in the pipeline already"#]],
    );
    check_binding(
        json!({ "when": {}, "pipeline": ["a"] }),
        expect!["bindings[0].when: it has no condition: for the calls that no binding matches there is `pipeline`"],
    );
    check_binding(
        json!({ "when": { "model": "[a" }, "pipeline": ["a"] }),
        expect!["bindings[0].when.model: error parsing glob '[a': unclosed character class; missing ']'"],
    );
    check_binding(
        json!({ "when": { "header": { "X-Api-Key": "a" } }, "pipeline": ["a"] }),
        expect![
            "bindings[0].when.header.X-Api-Key: data planes tell only headers that begin with `x-` and do not sound like a credential"
        ],
    );
    check_binding(
        json!({ "when": { "header": { "user-agent": "a" } }, "pipeline": ["a"] }),
        expect![
            "bindings[0].when.header.user-agent: data planes tell only headers that begin with `x-` and do not sound like a credential"
        ],
    );
}

#[test]
fn the_configuration_of_a_judge_is_checked() {
    let check = |config: Value, expected: Expect| check_policy("tool_call_judge", config, expected);
    check(json!({}), expect!["policies[0] (p).config.model: it is missing: name the judge"]);
    check(json!({ "model": "" }), expect!["policies[0] (p).config.model: it is missing: name the judge"]);
    check(
        json!({ "model": "m", "probability_threshold": 1.5 }),
        expect!["policies[0] (p).config.probability_threshold: 1.5 is not within 0 and 1"],
    );
    check(
        json!({ "model": "m", "probability_threshold": -0.1 }),
        expect!["policies[0] (p).config.probability_threshold: -0.1 is not within 0 and 1"],
    );
    check(json!({ "model": "m", "temperature": -1 }), expect!["policies[0] (p).config.temperature: it is less than 0"]);
    check(
        json!({ "model": "m", "max_tokens": 0 }),
        expect!["policies[0] (p).config.max_tokens: it is 0: no answer fits"],
    );
    check(json!({ "model": "m", "retries": 11 }), expect!["policies[0] (p).config.retries: 11 is more than 10"]);
    check(
        json!({ "model": "m", "deadline": "10" }),
        expect![
            "policies[0] (p).config.deadline: expected a duration with its unit, such as 500ms, 10s or 1m30s, of a day at most"
        ],
    );
    check(
        json!({ "model": "m", "credentials": "mine" }),
        expect![[r#"policies[0] (p).config.credentials: there is no "mine"; there are: configured, caller"#]],
    );
    check(
        json!({ "model": "m", "on_error": "open" }),
        expect![[r#"policies[0] (p).config.on_error: there is no "open"; there are: refuse, pass"#]],
    );
    check(
        json!({ "model": "m", "api_key": "x" }),
        expect![
            "policies[0] (p).config.api_key: unknown key; there are: model, upstream, credentials, temperature, max_tokens, retries, deadline, on_error, probability_threshold, judge_instructions, blocked_message_template"
        ],
    );
}
