//! From SSE events, or a whole body, to steps.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Started},
    json::{Borrowed, Extras, Fields},
};

use super::{blocks, failure, usage, words};
use crate::dialect::{DecodeError, broken_off, fields::read_object};

#[derive(Debug, Default)]
pub(in crate::dialect) struct Decoder {
    started: bool,
    /// By index; `None`: stopped.
    blocks: BTreeMap<u64, Option<Open>>,
    open: usize,
    keys: u32,
    stop_reason: Option<String>,
    over: bool,
    /// Whether a block was not numbered as it is when it is written anew.
    misnumbered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    block: BlockKey,
    sort: Sort,
}

/// Which deltas a block has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sort {
    Text,
    Thinking,
    Call,
    Other,
}

impl Decoder {
    pub(in crate::dialect) fn event(&mut self, name: Option<&str>, data: &Bytes) -> Result<Vec<Event>, DecodeError> {
        let event = read_object("SSE event", data)?;
        let type_ = event.text("type").unwrap_or_default().to_owned();
        let error = |reason: &str| DecodeError::new(format!("SSE event {}", shown(&type_)), reason);
        if type_.is_empty() {
            return Err(error("it has no type"));
        }
        if name.is_some_and(|name| name != type_) {
            return Err(error("its name is not its type"));
        }
        if self.over {
            return Err(error("it comes after the end of the response"));
        }
        self.typed(&type_, event).map_err(error)
    }

    pub(in crate::dialect) fn take_ambiguous(&mut self) -> bool {
        std::mem::take(&mut self.misnumbered)
    }

    pub(in crate::dialect) fn end(&mut self) -> Vec<Event> {
        if self.cut() {
            return Vec::new();
        }
        match self.stop_reason {
            Some(_) => vec![Step::Ended.into()],
            None => vec![broken_off("the upstream's stream ended before the response was complete")],
        }
    }

    pub(in crate::dialect) fn cut(&mut self) -> bool {
        std::mem::replace(&mut self.over, true)
    }

