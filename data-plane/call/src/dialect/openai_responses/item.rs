//! An item of the output as its steps tell it. A decoder knows by it what the events behind the content only repeat, and
//! an encoder repeats it.

use luthien_proto::{
    event::{BlockKind, Delta, ToolForm},
    json::Extras,
};
use serde_json::{Value, json};

use super::{
    place,
    rest::{add, object, overlay},
};
use crate::dialect::fields::Object;

/// Fields of an item that are told by its block.
const TOLD: [&str; 9] = ["type", "id", "content", "summary", "arguments", "input", "call_id", "name", "namespace"];
/// Items that call the client's own tools with fields of theirs.
const ACTIONS: [&str; 4] = ["local_shell_call", "shell_call", "apply_patch_call", "computer_call"];
/// Those of their fields that are not what they call with.
pub(super) const TOLD_OF_ACTIONS: [&str; 4] = ["type", "id", "call_id", "status"];
/// Those of an item of which nothing is known.
const TOLD_OF_OTHERS: [&str; 2] = ["type", "id"];
/// Those of a part.
const TOLD_OF_PARTS: [&str; 5] = ["type", "text", "refusal", "annotations", "logprobs"];

/// What an item holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sort {
    /// Parts, each a block.
    Message,
    /// The text in this field.
    Call(&'static str),
    /// Fields of the item itself.
    Action,
    /// Parts of one block.
    Reasoning,
    /// Nothing that is known.
    Other,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) sort: Sort,
    /// The item as it begins.
    head: Object,
    /// What its end says anew.
    last: Object,
    pub(super) parts: Vec<Part>,
    /// What a call is called with.
    pub(super) text: String,
    signature: Option<String>,
}

/// A part of a message, or of reasoning.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    head: Object,
    pub(super) text: String,
    pub(super) annotations: Vec<Value>,
    pub(super) logprobs: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PartKind {
    Text,
    Refusal,
    Summary,
    Reasoning,
    /// Of an unknown type.
    Other,
}

impl Item {
    /// The item that a block begins, under that id.
    pub(super) fn new(kind: &BlockKind, extras: &Extras, id: &str) -> Self {
        let is_part = extras.get(place::PART).is_some();
        let (sort, head) = match kind {
            BlockKind::Opaque(value) if !is_part => (Sort::Other, value.clone()),
            BlockKind::Text | BlockKind::Refusal | BlockKind::Opaque(_) => {
                let message =
                    json!({"id": id, "type": "message", "role": "assistant", "status": "in_progress", "content": []});
                (Sort::Message, message)
            }
            BlockKind::Thinking { .. } => (Sort::Reasoning, json!({"id": id, "type": "reasoning", "summary": []})),
            BlockKind::RedactedThinking { data } => {
                let reasoning = json!({"id": id, "type": "reasoning", "summary": [], "encrypted_content": data});
                (Sort::Reasoning, reasoning)
            }
            BlockKind::ToolCall(call) if ACTIONS.contains(&call.type_.as_str()) => {
                let head = json!({"id": id, "type": call.type_, "call_id": call.id, "status": "in_progress"});
                (Sort::Action, head)
            }
            BlockKind::ToolCall(call) => {
                let (type_, field) = match call.form {
                    ToolForm::Custom => ("custom_tool_call", "input"),
                    ToolForm::Function | ToolForm::Legacy | ToolForm::Server => ("function_call", "arguments"),
                };
                let mut head = json!({"id": id, "type": type_, "call_id": call.id, "name": call.name, field: ""});
                if !call.namespace.is_empty() {
                    head["namespace"] = call.namespace.as_str().into();
                }
                if type_ == "function_call" {
                    head["status"] = "in_progress".into();
                }
                (Sort::Call(field), head)
            }
        };
        let mut head = object(head);
        if sort != Sort::Other
            && let Some(Value::Object(rest)) = extras.get(place::ITEM)
        {
            overlay(&mut head, rest, told(sort));
        }
        Self { sort, head, last: Object::new(), parts: Vec::new(), text: String::new(), signature: None }
    }

