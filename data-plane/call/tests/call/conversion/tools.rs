//! Tools are called as the client declared them, whatever the upstream knows them as.

use luthien_proto::{
    event::{BlockKind, Delta, Step, ToolForm},
    request::Dialect::{AnthropicMessages, OpenAiChat},
};
use serde_json::{Value, json};

use super::*;

fn anthropic_call(id: &str, name: &str, arguments: &[&str]) -> String {
    let deltas: String = arguments.iter().map(|json| tool_delta(0, json)).collect();
    message_start() + &tool_start(0, id, name) + &deltas + &stop(0) + &message_end("tool_use")
}

/// The entries of `tool_calls` that a Chat client gets.
fn chat_calls(rig: &Rig) -> Vec<Value> {
    let entries = bodies(rig.text()).into_iter().filter_map(|chunk| {
        let calls = &chunk["choices"][0]["delta"]["tool_calls"];
        calls.as_array().cloned()
    });
    entries.flatten().collect()
}

#[test]
fn a_custom_tool_that_is_a_function_to_the_upstream_is_called_by_its_text() {
    for (arguments, text) in [
        (&[r#"{"input":"*** Be"#, r#"gin\n"}"#][..], "*** Begin\n"),
        (&["*** Begin"], "*** Begin"),
        (&[r#""just text""#], "just text"),
        (&[r#"{"other":1}"#], r#"{"other":1}"#),
        (&[r#"{"input":{"a":1}}"#], r#"{"input":{"a":1}}"#),
    ] {
        let bridge = bridge_of_tool(OpenAiChat, AnthropicMessages, "apply_patch", "apply_patch", ToolForm::Custom);
        let rig = stream(bridge, &anthropic_call("c1", "apply_patch", arguments));
        let expected = [
            json!({"index": 0, "id": "c1", "type": "custom", "custom": {"name": "apply_patch", "input": ""}}),
            json!({"index": 0, "custom": {"input": text}}),
        ];
        assert_eq!(chat_calls(&rig), expected, "{arguments:?}");
    }
}

#[test]
fn an_empty_input_of_a_custom_tool_stays_empty() {
    for arguments in [&[][..], &[""], &["{}"], &[r#"{"input":""}"#]] {
        let bridge = bridge_of_tool(OpenAiChat, AnthropicMessages, "p", "p", ToolForm::Custom);
        let rig = stream(bridge, &anthropic_call("c1", "p", arguments));
        let calls = chat_calls(&rig);
        let inputs: String = calls.iter().map(|call| call["custom"]["input"].as_str().unwrap()).collect();
        assert_eq!(inputs, "", "{arguments:?}");
    }
}

#[test]
fn free_text_is_an_object_for_a_client_that_knows_no_other_calls() {
    let call = json!({"index": 0, "id": "c", "type": "custom", "custom": {"name": "p", "input": "a\"b"}});
    let upstream = chat(&json!({"tool_calls": [call]}), Some("tool_calls")) + DONE;
    let rig = stream(bridge(AnthropicMessages, OpenAiChat), &upstream);
    let input: String = events(rig.text()).iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), json!({"input": "a\"b"}));
}

#[test]
fn a_policy_sees_a_call_under_the_clients_name_and_in_its_form() {
    let bridge = bridge_of_tool(OpenAiChat, AnthropicMessages, "fs_read_0a1b2c3d", "fs.read", ToolForm::Custom);
    let mut rig = Rig::converting(bridge, true, GATE_ALL);
    rig.head(200, Content::Sse);
    rig.data(anthropic_call("c1", "fs_read_0a1b2c3d", &[r#"{"input":"#, r#""x"}"#]));
    rig.end();
    rig.pass_all();
    let call = rig.chunks().into_iter().find_map(|chunk| match &chunk.event.step {
        Step::BlockStarted(started) => match &started.kind {
            BlockKind::ToolCall(call) => Some((call.name.clone(), call.form)),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(call, Some(("fs.read".to_owned(), ToolForm::Custom)));
    let deltas = rig.chunks().into_iter().filter_map(|chunk| match &chunk.event.step {
        Step::BlockDelta(delta) => Some(delta.delta.clone()),
        _ => None,
    });
    assert_eq!(deltas.collect::<Vec<_>>(), [Delta::Arguments("x".to_owned())]);
    assert_eq!(chat_calls(&rig)[0]["custom"]["name"], "fs.read");
}

#[test]
fn ids_have_the_shape_that_the_client_takes() {
    let call = |id: &str| {
        let function = json!({"name": "f", "arguments": "{}"});
        json!({"index": 0, "id": id, "type": "function", "function": function})
    };
    let ids = |rig: &Rig| -> Vec<String> {
        let starts = events(rig.text()).into_iter().filter(|event| event["content_block"]["type"] == "tool_use");
        starts.map(|event| event["content_block"]["id"].as_str().unwrap().to_owned()).collect()
    };
    let upstream = chat(&json!({"tool_calls": [call("functions.f:0")]}), None)
        + &chat(&json!({"tool_calls": [call("ok_1")]}), Some("stop"))
        + DONE;
    let first = ids(&stream(bridge(AnthropicMessages, OpenAiChat), &upstream));
    assert!(first[0].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{first:?}");
    assert_eq!((first.len(), first[1].as_str()), (2, "ok_1"));
    assert_eq!(first, ids(&stream(bridge(AnthropicMessages, OpenAiChat), &upstream)), "the same each time");

    let long = "toolu_".to_owned() + &"x".repeat(60);
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &anthropic_call(&long, "f", &["{}"]));
    assert_eq!(chat_calls(&rig)[0]["id"].as_str().unwrap().len(), 40);
}

#[test]
fn what_the_provider_ran_itself_is_no_call_of_a_tool() {
    let block = |index: u32, block: Value| {
        event(json!({"type": "content_block_start", "index": index, "content_block": block})) + &stop(index)
    };
    let upstream = message_start()
        + &block(0, json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}))
        + &block(1, json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}))
        + &text_block(2, &["found"])
        + &message_end("end_turn");
    let rig = stream(bridge(OpenAiChat, AnthropicMessages), &upstream);
    assert_eq!(chat_calls(&rig), Vec::<Value>::new());
    assert!(rig.text().contains("found") && rig.text().contains(r#""finish_reason":"stop""#), "{}", rig.text());
    assert!(!rig.text().contains("web_search"), "{}", rig.text());
}
