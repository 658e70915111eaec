//! What the model says, as Anthropic Messages.

use serde_json::{Value, json};

use crate::plan::{Response, Tool};

const SIGNATURE: &str = "c2lnbmVk";

pub fn events(response: &Response) -> Vec<String> {
    let mut events = Events::default();
    let message = message(json!([]), Value::Null, json!({ "input_tokens": 7, "output_tokens": 1 }));
    events.say(json!({ "type": "message_start", "message": message }));
    if !response.thinking.is_empty() {
        let mut deltas: Vec<_> =
            response.thinking.iter().map(|piece| json!({ "type": "thinking_delta", "thinking": piece })).collect();
        deltas.push(json!({ "type": "signature_delta", "signature": SIGNATURE }));
        events.block(json!({ "type": "thinking", "thinking": "", "signature": "" }), deltas);
    }
    if !response.text.is_empty() {
        let deltas = response.text.iter().map(|piece| json!({ "type": "text_delta", "text": piece }));
        events.block(json!({ "type": "text", "text": "" }), deltas.collect());
    }
    for tool in &response.tools {
        let pieces = std::iter::once(String::new()).chain(tool.pieces.iter().cloned());
        let deltas = pieces.map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }));
        events.block(json!({ "type": "tool_use", "id": tool.id, "name": tool.name, "input": {} }), deltas.collect());
    }
    let delta = json!({ "stop_reason": stop(response), "stop_sequence": null });
    events.say(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": 11 } }));
    events.say(json!({ "type": "message_stop" }));
    events.said
}

#[derive(Default)]
struct Events {
    said: Vec<String>,
    blocks: usize,
}

impl Events {
    fn say(&mut self, event: Value) {
        let name = event["type"].as_str().unwrap_or_default();
        self.said.push(format!("event: {name}\ndata: {event}\n\n"));
    }

    fn block(&mut self, start: Value, deltas: Vec<Value>) {
        let index = self.blocks;
        self.blocks += 1;
        self.say(json!({ "type": "content_block_start", "index": index, "content_block": start }));
        for delta in deltas {
            self.say(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        }
        self.say(json!({ "type": "content_block_stop", "index": index }));
    }
}

fn stop(response: &Response) -> &'static str {
    if response.tools.is_empty() { "end_turn" } else { "tool_use" }
}

fn message(content: Value, stop: Value, usage: Value) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "content": content,
        "stop_reason": stop, "stop_sequence": null, "usage": usage,
    })
}

pub fn whole(response: &Response) -> Value {
    let mut content = Vec::new();
    if !response.thinking.is_empty() {
        content.push(json!({ "type": "thinking", "thinking": response.thinking.concat(), "signature": SIGNATURE }));
    }
    if !response.text.is_empty() {
        content.push(json!({ "type": "text", "text": response.text.concat() }));
    }
    let tool = |Tool { id, name, arguments, .. }: &Tool| json!({ "type": "tool_use", "id": id, "name": name, "input": arguments });
    content.extend(response.tools.iter().map(tool));
    message(content.into(), stop(response).into(), json!({ "input_tokens": 7, "output_tokens": 11 }))
}
