//! Requests, read and written anew for an upstream of the same dialect: they ask for the same.

use bytes::Bytes;
use luthien_call::dialect::{Lost, UpstreamOptions, decode_request, encode_request};
use luthien_proto::request::Dialect;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::generate_request;

const CLAUDE_CODE: &str = include_str!("request_bodies/claude_code.json");
const CHAT: &str = include_str!("request_bodies/chat.json");
const CHAT_COMPATIBLE: &str = include_str!("request_bodies/chat_compatible.json");

/// A full body of each kind, with what is known of the upstream that takes it.
pub(crate) fn fixtures() -> [(Dialect, &'static str, UpstreamOptions); 3] {
    let own = UpstreamOptions { reasoning_echo: true, ..UpstreamOptions::default() };
    let compatible = UpstreamOptions { compatible: true, ..own.clone() };
    [
        (Dialect::AnthropicMessages, CLAUDE_CODE, own.clone()),
        (Dialect::OpenAiChat, CHAT, own),
        (Dialect::OpenAiChat, CHAT_COMPATIBLE, compatible),
    ]
}

/// `None`: it can't be read.
fn again(dialect: Dialect, body: &Value, options: &UpstreamOptions) -> Option<(Value, Lost)> {
    let request = decode_request(dialect, Bytes::from(body.to_string())).ok()?.request;
    let mut lost = Lost::default();
    let written = encode_request(dialect, &request, options, &mut lost);
    Some((serde_json::from_slice(&written).unwrap(), lost))
}

#[test]
fn a_full_body_is_the_same_when_it_is_written_anew() {
    for (dialect, body, options) in fixtures() {
        let body: Value = serde_json::from_str(body).unwrap();
        let (written, lost) = again(dialect, &body, &options).unwrap();
        assert_eq!(lost, Lost::default());
        for (key, value) in body.as_object().unwrap() {
            assert_eq!(written.get(key), Some(value), "{key}");
        }
        assert_eq!(written, body);
    }
}

/// What is known of a request must not depend on how it is put: what a field of a strange type says stays as it is.
#[test]
fn a_field_of_a_strange_type_stays_as_it_is() {
    let strange = [json!(7), json!("strange"), json!({"strange": [1]})];
    for (dialect, body, options) in fixtures() {
        let body: Value = serde_json::from_str(body).unwrap();
        let mut paths = Vec::new();
        collect_paths(&body, &mut String::new(), &mut paths);
        for path in paths.iter().filter(|path| !matches!(path.as_str(), "/model" | "/messages")) {
            for strange in &strange {
                let mut changed = body.clone();
                *changed.pointer_mut(path).unwrap() = strange.clone();
                let Some((written, _)) = again(dialect, &changed, &options) else { continue };
                let found = written.pointer(path);
                let expected = put_otherwise(path, strange);
                assert_eq!(found, expected.as_ref(), "{path}");
            }
        }
    }
}

/// What says the same in other words.
fn put_otherwise(path: &str, strange: &Value) -> Option<Value> {
    let is_text = strange.is_string();
    match path {
        "/system" if is_text => Some(json!([{"type": "text", "text": strange}])),
        "/stop" if is_text => Some(json!([strange])),
        _ if path.ends_with("/image_url") && is_text => Some(json!({"url": strange})),
        _ if path.ends_with("/arguments") && strange.is_object() => Some(strange.to_string().into()),
        _ if path.ends_with("/input_schema") || path.ends_with("/parameters") => {
            let mut schema = strange.clone();
            if let Value::Object(schema) = &mut schema {
                schema.insert("type".to_owned(), "object".into());
            }
            Some(schema)
        }
        // Whether a tool is custom is known by its declaration.
        _ if path.ends_with("/custom/name") && path.starts_with("/tool_choice") && is_text => None,
        _ => Some(strange.clone()),
    }
}

fn collect_paths(value: &Value, path: &mut String, out: &mut Vec<String>) {
    let mut visit = |key: &str, value: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(key);
        out.push(path.clone());
        collect_paths(value, path, out);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| visit(key, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| visit(&at.to_string(), value)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_that_is_written_and_read_is_the_same(
        (dialect, request) in prop_oneof![Just(Dialect::OpenAiChat), Just(Dialect::AnthropicMessages)]
            .prop_flat_map(|dialect| (Just(dialect), generate_request::request(dialect))),
    ) {
        // What only OpenAI knows, and what only others know, can't be asked for at once.
        let mut request = request;
        if dialect == Dialect::OpenAiChat {
            request.sampling.top_k = None;
        }
        let options = UpstreamOptions { reasoning_echo: true, ..UpstreamOptions::default() };
        let mut lost = Lost::default();
        let body = encode_request(dialect, &request, &options, &mut lost);
        let read = decode_request(dialect, body.clone()).unwrap().request;
        prop_assert_eq!(&read, &request, "{}", String::from_utf8_lossy(&body));
        prop_assert_eq!(lost, Lost::default());
    }
}
