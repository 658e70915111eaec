//! One candidate of a stream, or of a whole body: its parts are steps. Texts and thoughts are blocks as long as they are
//! not interrupted; everything else is whole as it comes.

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolCall, ToolForm},
};
use serde_json::Value;

use super::{
    calls::Counter,
    place,
    signature::{Place, placed},
    spelling::camel,
    words::{self, Finish},
};
use crate::dialect::{
    DecodeError,
    fields::{Object, drop_if, take_array, take_bool, take_object, take_string, take_value},
};

#[derive(Debug)]
pub(super) struct Candidate {
    index: u32,
    open: Option<(BlockKey, Prose)>,
    called: bool,
    reason: Option<String>,
}

/// What runs on until something else comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Prose {
    Text,
    Thinking,
}

/// Where the steps of a part go.
pub(super) struct Out<'a> {
    pub(super) counter: &'a mut Counter,
    pub(super) events: &'a mut Vec<Event>,
}

impl Out<'_> {
    fn push(&mut self, step: Step, rest: Object) {
        let mut event = Event::from(step);
        if !rest.is_empty() {
            event.extras.insert(place::PART, Value::Object(rest));
        }
        self.events.push(event);
    }
}

impl Candidate {
    pub(super) fn new(index: u32) -> Self {
        Self { index, open: None, called: false, reason: None }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.reason.is_some()
    }

    /// Takes what is known out of an entry of `candidates`: its parts, and why it is finished.
    pub(super) fn take(&mut self, entry: &mut Object, out: &mut Out<'_>) -> Result<(), DecodeError> {
        if let Some(mut content) = take_object(entry, "content") {
            camel(&mut content);
            drop_if(&mut content, "role", |role| role == "model" || role.is_null());
            for part in take_array(&mut content, "parts").into_iter().flatten() {
                let Value::Object(part) = part else { return Err(self.error("a part is no object")) };
                self.part(part, out)?;
            }
            if content.contains_key("parts") {
                return Err(self.error("its parts are no list"));
            }
            if !content.is_empty() {
                entry.insert("content".to_owned(), Value::Object(content));
            }
        }
        if let Some(word) = take_string(entry, "finishReason").filter(|word| !words::is_unspecified(word)) {
            self.reason = Some(word);
        }
        Ok(())
    }

    /// Stops what is open, and says why no more comes.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) -> Finish {
        self.stop(out);
        let word = self.reason.get_or_insert_default();
        words::finish(self.index, word, self.called, None)
    }

    /// Whether the last word is one of failure.
    pub(super) fn failure(&self) -> Option<&str> {
        self.reason.as_deref().filter(|word| words::is_failure(word))
    }

    fn part(&mut self, mut part: Object, out: &mut Out<'_>) -> Result<(), DecodeError> {
        camel(&mut part);
        if part.get("functionCall").is_some_and(Value::is_object) {
            return self.call(part, out);
        }
        let is_prose = match part.get("text").and_then(Value::as_str) {
            Some(text) => !text.is_empty() || part.iter().all(is_of_prose),
            None => false,
        };
        if is_prose {
            self.say(part, out);
        } else if !part.is_empty() {
            self.opaque(part, out);
        }
        Ok(())
    }

    fn say(&mut self, mut part: Object, out: &mut Out<'_>) {
        let thought = take_bool(&mut part, "thought").unwrap_or(false);
        let text = take_string(&mut part, "text").unwrap_or_default();
        let signature = take_string(&mut part, "thoughtSignature").filter(|signature| !signature.is_empty());
        let prose = if thought { Prose::Thinking } else { Prose::Text };
        if !text.is_empty() {
            let block = self.open(prose, out);
            out.push(delta(block, Delta::Text(text)), part);
        }
        match signature {
            Some(signature) if thought => self.sign(Place::Thought, &signature, out),
            Some(signature) => {
                self.stop(out);
                self.sign(Place::Text, &signature, out);
            }
            None => {}
        }
    }

    fn call(&mut self, mut part: Object, out: &mut Out<'_>) -> Result<(), DecodeError> {
        let mut inner = take_object(&mut part, "functionCall").unwrap_or_default();
        let name = take_string(&mut inner, "name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.error("a function call without a name"))?;
        let id = take_string(&mut inner, "id").filter(|id| !id.is_empty());
        let arguments = match take_value(&mut inner, "args") {
            Some(Value::Object(args)) if args.is_empty() => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(Value::String(text)) => Some(text),
            Some(args) => Some(args.to_string()),
            None => None,
        };
        match take_string(&mut part, "thoughtSignature").filter(|signature| !signature.is_empty()) {
            Some(signature) => {
                self.stop_text(out);
                self.sign(Place::Call, &signature, out);
            }
            None => self.stop(out),
        }
        if !inner.is_empty() {
            part.insert("functionCall".to_owned(), Value::Object(inner));
        }
        self.called = true;
        let id = id.unwrap_or_else(|| out.counter.call());
        let (namespace, type_) = (String::new(), String::new());
        let call = ToolCall { id, name, namespace, form: ToolForm::Function, type_ };
        let block = self.start(BlockKind::ToolCall(call), part, out);
        if let Some(arguments) = arguments {
            out.push(delta(block, Delta::Arguments(arguments)), Object::new());
        }
        out.push(Step::BlockStopped(block), Object::new());
        Ok(())
    }

    fn opaque(&mut self, part: Object, out: &mut Out<'_>) {
        self.stop(out);
        let block = self.start(BlockKind::Opaque(Value::Object(part)), Object::new(), out);
        out.push(Step::BlockStopped(block), Object::new());
    }

    /// Signs the thinking that is open, or else none; that is whole then.
    fn sign(&mut self, place: Place, signature: &str, out: &mut Out<'_>) {
        let block = self.open(Prose::Thinking, out);
        out.push(delta(block, Delta::Signature(placed(place, signature))), Object::new());
        self.stop(out);
    }

    /// The block of that sort that is open; if there is none, it begins.
    fn open(&mut self, prose: Prose, out: &mut Out<'_>) -> BlockKey {
        match self.open {
            Some((block, open)) if open == prose => block,
            Some(_) | None => {
                self.stop(out);
                let kind = match prose {
                    Prose::Text => BlockKind::Text,
                    Prose::Thinking => BlockKind::Thinking { field: String::new(), id: String::new() },
                };
                let block = self.start(kind, Object::new(), out);
                self.open = Some((block, prose));
                block
            }
        }
    }

    fn start(&mut self, kind: BlockKind, rest: Object, out: &mut Out<'_>) -> BlockKey {
        let block = out.counter.block();
        out.push(Step::BlockStarted(BlockStarted { block, choice: self.index, kind }), rest);
        block
    }

    fn stop(&mut self, out: &mut Out<'_>) {
        if let Some((block, _)) = self.open.take() {
            out.push(Step::BlockStopped(block), Object::new());
        }
    }

    fn stop_text(&mut self, out: &mut Out<'_>) {
        if matches!(self.open, Some((_, Prose::Text))) {
            self.stop(out);
        }
    }

    fn error(&self, reason: &str) -> DecodeError {
        DecodeError::new(format!("candidates[{}]", self.index), reason)
    }
}

/// Whether a part with this field may be nothing but text.
fn is_of_prose((key, value): (&String, &Value)) -> bool {
    match key.as_str() {
        "text" => true,
        "thought" => value.is_boolean() || value.is_null(),
        "thoughtSignature" => value.is_string() || value.is_null(),
        _ => false,
    }
}

fn delta(block: BlockKey, delta: Delta) -> Step {
    Step::BlockDelta(BlockDelta { block, delta })
}
