//! Anthropic Messages.

use luthien_proto::event::Kind;
use serde_json::{Value, json};

use super::Upstream;
use crate::input::Input;

impl Upstream {
    pub(super) fn anthropic(&mut self, what: u8, input: &mut Input<'_>) {
        let index = usize::from(input.below(4));
        match what {
            0 => self.message_start(),
            1 | 2 => {
                let kind = super::kind(input);
                self.block_start(kind);
            }
            3..=5 => self.block_delta(index, input.below(16) == 15),
            6 => self.typed(&json!({"type": "content_block_stop", "index": index})),
            7 => self.message_delta(["end_turn", "tool_use", "max_tokens", "odd"][index]),
            8 => self.typed(&json!({"type": "message_stop"})),
            _ => {
                let mark = self.mark(None);
                match index {
                    0 => self.typed(&json!({"type": "ping"})),
                    1 => self.typed(&json!({"type": "ping", "odd": mark})),
                    2 => self.typed(&json!({"type": "odd", "odd": mark})),
                    _ => self.typed(&json!({"type": "error", "error": {"type": "overloaded_error", "message": mark}})),
                }
            }
        }
    }

    pub(super) fn anthropic_response(&mut self, blocks: &[Kind]) {
        self.message_start();
        for kind in blocks {
            self.block_start(*kind);
            let index = self.blocks.len() - 1;
            self.block_delta(index, false);
            self.block_delta(index, false);
            self.typed(&json!({"type": "content_block_stop", "index": index}));
        }
        self.message_delta(if blocks.contains(&Kind::ToolCall) { "tool_use" } else { "end_turn" });
        self.typed(&json!({"type": "message_stop"}));
    }

    pub(super) fn anthropic_body(&mut self) -> Value {
        json!({
            "id": self.mark(None), "type": "message", "role": "assistant", "model": "m",
            "content": [
                {"type": "text", "text": self.mark(Some(Kind::Text))},
                {"type": "tool_use", "id": "t", "name": "n", "input": {"a": self.mark(Some(Kind::ToolCall))}},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 1, "output_tokens": 2, "odd": self.mark(None)},
        })
    }

    fn message_start(&mut self) {
        let message = json!({
            "id": self.mark(None), "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 1},
        });
        self.blocks.clear();
        self.typed(&json!({"type": "message_start", "message": message}));
    }

    fn block_start(&mut self, kind: Kind) {
        // There is no block of refusals.
        let kind = if kind == Kind::Refusal { Kind::Opaque } else { kind };
        let mark = self.mark(Some(kind));
        let block = match kind {
            Kind::Text => json!({"type": "text", "text": "", "odd": mark}),
            Kind::Thinking => json!({"type": "thinking", "thinking": "", "signature": "", "odd": mark}),
            Kind::ToolCall => json!({"type": "tool_use", "id": mark, "name": "n", "input": {}}),
            Kind::Refusal | Kind::Opaque => json!({"type": "odd", "odd": mark}),
        };
        let index = self.blocks.len();
        self.blocks.push(kind);
        self.typed(&json!({"type": "content_block_start", "index": index, "content_block": block}));
    }

    fn block_delta(&mut self, index: usize, opaque: bool) {
        let known = self.blocks.get(index).copied();
        let delta = match known {
            Some(Kind::Text) if !opaque => json!({"type": "text_delta", "text": self.mark(known)}),
            Some(Kind::Thinking) if !opaque => json!({"type": "thinking_delta", "thinking": self.mark(known)}),
            Some(Kind::ToolCall) if !opaque => json!({"type": "input_json_delta", "partial_json": self.mark(known)}),
            _ => json!({"type": "odd_delta", "odd": self.mark(Some(Kind::Opaque))}),
        };
        self.typed(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }

    fn message_delta(&mut self, reason: &str) {
        let usage = json!({"output_tokens": 9, "odd": self.mark(None)});
        let delta = json!({"stop_reason": reason, "stop_sequence": null});
        self.typed(&json!({"type": "message_delta", "delta": delta, "usage": usage}));
    }

    fn typed(&mut self, data: &Value) {
        let name = data["type"].as_str().map(str::to_owned);
        self.event(name.as_deref(), data);
    }
}
