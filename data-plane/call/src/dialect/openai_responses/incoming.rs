//! An item of the output as it comes: what is said of it again and again becomes steps once.

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolCall, ToolForm},
    json::{Extras, Fields},
};
use serde_json::Value;

use super::{
    item::{Item, Sort, TOLD_OF_ACTIONS, is_action, told},
    place,
    rest::beyond,
};
use crate::dialect::fields::{Object, drop_if, drop_null, take_object, take_string};

/// The keys of a response's blocks.
#[derive(Debug, Default)]
pub(super) struct Keys(u32);

impl Keys {
    pub(super) fn next(&mut self) -> BlockKey {
        let key = BlockKey(self.0);
        self.0 += 1;
        key
    }
}

/// What an event says that goes on, and where its steps go.
pub(super) struct Said<'a> {
    /// The type of the event.
    pub(super) type_: &'a str,
    /// Its fields, but for those that say which item it is of.
    pub(super) event: Fields<'a>,
    pub(super) keys: &'a mut Keys,
    pub(super) steps: &'a mut Vec<Event>,
}

#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) id: String,
    /// What its steps have told.
    pub(super) item: Item,
    /// The block that is open.
    pub(super) block: Option<BlockKey>,
    /// The extras of a message's first block, until it begins.
    pub(super) begun: Extras,
    /// Whether a first part of a summary was announced, and nothing of it came.
    pub(super) announced: bool,
    /// How the upstream numbers the part that is open.
    pub(super) number: u64,
    pub(super) done: bool,
    /// Whether a client may read something else than the steps.
    pub(super) ambiguous: bool,
}

