//! What the model says, as OpenAI Chat Completions.

use serde_json::{Value, json};

use crate::plan::Response;

pub fn events(response: &Response) -> Vec<String> {
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    events.extend(response.thinking.iter().map(|piece| delta(json!({ "reasoning_content": piece }), Value::Null)));
    events.extend(response.text.iter().map(|piece| delta(json!({ "content": piece }), Value::Null)));
    events.extend(tools(response));
    events.push(delta(json!({}), finish(response).into()));
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18 });
    events.push(data(&chunk(json!([]), Some(usage))));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn tools(response: &Response) -> Vec<String> {
    let of_tool = |(index, tool): (usize, &crate::plan::Tool)| {
        let function = json!({ "name": tool.name, "arguments": "" });
        let head = json!({ "index": index, "id": tool.id, "type": "function", "function": function });
        let piece = |piece: &String| json!({ "index": index, "function": { "arguments": piece } });
        std::iter::once(head).chain(tool.pieces.iter().map(piece)).collect::<Vec<_>>()
    };
    let mut calls: Vec<_> = response.tools.iter().enumerate().map(of_tool).map(Vec::into_iter).collect();
    let mut events = Vec::new();
    if response.interleaved {
        while calls.iter().any(|call| call.len() > 0) {
            events.extend(calls.iter_mut().filter_map(Iterator::next));
        }
    } else {
        events.extend(calls.into_iter().flatten());
    }
    events.into_iter().map(|call| delta(json!({ "tool_calls": [call] }), Value::Null)).collect()
}

fn delta(delta: Value, finish: Value) -> String {
    data(&chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]), None))
}

fn chunk(choices: Value, usage: Option<Value>) -> Value {
    let mut chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-1",
        "choices": choices,
    });
    if let Some(usage) = usage {
        chunk["usage"] = usage;
    }
    chunk
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn finish(response: &Response) -> &'static str {
    if response.tools.is_empty() { "stop" } else { "tool_calls" }
}

pub fn whole(response: &Response) -> Value {
    let text = response.text.concat();
    let mut message =
        json!({ "role": "assistant", "content": if text.is_empty() { Value::Null } else { text.into() } });
    if !response.thinking.is_empty() {
        message["reasoning_content"] = response.thinking.concat().into();
    }
    if !response.tools.is_empty() {
        let call = |tool: &crate::plan::Tool| {
            let function = json!({ "name": tool.name, "arguments": tool.arguments.to_string() });
            json!({ "id": tool.id, "type": "function", "function": function })
        };
        message["tool_calls"] = response.tools.iter().map(call).collect();
    }
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "m-1",
        "choices": [{ "index": 0, "message": message, "finish_reason": finish(response) }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18 },
    })
}
