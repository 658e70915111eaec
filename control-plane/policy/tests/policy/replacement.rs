//! `string_replacement`, over every kind of content and however it is cut.

use expect_test::{Expect, expect};
use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockKind, BlockStarted, CallError, Delta, FinishReason, Finished, ToolForm, Usage},
    json::Extras,
    message::Decision,
    request::Dialect,
    wire,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    proxy::{Proxy, set},
    response::{arguments, block, failed, opaque, piece, read, response, start, stop, text, thinking, tool, tool_of},
};

fn policy(config: Value) -> Proxy {
    policy_with(config, Dialect::OpenAiChat)
}

fn policy_with(config: Value, dialect: Dialect) -> Proxy {
    Proxy::start_with(set(json!([{ "name": "brand", "kind": "string_replacement", "config": config }])), dialect)
}

fn cool() -> Value {
    json!({ "replacements": [["cool", "radical"], ["beans", "toast"]], "match_capitalization": true })
}

/// Plays blocks and shows what is left of them.
fn check(config: Value, dialect: Dialect, blocks: impl IntoIterator<Item = Vec<Event>>, expected: Expect) {
    let mut proxy = policy_with(config, dialect);
    proxy.respond(&response(blocks), &[1]);
    assert_eq!(proxy.held(), 0);
    expected.assert_eq(&read(&proxy.released).join("\n"));
}

#[test]
fn a_match_across_chunks_is_replaced_and_only_its_beginning_held_back() {
    let mut proxy = policy(cool());
    proxy.respond(&response([])[..1], &[1]);
    proxy.respond(&[start(0, BlockKind::Text), piece(0, "That is co")], &[1]);
    assert_eq!(read(&proxy.released), ["text: That is …"]);
    proxy.send(&[piece(0, "o")]);
    assert_eq!(read(&proxy.released), ["text: That is …"]);
    proxy.send(&[piece(0, "l. Co")]);
    assert_eq!(read(&proxy.released), ["text: That is radical. …"]);
    proxy.respond(&[vec![stop(0)], response([]).split_off(1)].concat(), &[1]);
    assert_eq!(read(&proxy.released), ["text: That is radical. Co"]);
    assert_eq!(proxy.held(), 0);
}

/// A text in two blocks, and what comes between and behind them.
fn interrupted(first: &str, between: Vec<Event>, second: &str) -> Vec<Vec<Event>> {
    vec![text(0, [first]), between, text(2, [second])]
}

