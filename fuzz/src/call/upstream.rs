//! An upstream that mostly speaks its dialect.

mod anthropic;
mod openai;

use luthien_proto::{event::Kind, request::Dialect};
use serde_json::{Value, json};

use crate::input::Input;

pub struct Upstream {
    dialect: Dialect,
    /// Said, and not read yet.
    bytes: Vec<u8>,
    read: usize,
    /// What each mark belongs to.
    marks: Vec<Sort>,
    blocks: Vec<Kind>,
}

/// What a mark belongs to.
#[derive(Clone, Copy)]
pub struct Sort {
    /// The kind of content; `None`: what belongs to no block.
    pub kind: Option<Kind>,
    /// Whether a dialect says it more than once.
    pub is_repeated: bool,
}

impl Upstream {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, bytes: Vec::new(), read: 0, marks: Vec::new(), blocks: Vec::new() }
    }

    pub fn sort_of(&self, mark: u32) -> Sort {
        self.marks[mark as usize]
    }

    /// The next bytes.
    pub fn next(&mut self, len: usize) -> Vec<u8> {
        let until = self.read + len.min(self.bytes.len() - self.read);
        let next = self.bytes[self.read..until].to_vec();
        self.read = until;
        next
    }

    /// Says one thing.
    pub fn say(&mut self, input: &mut Input<'_>) {
        match input.below(12) {
            10 => {
                let len = usize::from(input.below(24));
                // What could be a mark, or become one, is none of the upstream's.
                let raw = input.take(len).iter().map(|byte| if matches!(byte, b'<' | b'\\') { b'.' } else { *byte });
                self.bytes.extend(raw);
            }
            11 => {
                let lines =
                    [": note\n\n", ": note\n", "id: 1\n", "retry: 5\n\n", "\n", "\r\n", "data: {}\n\n", "event: x\n"];
                self.bytes.extend_from_slice(lines[usize::from(input.below(8))].as_bytes());
            }
            what => match self.dialect {
                Dialect::OpenAiChat => self.openai(what, input),
                _ => self.anthropic(what, input),
            },
        }
    }

    /// Says a whole response.
    pub fn response(&mut self, input: &mut Input<'_>) {
        let blocks: Vec<Kind> = (0..1 + input.below(4)).map(|_| kind(input)).collect();
        match self.dialect {
            Dialect::OpenAiChat => self.openai_response(&blocks),
            _ => self.anthropic_response(&blocks),
        }
    }

    /// Says a body that is no stream: a response, or an error.
    pub fn body(&mut self, input: &mut Input<'_>) {
        let is_error = input.below(3) == 2;
        let body = match (self.dialect, is_error) {
            (_, true) => json!({"type": "error", "error": {"type": "api_error", "message": self.mark(None)}}),
            (Dialect::OpenAiChat, false) => self.openai_body(),
            (_, false) => self.anthropic_body(),
        };
        self.bytes.extend_from_slice(body.to_string().as_bytes());
    }

    fn mark(&mut self, kind: Option<Kind>) -> String {
        self.marks.push(Sort { kind, is_repeated: false });
        format!("<{}>", self.marks.len() - 1)
    }

    /// Of what stands in every chunk of some dialects.
    fn envelope_mark(&mut self) -> String {
        self.marks.push(Sort { kind: None, is_repeated: true });
        format!("<{}>", self.marks.len() - 1)
    }

    fn event(&mut self, name: Option<&str>, data: &Value) {
        if let Some(name) = name {
            self.bytes.extend_from_slice(format!("event: {name}\n").as_bytes());
        }
        self.bytes.extend_from_slice(format!("data: {data}\n\n").as_bytes());
    }
}

fn kind(input: &mut Input<'_>) -> Kind {
    [Kind::Text, Kind::ToolCall, Kind::Thinking, Kind::Text, Kind::ToolCall, Kind::Refusal, Kind::Opaque]
        [usize::from(input.below(7))]
}