impl Incoming {
    /// Begins an item: its fields, but for the content, which is given back.
    pub(super) fn begin(
        mut fields: Object,
        added: Object,
        keys: &mut Keys,
        steps: &mut Vec<Event>,
    ) -> Result<(Self, Object), &'static str> {
        let content = take_content(&mut fields);
        let id = fields.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = take_kind(&mut fields)?;
        let mut extras = Extras::NONE;
        let opaque = matches!(kind, Some(BlockKind::Opaque(_)));
        if !opaque && !fields.is_empty() {
            extras.insert(place::ITEM, Value::Object(fields));
        }
        if !added.is_empty() {
            extras.insert(place::ITEM_ADDED, Value::Object(added));
        }
        let item = Item::new(kind.as_ref().unwrap_or(&BlockKind::Text), &extras, &id);
        let mut incoming = Self {
            id,
            item,
            block: None,
            begun: Extras::NONE,
            announced: false,
            number: 0,
            done: false,
            ambiguous: false,
        };
        match kind {
            Some(kind) => incoming.start(kind, extras, keys, steps),
            None => incoming.begun = extras,
        }
        Ok((incoming, content))
    }

    pub(super) fn start(&mut self, kind: BlockKind, extras: Extras, keys: &mut Keys, steps: &mut Vec<Event>) {
        let block = keys.next();
        self.block = Some(block);
        let started = BlockStarted { block, choice: 0, kind };
        steps.push(Event { step: Step::BlockStarted(started), extras });
    }

    /// A piece of the block that is open.
    pub(super) fn push(&mut self, delta: Delta, extras: Extras, steps: &mut Vec<Event>) {
        self.item.add(&delta, &extras);
        if let Some(block) = self.block {
            steps.push(Event { step: Step::BlockDelta(BlockDelta { block, delta }), extras });
        }
    }

    /// What is left of an event, if anything is; with no block open it is a step of its own.
    pub(super) fn push_rest(&mut self, type_: &str, rest: Object, steps: &mut Vec<Event>) {
        let event = Value::Object(typed(type_, rest));
        match self.block {
            Some(_) => self.push(Delta::Opaque(event), Extras::NONE, steps),
            None => steps.push(Step::Opaque(event).into()),
        }
    }

    pub(super) fn stop(&mut self, extras: Extras, steps: &mut Vec<Event>) {
        if let Some(block) = self.block.take() {
            steps.push(Event { step: Step::BlockStopped(block), extras });
        }
    }

    /// An event of the item.
    pub(super) fn event(&mut self, said: Said<'_>) -> Result<(), &'static str> {
        let type_ = said.type_;
        let name = type_.strip_prefix("response.").unwrap_or_default();
        match (self.item.sort, name) {
            (Sort::Message, "content_part.added") => self.part_added(said),
            (Sort::Message, "output_text.delta" | "refusal.delta") => self.part_goes_on(said),
            (Sort::Message, "output_text.done" | "refusal.done") => self.text_done(said),
            (Sort::Message, "content_part.done") => self.part_done(said),
            (Sort::Message, "output_text.annotation.added") => self.annotation(said),
            (Sort::Call("arguments"), "function_call_arguments.delta")
            | (Sort::Call("input"), "custom_tool_call_input.delta") => self.call_goes_on(said),
            (Sort::Call("arguments"), "function_call_arguments.done") => self.arguments_done("arguments", said),
            (Sort::Call("input"), "custom_tool_call_input.done") => self.arguments_done("input", said),
            (Sort::Reasoning, "reasoning_summary_part.added" | "content_part.added") => self.reasoning_part_added(said),
            (Sort::Reasoning, "reasoning_summary_text.delta" | "reasoning_text.delta") => self.reasoning_goes_on(said),
            (Sort::Reasoning, "reasoning_summary_text.done" | "reasoning_text.done") => self.reasoning_text_done(said),
            (Sort::Reasoning, "reasoning_summary_part.done" | "content_part.done") => self.reasoning_part_done(said),
            (
                Sort::Message | Sort::Call(_) | Sort::Action | Sort::Reasoning,
                "content_part.added"
                | "content_part.done"
                | "output_text.delta"
                | "output_text.done"
                | "refusal.delta"
                | "refusal.done"
                | "function_call_arguments.delta"
                | "function_call_arguments.done"
                | "custom_tool_call_input.delta"
                | "custom_tool_call_input.done"
                | "reasoning_summary_part.added"
                | "reasoning_summary_part.done"
                | "reasoning_summary_text.delta"
                | "reasoning_summary_text.done"
                | "reasoning_text.delta"
                | "reasoning_text.done",
            ) => Err("it is not of its item's type"),
            (Sort::Message | Sort::Call(_) | Sort::Action | Sort::Reasoning | Sort::Other, _) => {
                let mut event = said.event.into_map();
                if self.item.sort == Sort::Message && self.block.is_some() {
                    drop_if(&mut event, "content_index", |number| number.as_u64() == Some(self.number));
                }
                self.push_rest(type_, event, said.steps);
                Ok(())
            }
        }
    }

    /// All that is known of the item at its end; what was not said before is said now.
    pub(super) fn complete(
        &mut self,
        mut fields: Object,
        done: Object,
        keys: &mut Keys,
        steps: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        self.check_type(&fields)?;
        // What lacks its type is still read as what it is.
        if let Some(type_) = self.item.begun().get("type") {
            fields.insert("type".to_owned(), type_.clone());
        }
        let mut content = match self.item.sort {
            Sort::Message | Sort::Call(_) | Sort::Reasoning => take_content(&mut fields),
            Sort::Action => {
                self.act(&mut fields, steps);
                Object::new()
            }
            Sort::Other => Object::new(),
        };
        self.content(&mut content, keys, steps)?;
        fields.extend(content);
        if self.is_empty() {
            self.complete_empty(fields, done, keys, steps);
            return Ok(());
        }
        if self.item.sort == Sort::Reasoning
            && let Some(signature) = take_string(&mut fields, "encrypted_content").filter(|text| !text.is_empty())
        {
            self.push(Delta::Signature(signature), Extras::NONE, steps);
        }
        let known = self.item.done();
        let mut rest = done;
        let fields = beyond(fields, &known);
        self.ambiguous |= fields.keys().any(|key| told(self.item.sort).contains(&key.as_str()));
        if !fields.is_empty() {
            rest.insert(place::ITEM.to_owned(), Value::Object(fields));
        }
        if !rest.is_empty() {
            self.push_rest("response.output_item.done", rest, steps);
        }
        self.close(steps);
        Ok(())
    }

    /// An item stays of the type that it began with: a client goes by the one that it ends with.
    pub(super) fn check_type(&self, fields: &Object) -> Result<(), &'static str> {
        let type_ = fields.get("type").filter(|type_| !type_.is_null());
        let stays = type_.is_none_or(|type_| self.item.begun().get("type") == Some(type_));
        if stays { Ok(()) } else { Err("it is not of its item's type") }
    }

    /// The fields that a tool is called with: they are final only now.
    fn act(&mut self, fields: &mut Object, steps: &mut Vec<Event>) {
        let mut action = Object::new();
        for (key, value) in std::mem::take(fields) {
            let of = if TOLD_OF_ACTIONS.contains(&key.as_str()) { &mut *fields } else { &mut action };
            of.insert(key, value);
        }
        self.push(Delta::Arguments(Value::Object(action).to_string()), Extras::NONE, steps);
    }

    /// A message without any content is nothing that is known.
    fn complete_empty(&mut self, fields: Object, done: Object, keys: &mut Keys, steps: &mut Vec<Event>) {
        let mut begun = self.item.begun().clone();
        begun.extend(fields);
        let mut extras = std::mem::take(&mut self.begun).into_map();
        extras.shift_remove(place::ITEM);
        self.item.sort = Sort::Other;
        self.start(BlockKind::Opaque(Value::Object(begun)), extras.into(), keys, steps);
        if !done.is_empty() {
            self.push_rest("response.output_item.done", done, steps);
        }
        self.close(steps);
    }

    /// The item ends without saying so.
    pub(super) fn end(&mut self, keys: &mut Keys, steps: &mut Vec<Event>) {
        if self.done {
            return;
        }
        if self.is_empty() {
            return self.complete_empty(Object::new(), Object::new(), keys, steps);
        }
        self.close(steps);
    }

    /// Whether something of it was announced that no step has told.
    pub(super) fn is_only_announced(&self) -> bool {
        self.announced || (self.is_empty() && !self.done)
    }

    fn is_empty(&self) -> bool {
        self.item.sort == Sort::Message && self.item.parts.is_empty()
    }

    fn close(&mut self, steps: &mut Vec<Event>) {
        self.done = true;
        self.stop(Extras::NONE, steps);
    }

    /// What of the content was not said before; what can't be said any more stays.
    pub(super) fn content(
        &mut self,
        content: &mut Object,
        keys: &mut Keys,
        steps: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        match self.item.sort {
            Sort::Message => self.whole_parts(content, keys, steps),
            Sort::Call(field) => {
                if let Some(whole) = take_arguments(content, field) {
                    self.whole_arguments(field, whole, content, steps);
                }
                Ok(())
            }
            Sort::Reasoning => {
                self.whole_reasoning(content, steps);
                Ok(())
            }
            Sort::Action | Sort::Other => Ok(()),
        }
    }

    fn call_goes_on(&mut self, mut said: Said<'_>) -> Result<(), &'static str> {
        let piece = said.event.take_str("delta").ok_or("its delta is no text")?;
        self.push(Delta::Arguments(piece.into_owned()), said.event.into(), said.steps);
        Ok(())
    }

    fn arguments_done(&mut self, field: &str, said: Said<'_>) -> Result<(), &'static str> {
        let mut event = said.event.into_map();
        if let Some(whole) = take_arguments(&mut event, field) {
            self.whole_arguments(field, whole, &mut event, said.steps);
        }
        for key in ["name", "call_id"] {
            let known = self.item.begun().get(key);
            drop_if(&mut event, key, |value| Some(value) == known);
        }
        self.done_rest(said.type_, event, said.steps);
        Ok(())
    }

    fn whole_arguments(&mut self, field: &str, whole: String, rest: &mut Object, steps: &mut Vec<Event>) {
        match whole.strip_prefix(self.item.text.as_str()) {
            Some("") => {}
            Some(more) => self.push(Delta::Arguments(more.to_owned()), Extras::NONE, steps),
            None => {
                self.ambiguous = true;
                rest.insert(field.to_owned(), whole.into());
            }
        }
    }

    /// What could not be read of the content that it was announced with.
    pub(super) fn keep(&mut self, content: Object, steps: &mut Vec<Event>) {
        if self.block.is_some() || content.is_empty() {
            return self.done_rest("response.output_item.added", content, steps);
        }
        let mut extras = std::mem::take(&mut self.begun).into_map();
        if let Value::Object(item) = extras.entry(place::ITEM).or_insert_with(|| Object::new().into()) {
            item.extend(content);
        }
        self.begun = extras.into();
    }

    /// What is left of an event that ends something.
    pub(super) fn done_rest(&mut self, type_: &str, mut rest: Object, steps: &mut Vec<Event>) {
        rest.retain(|_, value| !super::rest::says_nothing(value));
        if !rest.is_empty() {
            self.push_rest(type_, rest, steps);
        }
    }
}

/// An event of that type.
pub(super) fn typed(type_: &str, fields: Object) -> Object {
    let mut event = Object::with_capacity(fields.len() + 1);
    event.insert("type".to_owned(), type_.into());
    event.extend(fields);
    event
}

/// Takes out what the content tells.
fn take_content(fields: &mut Object) -> Object {
    let keys: &[&str] = match fields.get("type").and_then(Value::as_str) {
        Some("message") => &["content"],
        Some("function_call") => &["arguments"],
        Some("custom_tool_call") => &["input"],
        Some("reasoning") => &["summary", "content"],
        Some(_) | None => &[],
    };
    let take = |key: &&str| Some(((*key).to_owned(), fields.shift_remove(*key)?));
    keys.iter().filter_map(take).collect()
}

/// What the item is; `None`: a message, whose blocks are its parts. What is left is not known.
fn take_kind(fields: &mut Object) -> Result<Option<BlockKind>, &'static str> {
    let type_ = fields.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let form = match type_.as_str() {
        "message" => {
            drop_known(fields);
            drop_if(fields, "role", |role| role == "assistant");
            drop_if(fields, "status", |status| status == "in_progress");
            keep_id(fields);
            return Ok(None);
        }
        "reasoning" => {
            drop_known(fields);
            let id = take_string(fields, "id").unwrap_or_default();
            return Ok(Some(BlockKind::Thinking { field: String::new(), id }));
        }
        "function_call" => ToolForm::Function,
        "custom_tool_call" => ToolForm::Custom,
        _ if is_action(fields) => {
            drop_known(fields);
            drop_if(fields, "status", |status| status == "in_progress");
            let id = take_string(fields, "call_id").unwrap_or_default();
            let name = type_.strip_suffix("_call").unwrap_or(&type_).to_owned();
            let form = ToolForm::Function;
            keep_id(fields);
            return Ok(Some(BlockKind::ToolCall(ToolCall { id, name, namespace: String::new(), form, type_ })));
        }
        _ => return Ok(Some(BlockKind::Opaque(Value::Object(std::mem::take(fields))))),
    };
    drop_known(fields);
    if form == ToolForm::Function {
        drop_if(fields, "status", |status| status == "in_progress");
    }
    let name = take_string(fields, "name").filter(|name| !name.is_empty()).ok_or("a call without a name")?;
    let id = take_string(fields, "call_id").filter(|id| !id.is_empty()).ok_or("a call without an id")?;
    let namespace = take_string(fields, "namespace").unwrap_or_default();
    keep_id(fields);
    Ok(Some(BlockKind::ToolCall(ToolCall { id, name, namespace, form, type_: String::new() })))
}

fn drop_known(fields: &mut Object) {
    drop_if(fields, "type", |_| true);
    drop_null(fields, "status");
    drop_null(fields, "encrypted_content");
}

/// The id is with the rest, for the kind has no place for it.
fn keep_id(fields: &mut Object) {
    drop_null(fields, "id");
}

/// Arguments are text; some servers send the object itself.
fn take_arguments(content: &mut Object, field: &str) -> Option<String> {
    match take_object(content, field) {
        Some(object) => Some(Value::Object(object).to_string()),
        None => take_string(content, field),
    }
}
