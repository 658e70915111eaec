//! OpenAI Chat Completions.

use luthien_proto::event::Kind;
use serde_json::{Value, json};

use super::Upstream;
use crate::input::Input;

impl Upstream {
    pub(super) fn openai(&mut self, what: u8, input: &mut Input<'_>) {
        let choice = u32::from(input.below(6) / 5);
        match what {
            0 => self.role(choice),
            1..=5 => {
                let kind = super::kind(input);
                let call = u32::from(input.below(3));
                self.piece(choice, kind, call, input.flag());
            }
            6 => self.chunk(
                choice,
                &json!({}),
                ["stop", "tool_calls", "length", "odd"][usize::from(input.below(4))].into(),
            ),
            7 => self.usage(),
            8 => self.bytes.extend_from_slice(b"data: [DONE]\n\n"),
            _ => {
                let mark = self.mark(None);
                let odd = match input.flag() {
                    true => json!({"error": {"message": mark, "type": "server_error"}}),
                    false => {
                        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "odd": mark})
                    }
                };
                self.event(None, &odd);
            }
        }
    }

    pub(super) fn openai_response(&mut self, blocks: &[Kind]) {
        self.role(0);
        let mut calls = 0;
        for kind in blocks {
            self.piece(0, *kind, calls, true);
            self.piece(0, *kind, calls, false);
            calls += u32::from(*kind == Kind::ToolCall);
        }
        self.chunk(0, &json!({}), if calls > 0 { "tool_calls" } else { "stop" }.into());
        self.usage();
        self.bytes.extend_from_slice(b"data: [DONE]\n\n");
    }

    pub(super) fn openai_body(&mut self) -> Value {
        let function = json!({"name": "n", "arguments": self.mark(Some(Kind::ToolCall))});
        let call = json!({"id": "t", "type": "function", "function": function});
        let text = self.mark(Some(Kind::Text));
        let message = json!({"role": "assistant", "content": text, "refusal": null, "tool_calls": [call]});
        json!({
            "id": self.mark(None), "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "odd": self.mark(None)},
        })
    }

    fn role(&mut self, choice: u32) {
        let system = self.envelope_mark();
        let delta = json!({"role": "assistant", "content": ""});
        self.event(
            None,
            &json!({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": system,
                "choices": [{"index": choice, "delta": delta, "finish_reason": null}],
            }),
        );
    }

    fn piece(&mut self, choice: u32, kind: Kind, call: u32, begins: bool) {
        let kind = if kind == Kind::Opaque { Kind::Text } else { kind };
        let mark = self.mark(Some(kind));
        let delta = match kind {
            Kind::Text | Kind::Opaque => json!({"content": mark}),
            Kind::Thinking => json!({"reasoning_content": mark}),
            Kind::Refusal => json!({"refusal": mark}),
            Kind::ToolCall if begins => {
                let function = json!({"name": "n", "arguments": ""});
                json!({"tool_calls": [{"index": call, "id": mark, "type": "function", "function": function}]})
            }
            Kind::ToolCall => json!({"tool_calls": [{"index": call, "function": {"arguments": mark}}]}),
        };
        self.chunk(choice, &delta, Value::Null);
    }

    fn usage(&mut self) {
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "odd": self.mark(None)});
        self.event(
            None,
            &json!({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage,
            }),
        );
    }

    fn chunk(&mut self, choice: u32, delta: &Value, finish_reason: Value) {
        self.event(
            None,
            &json!({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": choice, "delta": delta, "finish_reason": finish_reason}],
            }),
        );
    }
}
