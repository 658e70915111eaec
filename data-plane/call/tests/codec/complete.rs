//! The view is complete: whatever an upstream puts anywhere into its JSON is found in the steps, or is refused.

use bytes::Bytes;
use luthien_call::dialect::{ResponseDecoder, decode_whole, encode_whole};
use luthien_proto::{Event, request::Dialect};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};

use crate::stream;

const OPENAI: &str = r#"
{"id":"i","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"t","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"r","reasoning":"r"}},{"index":1,"delta":{"content":"c"}}],"obfuscation":"o"}
{"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a","refusal":"b"},"logprobs":{"content":[]}}]}
{"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":"1"}},{"index":1,"id":"u","type":"custom","custom":{"name":"g","input":"2"}},{"index":2,"id":"v","type":"z"}]}}]}
{"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"3"}}],"function_call":{"name":"h","arguments":"4"}}}]}
{"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"length"}]}
{"id":"i","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":1}}
{"error":{"message":"e","type":"f","param":null,"code":"g"}}
"#;

const OPENAI_WHOLE: &str = r#"{"id":"i","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null,"reasoning":"r","annotations":[],"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"1"}}],"function_call":{"name":"h","arguments":"4"}},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":1}}"#;

const ANTHROPIC: &str = r#"
{"type":"message_start","message":{"id":"i","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1}}}
{"type":"ping"}
{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a","citations":[{"url":"u"}]}}
{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"thinking","thinking":"c","signature":"d"}}
{"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"e"}}
{"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"f"}}
{"type":"content_block_stop","index":1}
{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"n","input":{"x":"y"}}}
{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"z"}}
{"type":"content_block_stop","index":2}
{"type":"content_block_start","index":3,"content_block":{"type":"redacted_thinking","data":"d"}}
{"type":"content_block_stop","index":3}
{"type":"content_block_start","index":4,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[{"url":"u"}]}}
{"type":"content_block_stop","index":4}
{"type":"novelty","x":"y"}
{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":1}}
{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"q","stop_details":{"type":"d"}},"usage":{"output_tokens":2}}
{"type":"error","error":{"type":"e","message":"m"},"request_id":"r"}
"#;

const ANTHROPIC_WHOLE: &str = r#"{"id":"i","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"a","citations":[{"url":"u"}]},{"type":"thinking","thinking":"c","signature":"d"},{"type":"tool_use","id":"t","name":"n","input":{"x":"y"}},{"type":"x","y":"z"}],"stop_reason":"stop_sequence","stop_sequence":"q","usage":{"input_tokens":1}}"#;

const RESPONSES: &str = r#"
{"type":"response.created","sequence_number":0,"response":{"id":"i","object":"response","created_at":1,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[{"type":"function"}],"usage":null}}
{"type":"response.in_progress","sequence_number":1,"response":{"id":"i","object":"response","created_at":1,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[{"type":"function"}],"usage":null}}
{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"r","type":"reasoning","summary":[],"encrypted_content":"z"}}
{"type":"response.reasoning_summary_part.added","sequence_number":3,"item_id":"r","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}
{"type":"response.reasoning_summary_text.delta","sequence_number":4,"item_id":"r","output_index":0,"summary_index":0,"delta":"a"}
{"type":"response.reasoning_summary_text.done","sequence_number":5,"item_id":"r","output_index":0,"summary_index":0,"text":"a"}
{"type":"response.reasoning_summary_part.done","sequence_number":6,"item_id":"r","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"a"}}
{"type":"response.reasoning_summary_part.added","sequence_number":7,"item_id":"r","output_index":0,"summary_index":1,"part":{"type":"summary_text","text":""}}
{"type":"response.reasoning_summary_text.delta","sequence_number":8,"item_id":"r","output_index":0,"summary_index":1,"delta":"b"}
{"type":"response.reasoning_text.delta","sequence_number":8,"item_id":"r","output_index":0,"content_index":0,"delta":"c"}
{"type":"response.output_item.done","sequence_number":9,"output_index":0,"item":{"id":"r","type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"content":[{"type":"reasoning_text","text":"c"}],"encrypted_content":"y"}}
{"type":"response.output_item.added","sequence_number":10,"output_index":1,"item":{"id":"m","type":"message","role":"assistant","status":"in_progress","content":[]}}
{"type":"response.content_part.added","sequence_number":11,"item_id":"m","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}
{"type":"response.output_text.delta","sequence_number":12,"item_id":"m","output_index":1,"content_index":0,"delta":"d","logprobs":[{"t":1}],"obfuscation":"o"}
{"type":"response.output_text.annotation.added","sequence_number":13,"item_id":"m","output_index":1,"content_index":0,"annotation_index":0,"annotation":{"url":"u"}}
{"type":"response.output_text.done","sequence_number":14,"item_id":"m","output_index":1,"content_index":0,"text":"d","logprobs":[{"t":1}]}
{"type":"response.content_part.done","sequence_number":15,"item_id":"m","output_index":1,"content_index":0,"part":{"type":"output_text","text":"d","annotations":[{"url":"u"}],"logprobs":[{"t":1}]}}
{"type":"response.content_part.added","sequence_number":16,"item_id":"m","output_index":1,"content_index":1,"part":{"type":"refusal","refusal":""}}
{"type":"response.refusal.delta","sequence_number":17,"item_id":"m","output_index":1,"content_index":1,"delta":"e"}
{"type":"response.refusal.done","sequence_number":18,"item_id":"m","output_index":1,"content_index":1,"refusal":"e"}
{"type":"response.content_part.done","sequence_number":19,"item_id":"m","output_index":1,"content_index":1,"part":{"type":"refusal","refusal":"e"}}
{"type":"response.output_item.done","sequence_number":20,"output_index":1,"item":{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"d","annotations":[{"url":"u"}],"logprobs":[{"t":1}]},{"type":"refusal","refusal":"e"}]}}
{"type":"response.output_item.added","sequence_number":21,"output_index":2,"item":{"id":"f","type":"function_call","call_id":"g","name":"h","arguments":"","status":"in_progress"}}
{"type":"response.function_call_arguments.delta","sequence_number":22,"item_id":"f","output_index":2,"delta":"{}"}
{"type":"response.function_call_arguments.done","sequence_number":23,"item_id":"f","output_index":2,"arguments":"{}"}
{"type":"response.output_item.done","sequence_number":24,"output_index":2,"item":{"id":"f","type":"function_call","call_id":"g","name":"h","arguments":"{}","status":"completed"}}
{"type":"response.output_item.added","sequence_number":25,"output_index":3,"item":{"id":"w","type":"web_search_call","status":"in_progress"}}
{"type":"response.web_search_call.searching","sequence_number":26,"output_index":3,"item_id":"w"}
{"type":"response.output_item.done","sequence_number":27,"output_index":3,"item":{"id":"w","type":"web_search_call","status":"completed","action":{"query":"q"}}}
{"type":"response.output_item.done","sequence_number":28,"output_index":4,"item":{"id":"c","type":"custom_tool_call","call_id":"k","name":"l","input":"n","status":"completed"}}
{"type":"response.novelty","sequence_number":29,"x":"y"}
{"type":"response.incomplete","sequence_number":30,"response":{"id":"i","object":"response","created_at":1,"status":"incomplete","error":null,"incomplete_details":{"reason":"steered"},"model":"m","output":[{"id":"r","type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"content":[{"type":"reasoning_text","text":"c"}],"encrypted_content":"y"},{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"d","annotations":[{"url":"u"}],"logprobs":[{"t":1}]},{"type":"refusal","refusal":"e"}]},{"id":"f","type":"function_call","call_id":"g","name":"h","arguments":"{}","status":"completed"},{"id":"w","type":"web_search_call","status":"completed","action":{"query":"q"}},{"id":"c","type":"custom_tool_call","call_id":"k","name":"l","input":"n","status":"completed"},{"type":"message","content":[]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[{"type":"function"}],"usage":{"input_tokens":1}}}
"#;

const RESPONSES_WHOLE: &str = r#"{"id":"i","object":"response","created_at":1,"status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"r","type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"content":[{"type":"reasoning_text","text":"c"}],"encrypted_content":"y"},{"id":"m","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"d","annotations":[{"url":"u"}],"logprobs":[]},{"type":"refusal","refusal":"e"}]},{"id":"f","type":"function_call","call_id":"g","name":"h","arguments":"{}","status":"completed"},{"id":"w","type":"web_search_call","status":"completed","action":{"query":"q"}},{"id":"c","type":"custom_tool_call","call_id":"k","name":"l","input":"n","status":"completed"}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":{"input_tokens":1}}"#;

const DIALECTS: [(Dialect, &str, &str); 3] = [
    (Dialect::OpenAiChat, OPENAI, OPENAI_WHOLE),
    (Dialect::AnthropicMessages, ANTHROPIC, ANTHROPIC_WHOLE),
    (Dialect::OpenAiResponses, RESPONSES, RESPONSES_WHOLE),
];

/// One change to a JSON value: where, and what.
#[derive(Clone, Debug)]
struct Mutation {
    line: Index,
    node: Index,
    change: Change,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Replace,
    ReplaceByObject,
    ReplaceByList,
    Add,
    Remove,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let change = prop::sample::select(vec![
        Change::Replace,
        Change::Replace,
        Change::ReplaceByObject,
        Change::ReplaceByList,
        Change::Add,
        Change::Add,
        Change::Remove,
    ]);
    let mutation =
        (any::<Index>(), any::<Index>(), change).prop_map(|(line, node, change)| Mutation { line, node, change });
    vec(mutation, 1..6)
}

/// Applies the mutations; each new string is found nowhere else.
fn mutate(lines: &mut [Value], mutations: &[Mutation]) {
    for (at, mutation) in mutations.iter().enumerate() {
        let mark = format!("<mark {at}>");
        let line = &mut lines[mutation.line.index(lines.len())];
        let mut target = mutation.node.index(count(line));
        if let Some(node) = find(line, &mut target) {
            match (mutation.change, &mut *node) {
                (Change::Replace, node) => *node = json!(mark),
                (Change::ReplaceByObject, node) => *node = json!({"k": mark}),
                (Change::ReplaceByList, node) => *node = json!([mark]),
                (Change::Add, Value::Object(map)) => drop(map.insert(format!("x{at}"), json!(mark))),
                (Change::Add, Value::Array(items)) => items.push(json!({"y": mark})),
                (Change::Remove, Value::Object(map)) => {
                    let key = map.keys().nth(at).cloned();
                    key.map(|key| map.shift_remove(&key));
                }
                (Change::Add | Change::Remove, node) => *node = Value::Null,
            }
        }
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// The node of that number, in the order of the text.
fn find<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| find(item, number)),
        Value::Object(map) => map.values_mut().find_map(|item| find(item, number)),
        _ => None,
    }
}

fn marks(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("<mark") => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| marks(item, out)),
        Value::Object(map) => map.values().for_each(|item| marks(item, out)),
        _ => {}
    }
}

fn assert_visible(value: &Value, events: &[Event]) -> Result<(), TestCaseError> {
    let mut expected = Vec::new();
    marks(value, &mut expected);
    if expected.is_empty() {
        return Ok(());
    }
    let visible = format!("{events:?}");
    for mark in expected {
        prop_assert!(visible.contains(&mark), "{mark} of {value} is not in {events:#?}");
    }
    Ok(())
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn of_streams((dialect, text, _) in prop::sample::select(&DIALECTS[..]), mutations in mutations()) {
        let mut lines = lines(text);
        mutate(&mut lines, &mutations);
        let mut decoder = ResponseDecoder::new(dialect);
        let mut events = Vec::new();
        let mut begun = Vec::new();
        for line in &lines {
            match decoder.event(None, &Bytes::from(line.to_string())) {
                Ok(steps) => events.extend(steps),
                Err(_) => break,
            }
            // What goes on in the next event does not leave without it.
            begun.push(line);
            if !decoder.is_amid() {
                begun.drain(..).try_for_each(|line| assert_visible(line, &events))?;
            }
        }
        // Whatever it is, it can be written, and reads as no more than it was.
        let encoded = stream::encode(dialect, &events);
        let again = stream::decode(dialect, &encoded);
        prop_assert!(again.is_ok(), "{again:?}: {}", String::from_utf8_lossy(&encoded));
    }

    #[test]
    fn of_whole_bodies((dialect, _, text) in prop::sample::select(&DIALECTS[..]), mutations in mutations()) {
        let mut lines = lines(text);
        mutate(&mut lines, &mutations);
        if let Ok(events) = decode_whole(dialect, &Bytes::from(lines[0].to_string())) {
            assert_visible(&lines[0], &events)?;
            prop_assert!(decode_whole(dialect, &encode_whole(dialect, &events)).is_ok());
        }
    }
}