    /// Begins a part of a message.
    pub(super) fn begin_part(&mut self, kind: &BlockKind, extras: &Extras) {
        let (kind, head) = match kind {
            BlockKind::Refusal => (PartKind::Refusal, Object::new()),
            BlockKind::Opaque(value) => (PartKind::Other, object(value.clone())),
            BlockKind::Text
            | BlockKind::Thinking { .. }
            | BlockKind::RedactedThinking { .. }
            | BlockKind::ToolCall(_) => (PartKind::Text, Object::new()),
        };
        let mut part = Part::new(kind, head);
        if let Some(Value::Object(rest)) = extras.get(place::PART) {
            add(&mut part.head, rest);
        }
        self.parts.push(part);
    }

    /// Takes in a piece of it.
    pub(super) fn add(&mut self, delta: &Delta, extras: &Extras) {
        match (self.sort, delta) {
            (Sort::Message, Delta::Text(text)) => self.say(text, extras),
            (Sort::Reasoning, Delta::Text(text)) => match PartKind::marked(extras) {
                Some(kind) => self.parts.push(Part::new(kind, Object::new())),
                None => {
                    if self.parts.is_empty() {
                        self.parts.push(Part::new(PartKind::Summary, Object::new()));
                    }
                    self.say(text, extras);
                }
            },
            (Sort::Call(_) | Sort::Action, Delta::Arguments(text)) => self.text.push_str(text),
            (Sort::Reasoning, Delta::Signature(text)) => self.signature = Some(text.clone()),
            (_, Delta::Opaque(Value::Object(event))) => self.add_event(event),
            (
                Sort::Message | Sort::Reasoning | Sort::Call(_) | Sort::Action | Sort::Other,
                Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) | Delta::Opaque(_),
            ) => {}
        }
    }

    fn say(&mut self, text: &str, extras: &Extras) {
        let Some(part) = self.parts.last_mut() else { return };
        part.text.push_str(text);
        if let Some(Value::Array(logprobs)) = extras.get("logprobs") {
            part.logprobs.extend(logprobs.iter().cloned());
        }
    }

    fn add_event(&mut self, event: &Object) {
        let field = |key: &str| event.get(key).and_then(Value::as_object);
        match event.get("type").and_then(Value::as_str) {
            Some("response.output_item.done") => {
                if let Some(rest) = field(place::ITEM) {
                    overlay(&mut self.last, rest, told(self.sort));
                }
            }
            Some("response.content_part.done" | "response.reasoning_summary_part.done") => {
                if let (Some(part), Some(rest)) = (self.parts.last_mut(), field(place::PART)) {
                    overlay(&mut part.head, rest, &TOLD_OF_PARTS);
                }
            }
            Some("response.output_text.annotation.added") => {
                if let (Some(part), Some(annotation)) = (self.parts.last_mut(), event.get("annotation")) {
                    part.annotations.push(annotation.clone());
                }
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn id(&self) -> &str {
        self.head.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// The item as it begins.
    pub(super) fn begun(&self) -> &Object {
        &self.head
    }

    /// The item as it is done.
    pub(super) fn done(&self) -> Object {
        let mut item = self.head.clone();
        if item.get("status").is_some_and(|status| status == "in_progress") {
            item.insert("status".to_owned(), "completed".into());
        }
        overlay(&mut item, &self.last, &[]);
        match self.sort {
            Sort::Message => {
                item.insert("content".to_owned(), self.list(|_| true));
            }
            Sort::Call(field) => {
                item.insert(field.to_owned(), self.arguments().into());
            }
            Sort::Reasoning => {
                item.insert("summary".to_owned(), self.list(|kind| kind == PartKind::Summary));
                if self.parts.iter().any(|part| part.kind == PartKind::Reasoning) {
                    item.insert("content".to_owned(), self.list(|kind| kind == PartKind::Reasoning));
                }
                if let Some(signature) = &self.signature {
                    item.insert("encrypted_content".to_owned(), signature.as_str().into());
                }
            }
            Sort::Action => {
                if let Ok(Value::Object(fields)) = serde_json::from_str(&self.text) {
                    item.retain(|key, _| TOLD_OF_ACTIONS.contains(&key.as_str()));
                    overlay(&mut item, &fields, &TOLD_OF_ACTIONS);
                }
            }
            Sort::Other => {}
        }
        item
    }

    /// Arguments that never came are an empty object; an empty text would not be JSON.
    pub(super) fn arguments(&self) -> &str {
        if self.text.is_empty() && self.sort == Sort::Call("arguments") { "{}" } else { &self.text }
    }

    fn list(&self, of: impl Fn(PartKind) -> bool) -> Value {
        self.parts.iter().filter(|part| of(part.kind)).map(|part| Value::Object(part.json())).collect()
    }

    /// The place of the last part among those of its list.
    pub(super) fn part_index(&self) -> usize {
        let Some(last) = self.parts.last() else { return 0 };
        match self.sort {
            Sort::Message => self.parts.len() - 1,
            Sort::Reasoning => self.parts.iter().filter(|part| part.kind == last.kind).count() - 1,
            Sort::Call(_) | Sort::Action | Sort::Other => 0,
        }
    }
}

/// The fields of an item that are told by its block.
pub(super) fn told(sort: Sort) -> &'static [&'static str] {
    match sort {
        Sort::Message | Sort::Call(_) | Sort::Reasoning => &TOLD,
        Sort::Action => &TOLD_OF_ACTIONS[..3],
        Sort::Other => &TOLD_OF_OTHERS,
    }
}

/// Whether an item calls a tool of the client's with fields of its own. Shells may also run at the provider.
pub(super) fn is_action(item: &Object) -> bool {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let environment = item.get("environment").and_then(|environment| environment.get("type")?.as_str());
    ACTIONS.contains(&text("type")) && !text("call_id").is_empty() && matches!(environment, None | Some("local"))
}

impl Part {
    fn new(kind: PartKind, head: Object) -> Self {
        Self { kind, head, text: String::new(), annotations: Vec::new(), logprobs: Vec::new() }
    }

    /// The part as it begins.
    pub(super) fn begun(&self) -> Object {
        self.with("", &[], &[])
    }

    /// The part as far as it is known.
    pub(super) fn json(&self) -> Object {
        self.with(&self.text, &self.annotations, &self.logprobs)
    }

    fn with(&self, text: &str, annotations: &[Value], logprobs: &[Value]) -> Object {
        let mut part = match self.kind {
            PartKind::Text => {
                object(json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}))
            }
            PartKind::Refusal => object(json!({"type": "refusal", "refusal": text})),
            PartKind::Summary => object(json!({"type": "summary_text", "text": text})),
            PartKind::Reasoning => object(json!({"type": "reasoning_text", "text": text})),
            PartKind::Other => Object::new(),
        };
        if !logprobs.is_empty() {
            part.insert("logprobs".to_owned(), logprobs.into());
        }
        add(&mut part, &self.head);
        part
    }
}

