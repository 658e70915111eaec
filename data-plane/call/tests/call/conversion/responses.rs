//! Answers from and for OpenAI Responses, event by event.

use luthien_call::call::{Head, Input};
use luthien_proto::{
    event::ToolForm,
    message::Decision,
    request::Dialect::{AnthropicMessages, OpenAiChat, OpenAiResponses},
};
use serde_json::{Value, json};

use super::*;

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// Whether all of `part` is in `whole`, at its place.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|whole| holds(whole, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| holds(whole, part))
        }
        _ => whole == part,
    }
}

fn anthropic_text_and_call() -> String {
    let usage = json!({"input_tokens": 10, "output_tokens": 1});
    event(json!({"type": "message_start", "message": {"id": "msg_9", "model": "c", "usage": usage}}))
        + &text_block(0, &["Hi"])
        + &tool_start(1, "toolu_1", "shell")
        + &tool_delta(1, "{\"c\":")
        + &tool_delta(1, "\"ls\"}")
        + &stop(1)
        + &event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"output_tokens": 20}}))
        + &event(json!({"type": "message_stop"}))
}

#[test]
fn text_and_a_call_of_anthropic_are_items() {
    let mut echo = Extras::NONE;
    echo.insert("tools", json!([{"type": "function", "name": "shell"}]));
    echo.insert("instructions", json!("Be brief."));
    let bridge = Bridge { echo, ..bridge(OpenAiResponses, AnthropicMessages) };
    let rig = stream(bridge, &anthropic_text_and_call());
    let told = events(rig.text());
    assert_eq!(
        types(&told),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let message = json!({"type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Hi", "annotations": []}]});
    let call = json!({"type": "function_call", "call_id": "toolu_1", "name": "shell", "arguments": "{\"c\":\"ls\"}",
        "status": "completed"});
    assert!(holds(&told[7]["item"], &message) && holds(&told[12]["item"], &call), "{}", rig.text());
    let response = &told[13]["response"];
    let expected = json!({"id": "resp_9", "object": "response", "status": "completed", "model": "m",
        "output": [message, call], "instructions": "Be brief.", "tools": [{"type": "function", "name": "shell"}],
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 30}});
    assert!(holds(response, &expected), "{response:#}");
    assert_eq!(told[0]["response"]["instructions"], "Be brief.");
    for required in ["id", "created_at", "model", "object", "output", "parallel_tool_calls", "tool_choice", "tools"] {
        assert!(!told[0]["response"][required].is_null(), "{required}");
    }
}

