//! What an agent sends again of what it was answered.

use serde_json::Value;

/// What a response said, as far as clients send that back.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    text: String,
    calls: Vec<Called>,
}

#[derive(Debug, PartialEq)]
struct Called {
    name: String,
    arguments: Arguments,
}

/// Clients write arguments in their own way.
#[derive(Debug, PartialEq)]
enum Arguments {
    Json(Value),
    Text(String),
}

impl Said {
    /// By the blocks of a response as the client got them, in order.
    pub(super) fn in_response<'b>(blocks: impl Iterator<Item = (&'b str, &'b Value)>) -> Self {
        let mut said = Self::default();
        for (kind, content) in blocks {
            match kind {
                "text" | "refusal" => said.text.push_str(content["text"].as_str().unwrap_or_default()),
                "tool_call" => said.calls.push(Called::new(content)),
                _ => {}
            }
        }
        said
    }

    /// Whether a message of a request only says this again. Thoughts don't count: clients may leave them out.
    pub(super) fn is_repeated_by(&self, message: &Value) -> bool {
        *self != Self::default() && message["role"] == "assistant" && Self::in_message(message).as_ref() == Some(self)
    }

    /// `None`: there is something in it that no response says.
    fn in_message(message: &Value) -> Option<Self> {
        let mut said = Self::default();
        for part in message["content"].as_array()? {
            match part.as_object()?.keys().next()?.as_str() {
                "text" => said.text.push_str(part["text"].as_str()?),
                "refusal" => said.text.push_str(part["refusal"].as_str()?),
                "tool_call" => said.calls.push(Called::new(&part["tool_call"])),
                "thinking" | "redacted_thinking" => {}
                _ => return None,
            }
        }
        Some(said)
    }
}

impl Called {
    fn new(call: &Value) -> Self {
        let text = |field: &str| call[field].as_str().unwrap_or_default();
        let arguments = match serde_json::from_str(text("arguments")) {
            Ok(json) => Arguments::Json(json),
            Err(_) => Arguments::Text(text("arguments").to_owned()),
        };
        Self { name: text("name").to_owned(), arguments }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_repeats_a_response_if_it_says_the_same() {
        let blocks = [
            ("thinking", json!({ "text": "hm" })),
            ("text", json!({ "text": "I " })),
            ("text", json!({ "text": "look" })),
            ("tool_call", json!({ "id": "c1", "name": "ls", "arguments": "{\"path\": \"/\"}" })),
        ];
        let said = Said::in_response(blocks.iter().map(|(kind, content)| (*kind, content)));
        let call = |arguments| json!({ "tool_call": { "id": "c1", "name": "ls", "arguments": arguments } });
        let message = |role, content: &[Value]| json!({ "role": role, "content": content });
        let text = json!({ "text": "I look" });
        for (message, repeats) in [
            (message("assistant", &[text.clone(), call("{\"path\":\"/\"}")]), true),
            (message("assistant", &[json!({ "thinking": "hm" }), text.clone(), call("{\"path\":\"/\"}")]), true),
            (message("assistant", &[text.clone(), call("{\"path\":\"/etc\"}")]), false),
            (message("assistant", std::slice::from_ref(&text)), false),
            (message("user", &[text.clone(), call("{\"path\":\"/\"}")]), false),
            (message("assistant", &[text, call("{\"path\":\"/\"}"), json!({ "opaque": 1 })]), false),
        ] {
            assert_eq!(said.is_repeated_by(&message), repeats, "{message}");
        }
        assert!(!Said::default().is_repeated_by(&json!({ "role": "assistant", "content": [] })));
    }
}