    fn typed(&mut self, type_: &str, mut event: Fields<'_>) -> Result<Vec<Event>, &'static str> {
        match type_ {
            "error" => {
                self.over = true;
                let error = failure::take(&mut event).unwrap_or_default();
                return Ok(vec![Event { step: Step::Failed(error), extras: event.into() }]);
            }
            "ping" if event.len() == 1 => return Ok(Vec::new()),
            "message_start" => return self.start(event),
            _ if !self.started => return Err("it comes before message_start"),
            _ => {}
        }
        match type_ {
            "content_block_start" => self.begin(event),
            "content_block_delta" => self.go_on(event),
            "content_block_stop" => self.stop(event),
            "message_delta" => self.finish(event),
            "message_stop" => self.finished(event),
            _ => Ok(vec![Step::Opaque(event.into()).into()]),
        }
    }

    fn start(&mut self, mut event: Fields<'_>) -> Result<Vec<Event>, &'static str> {
        if std::mem::replace(&mut self.started, true) {
            return Err("it comes twice");
        }
        let mut message = event.take_object("message").ok_or("it has no message")?;
        let (started, usage) = take_head(&mut message);
        message.drop_null("content");
        message.drop_if("content", |content| content.as_array().is_some_and(<[_]>::is_empty));
        if message.contains_key("content") {
            return Err("its message has content");
        }
        message.drop_null("stop_reason");
        message.drop_null("stop_sequence");
        event.put_back("message", message);
        Ok([Event { step: Step::Started(started), extras: rest(event) }].into_iter().chain(usage).collect())
    }

    fn begin(&mut self, mut event: Fields<'_>) -> Result<Vec<Event>, &'static str> {
        let index = event.take_u64("index").ok_or("it has no index")?;
        if self.stop_reason.is_some() {
            return Err("it comes after stop_reason");
        }
        if self.blocks.contains_key(&index) {
            return Err("its index was used before");
        }
        let content = event.take_object("content_block").ok_or("it has no content_block")?;
        let begun = blocks::begin(content);
        let open = Open { block: BlockKey(self.keys), sort: sort(&begun.kind) };
        self.misnumbered |= index != u64::from(self.keys);
        self.keys += 1;
        self.blocks.insert(index, Some(open));
        self.open += 1;
        event.put_back("content_block", begun.rest);
        let started = BlockStarted { block: open.block, choice: 0, kind: begun.kind };
        let started = Event { step: Step::BlockStarted(started), extras: rest(event) };
        let deltas = begun.deltas.into_iter().map(|delta| delta_of(open.block, delta).into());
        Ok([started].into_iter().chain(deltas).collect())
    }

    fn go_on(&mut self, mut event: Fields<'_>) -> Result<Vec<Event>, &'static str> {
        let index = event.take_u64("index").ok_or("it has no index")?;
        let open = self.blocks.get(&index).copied().flatten().ok_or("its block is not open")?;
        let mut inner = event.take_object("delta").ok_or("it has no delta")?;
        let delta = match take_delta(open.sort, &mut inner)? {
            Some(delta) => {
                event.put_back("delta", inner);
                delta
            }
            None => Delta::Opaque(inner.into()),
        };
        Ok(vec![Event { step: delta_of(open.block, delta), extras: rest(event) }])
    }

    fn stop(&mut self, mut event: Fields<'_>) -> Result<Vec<Event>, &'static str> {
        let index = event.take_u64("index").ok_or("it has no index")?;
        let open = self.blocks.get_mut(&index).and_then(Option::take).ok_or("its block is not open")?;
        self.open -= 1;
        Ok(vec![Event { step: Step::BlockStopped(open.block), extras: rest(event) }])
    }

    fn finish(&mut self, mut event: Fields<'_>) -> Result<Vec<Event>, &'static str> {
        let usage = usage::take(&mut event);
        let mut delta = event.take_object("delta").unwrap_or_default();
        let word = delta.take_str("stop_reason").map(Cow::into_owned);
        let stop_sequence = if word.is_some() { delta.take_str("stop_sequence") } else { None };
        delta.drop_null("stop_sequence");
        event.put_back("delta", delta);
        let mut events: Vec<Event> = usage.map(|usage| Step::Usage(usage).into()).into_iter().collect();
        if let Some(word) = self.new_stop_reason(word)? {
            events.push(Step::Finished(words::finished(word, stop_sequence.map(Cow::into_owned))).into());
        } else if let Some(stop_sequence) = stop_sequence {
            event.insert("stop_sequence", stop_sequence);
        }
        match events.last_mut() {
            Some(last) => last.extras = rest(event),
            None if event.len() > 1 => events.push(Step::Opaque(event.into()).into()),
            None => {}
        }
        Ok(events)
    }

    /// The reason, if it says something: a repetition does not.
    fn new_stop_reason(&mut self, word: Option<String>) -> Result<Option<String>, &'static str> {
        let Some(word) = word else { return Ok(None) };
        match &self.stop_reason {
            Some(known) if *known == word => Ok(None),
            Some(_) => Err("a second stop_reason"),
            None if self.open > 0 => Err("a block is still open"),
            None => {
                self.stop_reason = Some(word.clone());
                Ok(Some(word))
            }
        }
    }

    fn finished(&mut self, event: Fields<'_>) -> Result<Vec<Event>, &'static str> {
        if self.stop_reason.is_none() {
            return Err("it comes before stop_reason");
        }
        self.over = true;
        Ok(vec![Event { step: Step::Ended, extras: rest(event) }])
    }
}

/// A whole body has the steps of its stream.
pub(in crate::dialect) fn decode_whole(body: &Bytes) -> Result<Vec<Event>, DecodeError> {
    let error = |reason: &str| DecodeError::new("response body", reason);
    let mut message = read_object("response body", body)?;
    if let Some(failed) = failure::take(&mut message) {
        return Ok(vec![Event { step: Step::Failed(failed), extras: message.into() }]);
    }
    let content = message.take_array("content").ok_or_else(|| error("it has no list of content"))?;
    let (started, usage) = take_head(&mut message);
    let word = message.take_str("stop_reason").map(Cow::into_owned);
    let stop_sequence = message.take_str("stop_sequence").map(Cow::into_owned);
    let mut extras = Fields::new();
    extras.put_back("message", message);
    let mut events = vec![Event { step: Step::Started(started), extras: extras.into() }];
    for (at, block) in (0..).zip(content) {
        let Borrowed::Object(block) = block else { return Err(error("a block is not an object")) };
        push_block(BlockKey(at), block, &mut events);
    }
    events.extend(usage);
    events.push(Step::Finished(words::finished(word.unwrap_or_default(), stop_sequence)).into());
    events.push(Step::Ended.into());
    Ok(events)
}

fn push_block(block: BlockKey, content: Fields<'_>, events: &mut Vec<Event>) {
    let begun = blocks::begin(content);
    let mut extras = Fields::new();
    extras.put_back("content_block", begun.rest);
    let started = BlockStarted { block, choice: 0, kind: begun.kind };
    events.push(Event { step: Step::BlockStarted(started), extras: extras.into() });
    events.extend(begun.deltas.into_iter().map(|delta| Event::from(delta_of(block, delta))));
    events.push(Step::BlockStopped(block).into());
}

/// Takes out of a message what it begins with.
fn take_head(message: &mut Fields<'_>) -> (Started, Option<Event>) {
    message.drop_if("type", |type_| type_.as_str() == Some("message"));
    message.drop_if("role", |role| role.as_str() == Some("assistant"));
    let started = Started {
        id: message.take_str("id").unwrap_or_default().into_owned(),
        model: message.take_str("model").unwrap_or_default().into_owned(),
        created: None,
    };
    (started, usage::take(message).map(|usage| Step::Usage(usage).into()))
}

/// The delta of a type that is known, which has to be of its block's; any other is opaque.
fn take_delta(sort: Sort, inner: &mut Fields<'_>) -> Result<Option<Delta>, &'static str> {
    let (wanted, field, make): (_, _, fn(String) -> Delta) = match inner.text("type") {
        Some("text_delta") => (Sort::Text, "text", Delta::Text),
        Some("thinking_delta") => (Sort::Thinking, "thinking", Delta::Text),
        Some("signature_delta") => (Sort::Thinking, "signature", Delta::Signature),
        Some("input_json_delta") => (Sort::Call, "partial_json", Delta::Arguments),
        Some(_) | None => return Ok(None),
    };
    if sort == Sort::Other {
        return Ok(None);
    }
    if sort != wanted {
        return Err("its delta is not of its block's type");
    }
    let text = inner.take_str(field).ok_or("its delta has no text")?;
    inner.remove("type");
    Ok(Some(make(text.into_owned())))
}

fn sort(kind: &BlockKind) -> Sort {
    match kind {
        BlockKind::Text => Sort::Text,
        BlockKind::Thinking { .. } => Sort::Thinking,
        BlockKind::ToolCall(_) => Sort::Call,
        BlockKind::RedactedThinking { .. } | BlockKind::Refusal | BlockKind::Opaque(_) => Sort::Other,
    }
}

fn delta_of(block: BlockKey, delta: Delta) -> Step {
    Step::BlockDelta(BlockDelta { block, delta })
}

/// What is left of an event whose type is known.
fn rest(mut event: Fields<'_>) -> Extras {
    event.remove("type");
    event.into()
}

/// A type is shown in errors only if it is one of the dialect's words.
fn shown(type_: &str) -> &str {
    const KNOWN: [&str; 8] = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ];
    KNOWN.into_iter().find(|known| *known == type_).unwrap_or("of an unknown type")
}
