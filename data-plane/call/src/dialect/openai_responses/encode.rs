//! From steps to SSE events.

use std::collections::BTreeMap;

use bytes::BytesMut;
use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, FinishReason, Finished, ToolForm, Usage},
    json::Extras,
};
use serde_json::{Value, json};

use super::{
    decode::is_of_item,
    failure,
    item::{Item, Sort},
    outgoing::{Out, Outgoing, STRUCTURAL},
    place,
    rest::{add, object},
    snapshot::Snapshot,
    words,
};
use crate::dialect::fields::Object;

/// Events that other steps tell.
const TOLD: [&str; 6] =
    ["response.created", "response.completed", "response.incomplete", "response.cancelled", "response.failed", "error"];

#[derive(Debug)]
pub(in crate::dialect) struct Encoder {
    snapshot: Snapshot,
    sequence: u64,
    /// By `output_index`.
    items: Vec<Outgoing>,
    blocks: BTreeMap<BlockKey, usize>,
    /// A message of which more parts may follow.
    message: Option<usize>,
    usage: Option<Usage>,
    finished: Finished,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            snapshot: Snapshot::default(),
            sequence: 0,
            items: Vec::new(),
            blocks: BTreeMap::new(),
            message: None,
            usage: None,
            finished: Finished::new(0, FinishReason::EndTurn),
        }
    }
}

impl Encoder {
    pub(in crate::dialect) fn observe(&mut self, event: &Event) {
        self.step(event, None);
    }

    pub(in crate::dialect) fn encode(&mut self, event: &Event, out: &mut BytesMut) {
        self.step(event, Some(out));
    }

    fn step(&mut self, event: &Event, bytes: Option<&mut BytesMut>) {
        let mut sequence = self.sequence;
        let out = &mut Out { bytes, sequence: &mut sequence };
        let extras = &event.extras;
        self.snapshot.follow(event);
        match &event.step {
            Step::Started(_) => self.start(extras, out),
            Step::BlockStarted(started) => self.begin(started, extras, out),
            Step::BlockDelta(delta) => self.go_on(delta, extras, out),
            Step::BlockStopped(block) => self.stop(*block, extras, out),
            Step::Usage(usage) => self.usage = Some(usage.clone()),
            Step::Finished(finished) => self.finished = finished.clone(),
            Step::Opaque(value) => self.opaque(value, out),
            Step::Ended => self.end(extras, out),
            Step::Failed(error) => self.fail(error, extras, out),
        }
        self.sequence = sequence;
    }

    fn start(&mut self, extras: &Extras, out: &mut Out<'_>) {
        out.write("response.created", || {
            let mut event = object(json!({"response": self.snapshot.in_progress()}));
            add(&mut event, &extras.clone().into_map());
            event
        });
        out.write("response.in_progress", || object(json!({"response": self.snapshot.in_progress()})));
    }

    fn begin(&mut self, started: &BlockStarted, extras: &Extras, out: &mut Out<'_>) {
        let is_part = match &started.kind {
            BlockKind::Text | BlockKind::Refusal => true,
            BlockKind::Opaque(_) => extras.get(place::PART).is_some(),
            BlockKind::Thinking { .. } | BlockKind::RedactedThinking { .. } => false,
            // The client must not take it for a call of its own.
            BlockKind::ToolCall(call) if call.form == ToolForm::Server => return,
            BlockKind::ToolCall(_) => false,
        };
        // A part that begins an item says of which.
        let goes_on = is_part && extras.get(place::ITEM).is_none();
        let at = match self.message.filter(|_| goes_on) {
            Some(message) => message,
            None => {
                self.close_message(out);
                self.add_item(&started.kind, extras, out)
            }
        };
        self.blocks.insert(started.block, at);
        if is_part {
            self.message = None;
            let outgoing = &mut self.items[at];
            outgoing.item.begin_part(&started.kind, extras);
            outgoing.announce_part(at, extras, out);
        }
    }

    fn add_item(&mut self, kind: &BlockKind, extras: &Extras, out: &mut Out<'_>) -> usize {
        let at = self.items.len();
        let mut kind = kind.clone();
        let id = self.id(at, &kind, extras);
        if let BlockKind::ToolCall(call) = &mut kind
            && call.id.is_empty()
        {
            call.id = self.made_id("call", at);
        }
        let item = Item::new(&kind, extras, &id);
        out.write("response.output_item.added", || {
            let mut event = object(json!({"output_index": at, "item": item.begun()}));
            merge_from(&mut event, extras.get(place::ITEM_ADDED));
            event
        });
        self.items.push(Outgoing::new(item));
        at
    }

