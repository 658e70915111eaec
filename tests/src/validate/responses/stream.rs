//! The stream: `response.created`, items with their parts and deltas, each told again whole when it is done, and one event
//! that ends it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{
    json::{self, expect, integer, nonempty, string},
    sse::{self, Between},
    turn::{Choice, Failure, Turn},
};

/// Reads a stream that was written by luthien.
///
/// # Errors
/// The first rule that it breaks, and where.
pub fn stream(body: &[u8]) -> Result<Turn, String> {
    read(body, Between::Comments)
}

/// Reads a stream whose every byte is the provider's.
///
/// # Errors
/// The first rule that it breaks, and where.
pub fn relayed(body: &[u8]) -> Result<Turn, String> {
    read(body, Between::Anything)
}

fn read(body: &[u8], between: Between) -> Result<Turn, String> {
    let mut reader = Reader::default();
    for (number, event) in sse::parse(body, between)?.iter().enumerate() {
        reader.take(event).map_err(|error| format!("SSE event {number}, {:?}: {error}", event.name))?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    turn: Turn,
    /// How many events have come.
    count: u64,
    state: State,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Fresh,
    Open,
    Over,
}

/// An item, as far as it was read.
struct Item {
    start: Value,
    parts: BTreeMap<u64, Part>,
    /// Arguments of a function, input of a custom tool.
    argument: String,
    argument_done: bool,
    /// The whole of it.
    done: Option<Value>,
}

/// A part of a message, or of a reasoning's summary.
struct Part {
    text: String,
    text_done: bool,
    done: bool,
}

impl Reader {
    fn take(&mut self, event: &sse::Event) -> Result<(), String> {
        let data = json::object(event.data.as_bytes())?;
        let type_ = string(&data, "type")?;
        match &event.name {
            None => return Err("no event: line".into()),
            Some(name) if name != type_ => return Err(format!("event: {name}, but its type is {type_}")),
            Some(_) => {}
        }
        if self.state == State::Over {
            return Err("something behind the end".into());
        }
        let number = integer(&data, "sequence_number")?;
        if number != self.count {
            return Err(format!("sequence_number {number} where {} is due", self.count));
        }
        self.count += 1;
        match (type_.strip_prefix("response."), self.state) {
            (Some("created"), State::Fresh) => self.created(&data["response"]),
            (Some("created"), _) => Err("a second response.created".into()),
            (None, _) if type_ == "error" => {
                let failure = Failure {
                    type_: string(&data, "code").unwrap_or("error").to_owned(),
                    message: nonempty(&data, "message")?.to_owned(),
                    body: data,
                };
                self.fail(failure)
            }
            (_, State::Fresh) => Err("before response.created".into()),
            (Some(name), _) => self.go_on(name, &data),
            (None, _) => Ok(()),
        }
    }

    fn go_on(&mut self, name: &str, data: &Value) -> Result<(), String> {
        match name {
            "in_progress" | "queued" => self.snapshot(&data["response"]),
            "output_item.added" => self.item_added(data),
            "output_item.done" => self.item_done(data),
            "content_part.added" => self.part_added(data, "message", "content_index"),
            "output_text.delta" | "refusal.delta" => self.part_delta(data, "content_index"),
            "output_text.done" => self.part_text_done(data, "content_index", "text"),
            "refusal.done" => self.part_text_done(data, "content_index", "refusal"),
            "content_part.done" => self.part_done(data, "content_index"),
            "reasoning_summary_part.added" => self.part_added(data, "reasoning", "summary_index"),
            "reasoning_summary_text.delta" => self.part_delta(data, "summary_index"),
            "reasoning_summary_text.done" => self.part_text_done(data, "summary_index", "text"),
            "reasoning_summary_part.done" => self.part_done(data, "summary_index"),
            "function_call_arguments.delta" => self.argument_delta(data, "function_call"),
            "function_call_arguments.done" => self.argument_done(data, "function_call", "arguments"),
            "custom_tool_call_input.delta" => self.argument_delta(data, "custom_tool_call"),
            "custom_tool_call_input.done" => self.argument_done(data, "custom_tool_call", "input"),
            "completed" | "incomplete" => self.completed(name, &data["response"]),
            "failed" => self.failed(&data["response"]),
            _ => Ok(()),
        }
    }

    fn created(&mut self, response: &Value) -> Result<(), String> {
        super::head(response)?;
        self.turn.id = string(response, "id")?.to_owned();
        self.turn.model = string(response, "model")?.to_owned();
        self.state = State::Open;
        self.snapshot(response)
    }

    fn snapshot(&self, response: &Value) -> Result<(), String> {
        super::head(response)?;
        expect(response, "id", &self.turn.id)?;
        match (string(response, "status")?, response["output"].as_array()) {
            ("in_progress" | "queued", Some(output)) if output.is_empty() => Ok(()),
            (status, _) => Err(format!("its status is {status}, its output {}", response["output"])),
        }
    }

    fn item_added(&mut self, data: &Value) -> Result<(), String> {
        let index = integer(data, "output_index")?;
        if index != self.items.len() as u64 {
            return Err(format!("output_index {index} where {} is due", self.items.len()));
        }
        let start = data["item"].clone();
        let type_ = nonempty(&start, "type")?;
        if matches!(type_, "message" | "reasoning" | "function_call" | "custom_tool_call") {
            nonempty(&start, "id")?;
        }
        if type_.ends_with("_call") && matches!(type_, "function_call" | "custom_tool_call") {
            nonempty(&start, "call_id")?;
            nonempty(&start, "name")?;
        }
        let id = start.get("id").cloned();
        if id.is_some() && self.items.iter().any(|item| item.start.get("id").cloned() == id) {
            return Err(format!("two items have the id {id:?}"));
        }
        let (parts, argument) = (BTreeMap::new(), String::new());
        self.items.push(Item { start, parts, argument, argument_done: false, done: None });
        Ok(())
    }

    /// The item that an event is about, open.
    fn item(&mut self, data: &Value) -> Result<&mut Item, String> {
        let index = integer(data, "output_index")?;
        let item = self.items.get_mut(index as usize).ok_or_else(|| format!("item {index} was never added"))?;
        if item.done.is_some() {
            return Err(format!("item {index} is done"));
        }
        Ok(item)
    }

    fn item_of(&mut self, data: &Value, type_: Option<&str>) -> Result<&mut Item, String> {
        let item = self.item(data)?;
        expect(data, "item_id", string(&item.start, "id")?)?;
        if let Some(type_) = type_ {
            expect(&item.start, "type", type_)?;
        }
        Ok(item)
    }

    fn part_added(&mut self, data: &Value, type_: &str, key: &str) -> Result<(), String> {
        let item = self.item_of(data, Some(type_))?;
        let index = integer(data, key)?;
        if index != item.parts.len() as u64 {
            return Err(format!("{key} {index} where {} is due", item.parts.len()));
        }
        if item.parts.values().any(|part| !part.done) {
            return Err("a part begins while another is open".into());
        }
        nonempty(&data["part"], "type")?;
        item.parts.insert(index, Part { text: String::new(), text_done: false, done: false });
        Ok(())
    }

    fn part(&mut self, data: &Value, key: &str) -> Result<&mut Part, String> {
        let item = self.item_of(data, None)?;
        let index = integer(data, key)?;
        match item.parts.get_mut(&index) {
            None => Err(format!("part {index} was never added")),
            Some(part) if part.done => Err(format!("part {index} is done")),
            Some(part) => Ok(part),
        }
    }

    fn part_delta(&mut self, data: &Value, key: &str) -> Result<(), String> {
        let part = self.part(data, key)?;
        if part.text_done {
            return Err("a delta behind its done".into());
        }
        part.text += string(data, "delta")?;
        Ok(())
    }

    fn part_text_done(&mut self, data: &Value, key: &str, field: &str) -> Result<(), String> {
        let part = self.part(data, key)?;
        part.text_done = true;
        same(&part.text, string(data, field)?)
    }

    fn part_done(&mut self, data: &Value, key: &str) -> Result<(), String> {
        let part = self.part(data, key)?;
        if !part.text_done {
            return Err("a part is done, and its text is not".into());
        }
        part.done = true;
        same(&part.text, text_of(&data["part"])?)
    }

    fn argument_delta(&mut self, data: &Value, type_: &str) -> Result<(), String> {
        let item = self.item_of(data, Some(type_))?;
        if item.argument_done {
            return Err("a delta behind its done".into());
        }
        item.argument += string(data, "delta")?;
        Ok(())
    }

    fn argument_done(&mut self, data: &Value, type_: &str, field: &str) -> Result<(), String> {
        let item = self.item_of(data, Some(type_))?;
        item.argument_done = true;
        let whole = string(data, field)?;
        // A server may tell all of it only here.
        if item.argument.is_empty() {
            whole.clone_into(&mut item.argument);
        }
        same(&item.argument, whole)
    }

    fn item_done(&mut self, data: &Value) -> Result<(), String> {
        let item = self.item(data)?;
        let whole = &data["item"];
        for key in ["type", "id", "call_id", "name"] {
            if item.start.get(key) != whole.get(key) {
                return Err(format!("{key} is {:?} at first and {:?} at last", item.start.get(key), whole.get(key)));
            }
        }
        if item.parts.values().any(|part| !part.done) {
            return Err("the item is done, and a part of it is not".into());
        }
        match string(whole, "type")? {
            "message" => item.check_parts(&whole["content"])?,
            "reasoning" => item.check_parts(&whole["summary"])?,
            "function_call" => same(&item.argument, string(whole, "arguments")?)?,
            "custom_tool_call" => same(&item.argument, string(whole, "input")?)?,
            _ => {}
        }
        super::read_item(whole)?;
        item.done = Some(whole.clone());
        Ok(())
    }

    fn completed(&mut self, name: &str, response: &Value) -> Result<(), String> {
        super::head(response)?;
        expect(response, "id", &self.turn.id)?;
        expect(response, "status", name)?;
        let mut done = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            done.push(item.done.clone().ok_or_else(|| format!("item {index} is not done"))?);
        }
        let output = response["output"].as_array().ok_or("output is no list")?;
        let same = |(told, done): (&Value, &Value)| {
            let said = |item| super::read_item(item).ok();
            told["id"] == done["id"] && told["type"] == done["type"] && said(told) == said(done)
        };
        if output.len() != done.len() || !output.iter().zip(&done).all(same) {
            return Err(format!("its output is not what was done: {}", response["output"]));
        }
        super::usage(response)?;
        let blocks = super::blocks(&response["output"])?;
        self.turn.usage = json::optional(response, "usage").cloned();
        self.turn.choices = vec![Choice { blocks, finish: super::finish(response)? }];
        self.state = State::Over;
        Ok(())
    }

    fn failed(&mut self, response: &Value) -> Result<(), String> {
        super::head(response)?;
        expect(response, "id", &self.turn.id)?;
        expect(response, "status", "failed")?;
        let error = &response["error"];
        let (type_, message) = (nonempty(error, "code")?.to_owned(), nonempty(error, "message")?.to_owned());
        self.fail(Failure { type_, message, body: response.clone() })
    }

    fn fail(&mut self, failure: Failure) -> Result<(), String> {
        let read = self.items.iter().filter_map(|item| item.done.as_ref()).map(super::read_item);
        let mut blocks = Vec::new();
        for item in read {
            blocks.extend(item?);
        }
        // What is not done was seen all the same.
        let open = self.items.iter().filter(|item| item.done.is_none());
        blocks.extend(open.flat_map(Item::seen));
        if !blocks.is_empty() {
            self.turn.choices = vec![Choice { blocks, finish: String::new() }];
        }
        self.turn.failure = Some(failure);
        self.state = State::Over;
        Ok(())
    }

    fn finish(self) -> Result<Turn, String> {
        match self.state {
            State::Over => Ok(self.turn),
            State::Fresh | State::Open => Err("the stream ends without an event that ends it".into()),
        }
    }
}

