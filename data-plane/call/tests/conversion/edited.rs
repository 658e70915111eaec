//! What goes upstream of a request that policies have changed.

use bytes::Bytes;
use luthien_call::{
    conversion::{Edited, Kind, Target, edited, wrap},
    dialect::{UpstreamOptions, decode_request},
    edits,
};
use luthien_proto::{
    json::Extras,
    message::Edit,
    request::{ContentBlock, Dialect, Message},
};
use serde_json::{Value, json};

/// What is sent of a client's request to an upstream of some dialect.
fn sent(client: Dialect, body: &Value, edits: Vec<Edit>, to: Dialect) -> (Value, Edited) {
    let mut request = decode_request(client, Bytes::from(body.to_string())).unwrap().request;
    edits::apply(&mut request, edits).unwrap();
    let options = UpstreamOptions::default();
    let edited = edited(client, &request, &Target { dialect: to, model: "upstream", options: &options }).unwrap();
    (serde_json::from_slice(&edited.body).unwrap(), edited)
}

fn result(id: &str, text: &str) -> Message {
    let content = vec![ContentBlock::Text(text.to_owned()).into()];
    let block = ContentBlock::ToolResult { id: id.to_owned(), is_error: None, content };
    Message { role: "tool".to_owned(), content: vec![block.into()], extras: Extras::NONE }
}

/// The request with one more message, all else being as the client said it.
#[track_caller]
fn check(client: Dialect, mut body: Value, list: &str, at: usize, expected: Value) {
    let position = u32::try_from(at).unwrap();
    let (found, edited) = sent(client, &body, vec![Edit::InsertMessage(position, result("c", "no"))], client);
    body[list].as_array_mut().unwrap().insert(at, expected);
    body["model"] = json!("upstream");
    assert_eq!(found, body);
    assert!(edited.response.is_none() && edited.lost.dropped.is_empty(), "{edited:?}");
}

#[test]
fn what_no_edit_names_stays_as_openai_responses_says_it() {
    let input = json!([
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi", "prompt_cache_breakpoint": {}}]},
        {"type": "novelty", "x": [1]},
        {"type": "function_call_output", "call_id": "d", "output": "2", "id": "o"},
    ]);
    let body = json!({"model": "m", "previous_response_id": "resp_1", "input": input, "instructions": "Do.",
        "store": true, "stream": true, "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"},
        "strict": true, "x_tool": 1}, {"type": "web_search", "filters": {}}], "tool_choice": "auto",
        "reasoning": {"effort": "high", "summary": "detailed"}, "text": {"verbosity": "low", "x": 2},
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "x_top": {"deep": [null]}});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "no"});
    check(Dialect::OpenAiResponses, body, "input", 0, output);
}

#[test]
fn what_no_edit_names_stays_as_anthropic_says_it() {
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "NATIVE"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}}]},
    ]);
    let body = json!({"model": "m", "max_tokens": 9000, "system": [{"type": "text", "text": "s", "x": 1}],
        "messages": messages, "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": true}],
        "thinking": {"type": "adaptive"}, "metadata": {"user_id": "u"}, "context_management": {"edits": []}});
    let content = json!([{"type": "tool_result", "tool_use_id": "c", "content": "no"}]);
    check(Dialect::AnthropicMessages, body, "messages", 2, json!({"role": "user", "content": content}));
}

#[test]
fn what_no_edit_names_stays_as_openai_chat_says_it() {
    let messages = json!([
        {"role": "developer", "content": "Do."},
        {"role": "user", "content": "Hi", "name": "ann"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": "f", "arguments": "{\"x\": 1.0}"}}]},
    ]);
    let body = json!({"model": "m", "messages": messages, "n": 2, "seed": 7, "logit_bias": {"1": -1}, "x_top": null,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "x": 1}}]});
    let expected = json!({"role": "tool", "tool_call_id": "c", "content": "no"});
    check(Dialect::OpenAiChat, body, "messages", 3, expected);
}

#[test]
fn a_block_that_only_looks_like_a_text_stays_what_it_is() {
    let result = json!({"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "x": "1"}]});
    let messages = json!([{"role": "user", "content": "Hi"}, {"role": "user", "content": [result]}]);
    let body = json!({"model": "upstream", "max_tokens": 9, "messages": messages});
    let (found, _) = sent(Dialect::AnthropicMessages, &body, Vec::new(), Dialect::AnthropicMessages);
    assert_eq!(found, body);
}

#[test]
fn what_another_upstream_signed_is_left_out_of_an_edited_request_too() {
    let foreign = wrap(Dialect::Gemini, "g", Kind::Signature, "call:U0lH", "");
    let thinking = json!({"type": "thinking", "thinking": "t", "signature": foreign});
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [thinking, {"type": "text", "text": "a"}]}]});
    let (found, edited) =
        sent(Dialect::AnthropicMessages, &body, vec![Edit::DropMessage(0)], Dialect::AnthropicMessages);
    assert_eq!(found["messages"], json!([{"role": "assistant", "content": "a"}]));
    assert_eq!(edited.lost.omitted, ["thinking"]);
}

#[test]
fn an_edited_request_is_converted_again() {
    let body = json!({"model": "m", "max_tokens": 9, "system": "s", "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
    let edits = vec![Edit::System(vec![ContentBlock::Text("t".to_owned()).into()]), Edit::Tools(Vec::new())];
    let (found, edited) = sent(Dialect::AnthropicMessages, &body, edits, Dialect::OpenAiChat);
    assert_eq!(found["model"], "upstream");
    assert_eq!(found["messages"], json!([{"role": "system", "content": "t"}, {"role": "user", "content": "Hi"}]));
    assert_eq!(found.get("tools"), None);
    assert!(edited.response.is_some());
}

#[test]
fn an_edit_that_makes_a_request_unconvertible_is_told() {
    let body = json!({"model": "m", "input": "Hi"});
    let mut request = decode_request(Dialect::OpenAiResponses, Bytes::from(body.to_string())).unwrap().request;
    edits::apply(&mut request, vec![Edit::Field("conversation".to_owned(), Some(json!("conv_1")))]).unwrap();
    let options = UpstreamOptions::default();
    let to = Target { dialect: Dialect::OpenAiChat, model: "upstream", options: &options };
    assert_eq!(edited(Dialect::OpenAiResponses, &request, &to).unwrap_err().path, "conversation");
}