    /// The id of an item: its own, or one that is found nowhere else.
    fn id(&self, at: usize, kind: &BlockKind, extras: &Extras) -> String {
        let own = extras.get(place::ITEM).and_then(|item| item.get("id")?.as_str()).unwrap_or_default();
        let (own, prefix) = match kind {
            BlockKind::Thinking { id, .. } => (id.as_str(), "rs"),
            BlockKind::RedactedThinking { .. } => (own, "rs"),
            BlockKind::ToolCall(call) if call.form == ToolForm::Custom => (own, "ctc"),
            BlockKind::ToolCall(_) => (own, "fc"),
            BlockKind::Text | BlockKind::Refusal | BlockKind::Opaque(_) => (own, "msg"),
        };
        if own.is_empty() { self.made_id(prefix, at) } else { own.to_owned() }
    }

    fn made_id(&self, prefix: &str, at: usize) -> String {
        let own = self.snapshot.id().rsplit(['_', '-']).next().unwrap_or_default();
        let of_response: String = own.chars().filter(char::is_ascii_alphanumeric).collect();
        let tail = of_response.len().saturating_sub(40);
        format!("{prefix}_{}_{at}", &of_response[tail..])
    }

    fn go_on(&mut self, delta: &BlockDelta, extras: &Extras, out: &mut Out<'_>) {
        let Some(at) = self.blocks.get(&delta.block).copied() else { return };
        if let Some(outgoing) = self.items.get_mut(at) {
            outgoing.go_on(at, &delta.delta, extras, out);
        }
    }

    fn stop(&mut self, block: BlockKey, extras: &Extras, out: &mut Out<'_>) {
        let Some(at) = self.blocks.remove(&block) else { return };
        let Some(outgoing) = self.items.get_mut(at) else { return };
        outgoing.end_part(at, out);
        if outgoing.item.sort == Sort::Message && extras.get(place::ITEM).is_some() {
            self.message = Some(at);
        } else {
            outgoing.end(at, out);
        }
    }

    fn close_message(&mut self, out: &mut Out<'_>) {
        if let Some(at) = self.message.take()
            && let Some(outgoing) = self.items.get_mut(at)
        {
            outgoing.end(at, out);
        }
    }

    fn opaque(&mut self, value: &Value, out: &mut Out<'_>) {
        let Some(event) = value.as_object() else { return };
        let Some(type_) = event.get("type").and_then(Value::as_str) else { return };
        // What is of an item is not told without one.
        let unplaced = STRUCTURAL.contains(&type_) || is_of_item(type_);
        if unplaced || TOLD.contains(&type_) {
            return;
        }
        out.write(type_, || {
            let mut event = event.clone();
            if event.contains_key(place::RESPONSE) {
                event.insert(place::RESPONSE.to_owned(), self.snapshot.in_progress());
            }
            event.shift_remove("sequence_number");
            event
        });
    }

    fn end(&mut self, extras: &Extras, out: &mut Out<'_>) {
        self.close_message(out);
        for (at, outgoing) in self.items.iter_mut().enumerate() {
            outgoing.end_part(at, out);
            outgoing.end(at, out);
        }
        let type_ = match words::end(&self.finished).status {
            "incomplete" => "response.incomplete",
            _ => "response.completed",
        };
        write_response(type_, || self.response(), extras, out);
    }

    fn fail(&mut self, error: &CallError, extras: &Extras, out: &mut Out<'_>) {
        // Clients wait for the beginning of a response first, and what did not begin has none.
        if *out.sequence == 0 {
            return out.write("error", || {
                let mut event = failure::event(error);
                add(&mut event, &extras.clone().into_map());
                event
            });
        }
        let response = || self.snapshot.failed(error, self.output(), self.usage.as_ref());
        write_response("response.failed", response, extras, out);
    }

    /// The response as it ended.
    pub(super) fn response(&self) -> Value {
        self.snapshot.ended(&self.finished, self.output(), self.usage.as_ref())
    }

    /// The items that are complete.
    fn output(&self) -> Vec<Value> {
        self.items.iter().filter(|outgoing| outgoing.done).map(|it| Value::Object(it.item.done())).collect()
    }
}

fn write_response(type_: &str, response: impl FnOnce() -> Value, extras: &Extras, out: &mut Out<'_>) {
    out.write(type_, || {
        let mut event = Object::from_iter([("response".to_owned(), response())]);
        add(&mut event, &extras.clone().into_map());
        event
    });
}

fn merge_from(event: &mut Object, rest: Option<&Value>) {
    if let Some(Value::Object(rest)) = rest {
        add(event, rest);
    }
}
