//! What a response repeats of its request.

use luthien_proto::{Request, json::Extras, request::ContentBlock};
use serde_json::{Value, json};

use super::encode::settings;
use crate::dialect::fields::Object;

/// The fields of a Response object that tell what was asked for, of a request that came in this dialect, where an
/// upstream of another doesn't say it.
pub(in crate::dialect) fn echo(request: &Request) -> Extras {
    let mut asked = Object::new();
    settings(request, &mut asked);
    for content in &request.system {
        if let ContentBlock::Text(text) = &content.block {
            asked.insert("instructions".to_owned(), Value::from(text.as_str()));
        }
    }
    let mut echo = Object::new();
    for (key, default) in defaults() {
        let value = asked.shift_remove(key).filter(|value| !value.is_null()).unwrap_or(default);
        echo.insert(key.to_owned(), value);
    }
    for (key, inner, default) in [
        ("text", "format", json!({"type": "text"})),
        ("reasoning", "effort", Value::Null),
        ("reasoning", "summary", Value::Null),
    ] {
        if let Some(Value::Object(fields)) = echo.get_mut(key) {
            fields.entry(inner).or_insert(default);
        }
    }
    for key in ["user", "safety_identifier", "prompt_cache_key", "service_tier", "top_logprobs"] {
        echo.extend(asked.shift_remove(key).map(|value| (key.to_owned(), value)));
    }
    echo.into()
}

/// What always stands in a response, and what stands there where nothing was asked.
fn defaults() -> [(&'static str, Value); 15] {
    [
        ("background", json!(false)),
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("max_tool_calls", Value::Null),
        ("parallel_tool_calls", json!(true)),
        ("previous_response_id", Value::Null),
        ("reasoning", json!({})),
        // Nobody keeps an answer that is put together on the way.
        ("store", json!(false)),
        ("temperature", Value::Null),
        ("text", json!({})),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_p", Value::Null),
        ("truncation", json!("disabled")),
        ("metadata", json!({})),
    ]
}