impl PartKind {
    pub(super) fn of(type_: &str) -> Self {
        match type_ {
            "output_text" => Self::Text,
            "refusal" => Self::Refusal,
            "summary_text" => Self::Summary,
            "reasoning_text" => Self::Reasoning,
            _ => Self::Other,
        }
    }

    /// The type of the part of reasoning that begins where the extras of a delta have this mark.
    pub(super) fn marked(extras: &Extras) -> Option<Self> {
        match Self::of(extras.get(place::PART)?.as_str()?) {
            kind @ (Self::Summary | Self::Reasoning) => Some(kind),
            Self::Text | Self::Refusal | Self::Other => None,
        }
    }

    pub(super) fn type_(self) -> &'static str {
        match self {
            Self::Text => "output_text",
            Self::Refusal => "refusal",
            Self::Summary => "summary_text",
            Self::Reasoning => "reasoning_text",
            Self::Other => "",
        }
    }

    /// The field of the text.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::Text | Self::Summary | Self::Reasoning | Self::Other => "text",
        }
    }

    /// What the events of its text are called, and those of the part; and the field that numbers it.
    pub(super) fn events(self) -> [&'static str; 3] {
        match self {
            Self::Text => ["output_text", "content_part", "content_index"],
            Self::Refusal => ["refusal", "content_part", "content_index"],
            Self::Summary => ["reasoning_summary_text", "reasoning_summary_part", "summary_index"],
            Self::Reasoning => ["reasoning_text", "content_part", "content_index"],
            Self::Other => ["", "content_part", "content_index"],
        }
    }
}