#[test]
fn reasoning_and_a_call_of_responses_are_thinking_and_a_call_of_anthropic() {
    let mut sequence = 0..;
    let mut frame = |type_: &str, mut fields: Value| {
        fields["type"] = type_.into();
        fields["sequence_number"] = sequence.next().unwrap().into();
        event(fields)
    };
    let reasoning = json!({"id": "rs_1", "type": "reasoning", "summary": []});
    let thought = json!({"type": "summary_text", "text": "think"});
    let call = |arguments: &str, status: &str| json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": arguments, "status": status});
    let part = json!({"item_id": "rs_1", "output_index": 0, "summary_index": 0});
    let with = |mut base: Value, more: Value| {
        base.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        base
    };
    let done = json!({"id": "rs_1", "type": "reasoning", "summary": [thought], "encrypted_content": "ENC"});
    let arguments = json!({"item_id": "fc_1", "output_index": 1});
    let usage = json!({"input_tokens": 50, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 6}, "total_tokens": 59});
    let response = json!({"id": "resp_1", "object": "response", "created_at": 1, "model": "up", "status": "in_progress", "output": []});
    let upstream = frame("response.created", json!({"response": response}))
        + &frame("response.output_item.added", json!({"output_index": 0, "item": reasoning}))
        + &frame(
            "response.reasoning_summary_part.added",
            with(part.clone(), json!({"part": {"type": "summary_text", "text": ""}})),
        )
        + &frame("response.reasoning_summary_text.delta", with(part.clone(), json!({"delta": "think"})))
        + &frame("response.reasoning_summary_text.done", with(part.clone(), json!({"text": "think"})))
        + &frame("response.reasoning_summary_part.done", with(part.clone(), json!({"part": thought})))
        + &frame("response.output_item.done", json!({"output_index": 0, "item": done}))
        + &frame("response.output_item.added", json!({"output_index": 1, "item": call("", "in_progress")}))
        + &frame("response.function_call_arguments.delta", with(arguments.clone(), json!({"delta": "{}"})))
        + &frame("response.function_call_arguments.done", with(arguments.clone(), json!({"arguments": "{}"})))
        + &frame("response.output_item.done", json!({"output_index": 1, "item": call("{}", "completed")}))
        + &frame(
            "response.completed",
            json!({"response": with(response, json!({"status": "completed",
            "output": [done, call("{}", "completed")], "usage": usage}))}),
        );

    let rig = stream(bridge(AnthropicMessages, OpenAiResponses), &upstream);
    let told: Vec<Value> = events(rig.text()).into_iter().map(opened).collect();
    let proof = json!({"envelope": ["openai-responses", "Signature", "ENC", "rs_1"]});
    assert_eq!(told[3]["delta"], json!({"type": "signature_delta", "signature": proof}), "{}", rig.text());
    assert_eq!(
        outline(rig.text()),
        [
            "message_start",
            "content_block_start 0 thinking",
            "content_block_delta 0 ",
            "content_block_delta 0 ",
            "content_block_stop 0",
            "content_block_start 1 tool_use f",
            "content_block_delta 1 {}",
            "content_block_stop 1",
            "message_delta tool_use",
            "message_stop",
        ]
    );
    assert_eq!(
        told[8]["usage"],
        json!({"input_tokens": 10, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0, "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 6}})
    );

    let rig = stream(bridge(OpenAiChat, OpenAiResponses), &upstream);
    let deltas: Vec<Value> = bodies(rig.text()).into_iter().map(opened).collect();
    let details: Vec<&Value> =
        deltas.iter().map(|chunk| &chunk["choices"][0]["delta"]["reasoning_details"][0]).collect();
    assert!(details.iter().any(|detail| detail["signature"] == proof), "{}", rig.text());
    assert!(rig.text().contains(r#""finish_reason":"tool_calls""#));
}

#[test]
fn a_custom_tool_that_chat_calls_as_a_function_is_a_custom_call_of_responses() {
    let function = |arguments: &str| json!({"name": "apply_patch", "arguments": arguments});
    let first = json!({"role": "assistant", "content": null, "tool_calls": [
        {"index": 0, "id": "c1", "type": "function", "function": function("{\"input\":\"*** Be")}]});
    let upstream = chat(&first, None)
        + &chat(&json!({"tool_calls": [{"index": 0, "function": {"arguments": "gin\\n\"}"}}]}), None)
        + &chat(&json!({}), Some("tool_calls"))
        + &chunk(json!({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12}}))
        + DONE;
    let bridge = bridge_of_tool(OpenAiResponses, OpenAiChat, "apply_patch", "apply_patch", ToolForm::Custom);
    let rig = stream(bridge, &upstream);
    let told = events(rig.text());
    assert_eq!(
        types(&told),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.custom_tool_call_input.delta",
            "response.custom_tool_call_input.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let item = json!({"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin\n"});
    assert_eq!([&told[3]["delta"], &told[4]["input"]], ["*** Begin\n", "*** Begin\n"]);
    assert!(holds(&told[5]["item"], &item), "{}", told[5]);
    assert!(told[2]["item"]["id"].as_str().unwrap().starts_with("ctc_"), "{}", told[2]);
    assert_eq!(told[6]["response"]["usage"]["total_tokens"], 12);
}

#[test]
fn a_tool_of_a_namespace_is_called_in_it() {
    let tool = BridgedTool { name: "read".into(), namespace: "fs".into(), form: ToolForm::Function };
    let tools = BTreeMap::from([("fs__read".to_owned(), tool)]);
    let bridge = Bridge { tools, ..bridge(OpenAiResponses, AnthropicMessages) };
    let upstream =
        message_start() + &tool_start(0, "t", "fs__read") + &tool_delta(0, "{}") + &stop(0) + &message_end("tool_use");
    let told = events(stream(bridge, &upstream).text());
    let done = told.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    assert!(holds(&done["item"], &json!({"name": "read", "namespace": "fs"})), "{done}");
}

#[test]
fn unsigned_reasoning_of_chat_is_a_reasoning_item_that_is_known_when_it_comes_back() {
    let upstream =
        chat(&json!({"reasoning_content": "hm"}), None) + &chat(&json!({"content": "x"}), Some("stop")) + DONE;
    let told: Vec<Value> =
        events(stream(bridge(OpenAiResponses, OpenAiChat), &upstream).text()).into_iter().map(opened).collect();
    let done = told.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    let expected = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": {"envelope": ["openai-chat", "Unsigned", "", ""]}});
    assert!(holds(&done["item"], &expected), "{done}");
    let added = types(&told).iter().position(|type_| *type_ == "response.reasoning_summary_part.added");
    let delta = types(&told).iter().position(|type_| *type_ == "response.reasoning_summary_text.delta");
    assert!(added < delta, "a part begins before its text");
}

#[test]
fn overload_within_a_stream_is_a_response_that_failed() {
    let overload =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"});
    let open = event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
    let delta =
        event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "par"}}));
    let upstream = message_start() + &open + &delta + &event(overload.clone());
    let told = events(stream(bridge(OpenAiResponses, AnthropicMessages), &upstream).text());
    assert_eq!(
        types(&told),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.failed",
        ]
    );
    let failed = json!({"id": "resp_1", "status": "failed", "output": [], "usage": {"input_tokens": 3},
        "error": {"code": "server_is_overloaded", "message": "Overloaded"}});
    assert!(holds(&told[5]["response"], &failed), "{}", told[5]);
}