#[test]
fn texts_that_a_client_joins_are_one_text() {
    let thought = || {
        block(
            1,
            BlockKind::Thinking { field: "reasoning".to_owned(), id: String::new() },
            [Delta::Text("hm".to_owned())],
        )
    };
    let call = || tool(1, "f", &["{}"]);
    let config = || json!({ "replacements": [["cool", "radical"], ["coolest", "best"]] });
    for (between, line) in [(thought(), "thinking: hm"), (call(), "call f: {}")] {
        for (first, second, expected) in [
            ("so co", "ol", ["text: so ", "text: radical"]),
            ("so co", "ld", ["text: so ", "text: cold"]),
            ("so ", "cool", ["text: so ", "text: radical"]),
        ] {
            let mut proxy = policy(config());
            proxy.respond(&response(interrupted(first, between.clone(), second)), &[1]);
            assert_eq!(read(&proxy.released), [expected[0], line, expected[1]]);
            assert_eq!(proxy.held(), 0);
        }
    }
    check(
        config(),
        Dialect::AnthropicMessages,
        interrupted("so co", thought(), "ol"),
        expect![[r#"
            text: so co
            thinking: hm
            text: ol"#]],
    );
}

#[test]
fn a_text_does_not_go_on_in_what_a_policy_says() {
    let rules = json!({
        "name": "guard", "kind": "tool_call_rules", "config": { "deny": [{ "tool": "f" }], "message": "ol, no" },
    });
    let brand =
        json!({ "name": "brand", "kind": "string_replacement", "config": { "replacements": [["cool", "radical"]] } });
    let mut proxy = Proxy::start(set(json!([rules, brand])));
    proxy.respond(&response([text(0, ["so co"]), tool(1, "f", &["{}"]), text(2, ["ol"])]), &[1]);
    assert_eq!(read(&proxy.released), ["text: so co", "text: ol, no", "text: ol"]);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn a_text_that_does_not_go_on_is_let_out_when_nothing_more_can_come() {
    let config = || json!({ "replacements": [["cool", "radical"]] });
    let other_choice = || {
        let kind = BlockKind::Text;
        let started = Step::BlockStarted(BlockStarted { block: BlockKey(1), choice: 1, kind }).into();
        vec![started, piece(1, "ol"), stop(1)]
    };
    let mut proxy = policy(config());
    proxy.respond(&response([text(0, ["so co"]), other_choice()]), &[1]);
    assert_eq!(read(&proxy.released), ["text: so co", "text: ol"]);
    assert_eq!(proxy.held(), 0);

    let mut proxy = policy(config());
    proxy.respond(&[response([text(0, ["so co"])])[..4].to_vec(), vec![failed()]].concat(), &[1]);
    assert_eq!(read(&proxy.released), ["text: so co", "failed: overloaded"]);
    assert_eq!(proxy.held(), 0);
}

#[test]
fn a_match_that_can_not_grow_is_replaced_at_once() {
    let mut proxy = policy(cool());
    proxy.respond(&response([])[..1], &[1]);
    proxy.respond(&[start(0, BlockKind::Text), piece(0, "COOL")], &[1]);
    assert_eq!(read(&proxy.released), ["text: RADICAL…"]);
}

#[test]
fn strings_of_no_kind_of_their_own_are_opaque_content() {
    let error = |message: &str| CallError { status: 400, message: message.to_owned(), ..CallError::default() };
    let usage = |note: &str| {
        Step::Usage(Usage { raw: Extras::from_text(&format!(r#"{{"note":"{note}"}}"#)).unwrap(), ..Usage::default() })
    };
    let finished = |word: &str| {
        let (word, stop_sequence) = (word.to_owned(), Some(word.to_owned()));
        Step::Finished(Finished { word, stop_sequence, ..Finished::new(0, FinishReason::Other) })
    };
    let steps = |word: &str| [usage(word), finished(word), Step::Failed(error(word))].map(Event::from);
    for (apply_to, expected) in [("opaque", "radical"), ("text", "cool")] {
        let mut proxy = policy(json!({ "replacements": [["cool", "radical"]], "apply_to": [apply_to] }));
        proxy.respond(&steps("cool"), &[1]);
        assert_eq!(proxy.released, steps(expected), "{apply_to}");
    }
}

#[test]
fn what_does_not_change_is_passed_as_it_came() {
    let mut proxy = policy(cool());
    let events = response([text(0, ["Nothing ", "to see", " here"]), tool(1, "f", &["{\"a\": ", "\"warm\"}"])]);
    proxy.respond(&events, &[3]);
    assert!(proxy.verdicts.iter().all(|verdict| verdict.decision == Decision::Pass), "{:?}", proxy.verdicts);
    assert_eq!(proxy.released, events);
}

#[test]
fn the_unknown_fields_of_a_changed_piece_are_dropped_and_others_stay() {
    let extras = Extras::from_text(r#"{"logprobs":{"content":[{"token":"is"}]}}"#).unwrap();
    let with = |text: &str| Event { extras: extras.clone(), ..piece(0, text) };
    let mut proxy = policy(json!({ "replacements": [["cool", "radical"]], "apply_to": ["text"] }));
    proxy.respond(&response([vec![start(0, BlockKind::Text), with("so "), with("coo"), with("l"), stop(0)]]), &[1]);
    let pieces: Vec<(String, bool)> = proxy
        .released
        .iter()
        .filter_map(|event| match &event.step {
            Step::BlockDelta(delta) => match &delta.delta {
                Delta::Text(text) => Some((text.clone(), event.extras.is_empty())),
                other => panic!("{other:?}"),
            },
            _ => None,
        })
        .collect();
    assert_eq!(pieces, [("so ".to_owned(), false), ("radical".to_owned(), true)]);
}

#[test]
fn log_probabilities_that_stand_apart_do_not_tell_what_was_replaced() {
    let tokens = |tokens: &[&str]| {
        let tokens: Vec<Value> = tokens.iter().map(|token| json!({ "token": token, "logprob": -1.5 })).collect();
        let logprobs = json!({ "choice": { "index": 0, "logprobs": { "content": tokens } } });
        Extras::from_text(&logprobs.to_string()).unwrap()
    };
    for (words, expected) in [
        (["so c", "ool"], json!(null)),
        (["so f", "ine"], tokens(&["so f", "ine"]).into_map()["choice"]["logprobs"].clone()),
    ] {
        let mut events = response([thinking(0, &["hm"], None), text(1, [words.concat().as_str()])]);
        events[2].extras = tokens(&words);
        let mut proxy = policy(json!({ "replacements": [["cool", "radical"]] }));
        proxy.respond(&events, &[20]);
        assert_eq!(proxy.released[2].extras.get("choice").unwrap()["logprobs"], expected);
    }
}

#[test]
fn strings_in_unknown_fields_are_replaced_where_opaque_content_is() {
    let extras = Extras::from_text(r#"{"note":["so cool"],"cool":1}"#).unwrap();
    let mut events = response([text(0, ["hi"])]);
    for event in &mut events {
        event.extras = extras.clone();
    }
    let mut proxy = policy(cool());
    proxy.respond(&events, &[1]);
    let released: Vec<String> = proxy.released.iter().map(|event| event.extras.to_text()).collect();
    assert_eq!(released, vec![r#"{"note":["so radical"],"cool":1}"#; events.len()]);
}

#[test]
fn strings_in_unknown_fields_are_replaced_however_they_are_spelled() {
    for (apply_to, extras, expected) in [
        (json!(["text", "opaque"]), r#"{"note":["so cool"],"cool":1}"#, r#"{"note":["so radical"],"cool":1}"#),
        (json!(["text", "opaque"]), r#"{ "note": "so c\u006fol" }"#, r#"{"note":"so radical"}"#),
        (json!(["text", "opaque"]), r#"{ "note": "so fine", "cool": 1 }"#, r#"{ "note": "so fine", "cool": 1 }"#),
        (json!(["text"]), r#"{"note":"so c\u006fol"}"#, r#"{"note":"so c\u006fol"}"#),
        (
            json!(["text"]),
            r#"{"choice":{"logprobs":{"content":[{"token":"cool"}]}}}"#,
            r#"{"choice":{"logprobs":null}}"#,
        ),
        (
            json!(["text"]),
            r#"{"choice":{"logprob\u0073":{"content":[{"token":"c\u006fol"}]}}}"#,
            r#"{"choice":{"logprobs":null}}"#,
        ),
    ] {
        let ended = wire::Event { event: Some(wire::event::Event::Ended(wire::Ended {})), extras_json: extras.into() };
        let told = Event::try_from(ended).unwrap().extras;
        let mut proxy = policy(json!({ "replacements": [["cool", "radical"]], "apply_to": apply_to }));
        proxy.respond(
            &response([vec![start(0, BlockKind::Text), Event { extras: told, ..piece(0, "hi") }, stop(0)]]),
            &[1],
        );
        let pieces = proxy.released.iter().filter(|event| matches!(event.step, Step::BlockDelta(_)));
        assert_eq!(pieces.map(|event| event.extras.to_text()).collect::<Vec<_>>(), [expected], "{extras}");
    }
}

#[test]
fn arguments_are_replaced_inside_their_strings() {
    check(
        cool(),
        Dialect::OpenAiChat,
        [
            tool(
                0,
                "cool_tool",
                &["{\"cool\": \"very c", "ool\\n\\u0063ool\", \"n\": 1.0, \"deep\": [{\"x\": \"Beans\"}]}"],
            ),
            tool(1, "f", &["{\"a\": \"unchanged \\u0061\",  \"n\": 1e2}"]),
            tool_of(2, "shell", ToolForm::Custom, &["echo co", "ol \\u0063ool"]),
            tool_of(3, "f", ToolForm::Legacy, &["{\"a\": \"COOL\"}"]),
            tool_of(4, "web_search", ToolForm::Server, &["{\"query\": \"cool\"}"]),
        ],
        expect![[r#"
            call cool_tool: {"cool": "very radical\nradical", "n": 1.0, "deep": [{"x": "Toast"}]}
            call f: {"a": "unchanged \u0061",  "n": 1e2}
            call shell: echo radical \u0063ool
            call f: {"a": "RADICAL"}
            call web_search: {"query": "radical"}"#]],
    );
}

#[test]
fn arguments_that_are_no_json_are_replaced_as_text_and_in_escaped_strings() {
    check(
        cool(),
        Dialect::OpenAiChat,
        [tool(0, "f", &["{\"cool\": cool, 'cool', \"\\u0063ool\\\" x\", \"coo"]), tool(1, "g", &["l"])],
        expect![[r#"
            call f: {"radical": radical, 'radical', "radical\" x", "coo
            call g: l"#]],
    );
}

#[test]
fn every_kind_of_content_is_reached() {
    check(
        cool(),
        Dialect::OpenAiChat,
        [
            thinking(0, &["think co", "ol"], None),
            block(1, BlockKind::Refusal, [Delta::Text("not c".to_owned()), Delta::Text("ool".to_owned())]),
            block(2, BlockKind::RedactedThinking { data: "cool".to_owned() }, []),
            opaque(3, json!({ "type": "widget", "title": ["cool"] }), [json!({ "more": "beans" })]),
            text(4, ["cool"]),
            vec![Step::Opaque(json!({ "note": "Cool" })).into()],
        ],
        expect![[r#"
            thinking: think radical
            refusal: not radical
            redacted: cool
            opaque {"type":"widget","title":["radical"]} {"more":"toast"}
            text: radical
            step {"note":"Radical"}"#]],
    );
}

#[test]
fn apply_to_narrows_the_reach() {
    check(
        json!({ "replacements": [["cool", "radical"]], "apply_to": ["tool_call"] }),
        Dialect::OpenAiChat,
        [text(0, ["cool"]), thinking(1, &["cool"], None), tool(2, "f", &["{\"a\":\"cool\"}"])],
        expect![[r#"
            text: cool
            thinking: cool
            call f: {"a":"radical"}"#]],
    );
}

#[test]
fn a_thinking_block_of_anthropics_is_held_and_dropped_if_it_is_signed_and_has_a_match() {
    check(
        cool(),
        Dialect::AnthropicMessages,
        [
            thinking(0, &["that is co", "ol"], Some("sig")),
            thinking(1, &["that is fine"], Some("sig")),
            thinking(2, &["that is co", "ol", "!"], None),
            block(3, BlockKind::RedactedThinking { data: "cool".to_owned() }, []),
            block(
                4,
                BlockKind::Thinking { field: String::new(), id: String::new() },
                [
                    Delta::Text("cool".to_owned()),
                    Delta::Opaque(json!({ "type": "odd" })),
                    Delta::Signature("sig".to_owned()),
                ],
            ),
            text(5, ["cool"]),
        ],
        expect![[r#"
            thinking: that is fine [sig]
            thinking: that is radical!
            redacted: cool
            text: radical"#]],
    );
}

#[test]
fn elsewhere_a_signature_does_not_outlive_a_change() {
    check(
        cool(),
        Dialect::OpenAiChat,
        [thinking(0, &["co", "ol"], Some("sig")), thinking(1, &["fine"], Some("sig"))],
        expect![[r#"
            thinking: radical
            thinking: fine [sig]"#]],
    );
}

#[test]
fn what_is_held_back_comes_out_before_a_failure() {
    let mut proxy = policy(cool());
    proxy.respond(&response([])[..1], &[1]);
    proxy.respond(&[start(0, BlockKind::Text), piece(0, "so coo"), start(1, BlockKind::Refusal), piece(1, "b")], &[4]);
    proxy.respond(&[start(2, BlockKind::Text), arguments(2, "be"), failed()], &[1]);
    assert_eq!(read(&proxy.released), ["text: so coo…", "refusal: b…", "text: be…", "failed: overloaded"]);
    assert_eq!(proxy.held(), 0);
}

/// The text as one reads the configuration: leftmost first, and of several at one place the earliest pair.
fn reference(text: &str, pairs: &[(String, String)]) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        match pairs.iter().find(|(from, _)| rest.starts_with(from.as_str())) {
            Some((from, to)) => {
                replaced.push_str(to);
                rest = &rest[from.len()..];
            }
            None => {
                replaced.push(char);
                rest = &rest[char.len_utf8()..];
            }
        }
    }
    replaced
}

fn split<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    for cut in cuts {
        let at = rest.char_indices().map(|(at, _)| at).nth(*cut).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

proptest! {
    #[test]
    fn however_a_text_is_cut_the_client_reads_the_same(
        text_ in "[abcé😀]{0,40}",
        pairs in prop::collection::vec(("[abcé😀]{1,5}", "[abXY]{0,3}"), 1..6),
        cuts in prop::collection::vec(0_usize..25, 0..20),
        batches in prop::collection::vec(1_usize..5, 1..4),
    ) {
        let mut proxy = policy(json!({ "replacements": pairs }));
        proxy.respond(&response([text(0, split(&text_, &cuts))]), &batches);
        prop_assert_eq!(proxy.held(), 0);
        prop_assert_eq!(read(&proxy.released), [format!("text: {}", reference(&text_, &pairs))]);
    }

    #[test]
    fn joined_texts_are_replaced_as_one_however_they_are_cut_into_blocks(
        text_ in "[abcé]{0,30}",
        pairs in prop::collection::vec(("[abcé]{1,5}", "[abXY]{0,3}"), 1..6),
        cuts in prop::collection::vec(0_usize..6, 0..20),
        batches in prop::collection::vec(1_usize..5, 1..4),
    ) {
        let thought = |key| block(key, BlockKind::Thinking { field: String::new(), id: String::new() }, [Delta::Text("z".to_owned())]);
        let blocks = split(&text_, &cuts).into_iter().zip((0..).step_by(2));
        let blocks = blocks.flat_map(|(piece, key)| [text(key, [piece]), thought(key + 1)]);
        let mut proxy = policy(json!({ "replacements": pairs }));
        proxy.respond(&response(blocks), &batches);
        prop_assert_eq!(proxy.held(), 0);
        let lines = read(&proxy.released);
        let texts: String = lines.iter().filter_map(|line| line.strip_prefix("text: ")).collect();
        prop_assert_eq!(texts, reference(&text_, &pairs));
    }

    #[test]
    fn what_is_held_back_is_never_more_than_a_match_could_need(
        text_ in "[abc]{0,40}",
        pairs in prop::collection::vec(("[abc]{1,5}", "[XY]{0,3}"), 1..6),
        cuts in prop::collection::vec(0_usize..6, 0..20),
    ) {
        let longest = pairs.iter().map(|(from, _)| from.len()).max().unwrap_or(0);
        let mut proxy = policy(json!({ "replacements": pairs }));
        proxy.respond(&response([])[..1], &[1]);
        proxy.send(&[start(0, BlockKind::Text)]);
        let mut given = String::new();
        for cut in split(&text_, &cuts) {
            given.push_str(cut);
            proxy.send(&[piece(0, cut)]);
            let shown = read(&proxy.released).concat();
            let shown = shown.trim_start_matches("text: ").trim_end_matches('…');
            let held_back = (0..longest.min(given.len() + 1)).map(|length| given.split_at(given.len() - length));
            let may_begin = |end: &str| end.is_empty() || pairs.iter().any(|(from, _)| from.starts_with(end));
            let is_least = held_back.into_iter().any(|(clear, end)| may_begin(end) && reference(clear, &pairs) == shown);
            prop_assert!(is_least, "{shown} of {given}");
        }
    }

    #[test]
    fn case_is_ignored_and_kept(text_ in "[abAB]{0,30}", cuts in prop::collection::vec(0_usize..6, 0..20)) {
        let mut proxy = policy(json!({ "replacements": [["ab", "xyz"]], "match_capitalization": true }));
        proxy.respond(&response([text(0, split(&text_, &cuts))]), &[2]);
        let pairs = [("ab", "xyz"), ("AB", "XYZ"), ("Ab", "Xyz"), ("aB", "xyz")];
        let pairs = pairs.map(|(from, to)| (from.to_owned(), to.to_owned()));
        prop_assert_eq!(read(&proxy.released), [format!("text: {}", reference(&text_, &pairs))]);
    }

    #[test]
    fn arguments_become_what_their_values_become(
        value in json(),
        pairs in prop::collection::vec(("[ab\"\\\\\né]{1,3}", "[ab\"\\\\]{0,3}"), 1..4),
        escapes in any::<bool>(),
        cuts in prop::collection::vec(0_usize..9, 0..20),
    ) {
        let text = if escapes { value.to_string().replace('é', "\\u00e9") } else { value.to_string() };
        let mut proxy = policy(json!({ "replacements": pairs }));
        proxy.respond(&response([tool(0, "f", &split(&text, &cuts))]), &[3]);
        let line = read(&proxy.released).concat();
        let left: Value = serde_json::from_str(line.trim_start_matches("call f: ")).unwrap();
        prop_assert_eq!(left, replaced(&value, &pairs));
    }
}

fn json() -> impl Strategy<Value = Value> {
    let string = "[ab\"\\\\\né:]{0,6}";
    let leaf = prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), string.prop_map(Value::from)];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(string, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn replaced(value: &Value, pairs: &[(String, String)]) -> Value {
    match value {
        Value::String(text) => reference(text, pairs).into(),
        Value::Array(items) => items.iter().map(|item| replaced(item, pairs)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), replaced(value, pairs))).collect(),
        other => other.clone(),
    }
}