impl Item {
    fn check_parts(&self, parts: &Value) -> Result<(), String> {
        let parts = parts.as_array().ok_or("its parts are no list")?;
        if parts.len() != self.parts.len() {
            return Err(format!("{} parts were told, and {} are done", self.parts.len(), parts.len()));
        }
        parts.iter().zip(self.parts.values()).try_for_each(|(whole, part)| same(&part.text, text_of(whole)?))
    }

    /// As much as a reader saw of an item that was not done.
    fn seen(&self) -> Vec<super::Block> {
        let texts = self.parts.values().map(|part| part.text.clone());
        match self.start["type"].as_str() {
            Some("message") => texts.map(super::Block::Text).collect(),
            Some("reasoning") => {
                let text = texts.collect::<Vec<_>>().join("\n\n");
                vec![super::Block::Thinking { text, signature: String::new() }]
            }
            _ => vec![super::Block::Other(self.start.clone())],
        }
    }
}

fn text_of(part: &Value) -> Result<&str, String> {
    match string(part, "type")? {
        "refusal" => string(part, "refusal"),
        _ => string(part, "text"),
    }
}

fn same(told: &str, whole: &str) -> Result<(), String> {
    if told == whole { Ok(()) } else { Err(format!("{told:?} was told, and {whole:?} is the whole of it")) }
}