#[test]
fn a_stream_that_fails_before_it_began_begins_all_the_same() {
    let mut rig = Rig::converting(bridge(OpenAiResponses, AnthropicMessages), true, NOTHING);
    rig.head(200, Content::Sse);
    rig.after(TIMES.keepalive_first);
    assert_eq!(rig.text(), ":\n\n");
    rig.input(Input::UpstreamFailed("reset".into()));
    let told = events(rig.text());
    assert_eq!(types(&told), ["response.created", "response.in_progress", "response.failed"]);
    let id = format!("resp_{}", "018f0000-0000-7000-8000-000000000001".replace('-', ""));
    assert!(told.iter().all(|event| event["response"]["id"] == id.as_str()), "{}", rig.text());
}

#[test]
fn an_error_keeps_its_code_between_the_dialects_of_open_ai() {
    let error = json!({"error": {"message": "No.", "type": "invalid_request_error", "param": "input", "code": "odd"}});
    for (client, upstream) in [(OpenAiResponses, OpenAiChat), (OpenAiChat, OpenAiResponses)] {
        let mut rig = Rig::converting(bridge(client, upstream), true, NOTHING);
        rig.head(400, Content::Json);
        rig.data(error.to_string());
        rig.end();
        assert_eq!(rig.heads, [Head::Converted { status: 400, content_type: "application/json" }]);
        assert_eq!(serde_json::from_str::<Value>(rig.text()).unwrap(), error);
    }
}

/// The provider's own call that is open can't be ended, the client's call before it is whole.
#[test]
fn what_was_written_before_an_end_that_cannot_be_written_reaches_the_client() {
    let mut rig = Rig::converting(bridge(OpenAiResponses, AnthropicMessages), true, GATE_ALL);
    rig.head(200, Content::Sse);
    let server = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let open = event(json!({"type": "content_block_start", "index": 2, "content_block": server}));
    rig.data(message_start() + &text_block(0, &["x"]) + &tool_start(1, "t", "f") + &stop(1) + &open);
    rig.working();
    let last = rig.chunks().last().unwrap().seq;
    rig.verdict(last, Decision::Pass);
    rig.verdict(last, Decision::End { events: Vec::new(), reason: None });
    let numbers: Vec<u64> = events(rig.text()).iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "{}", rig.text());
}
