//! The stream: chunks, for each choice the role first and a reason to finish last; then usage; then `[DONE]`. Or an error,
//! and nothing behind it.

use serde_json::Value;

use super::super::{
    json::{self, integer, nonempty, optional, string},
    sse::{self, Between},
    turn::{Block, Choice, Form, ToolCall, Turn},
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
        reader.take(event).map_err(|error| format!("SSE event {number}: {error}"))?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    turn: Turn,
    created: Option<u64>,
    usage_alone: bool,
    over: bool,
    choices: Vec<Part>,
}

/// A choice, as far as it was read.
#[derive(Default)]
struct Part {
    role: bool,
    blocks: Vec<Block>,
    tools: Vec<usize>,
    finish: Option<String>,
}

impl Reader {
    fn take(&mut self, event: &sse::Event) -> Result<(), String> {
        if let Some(name) = &event.name {
            return Err(format!("an event: line, {name:?}"));
        }
        if self.over {
            return Err("something behind the end".into());
        }
        if event.data == "[DONE]" {
            return self.done();
        }
        let data = json::object(event.data.as_bytes())?;
        match optional(&data, "error") {
            Some(_) => {
                self.turn.failure = Some(super::error(event.data.as_bytes())?);
                self.over = true;
                Ok(())
            }
            None => self.chunk(&data),
        }
    }

    fn done(&mut self) -> Result<(), String> {
        if self.choices.is_empty() {
            return Err("[DONE] without any choice".into());
        }
        if let Some(index) = self.choices.iter().position(|choice| choice.finish.is_none()) {
            return Err(format!("[DONE], and choice {index} has not finished"));
        }
        self.over = true;
        Ok(())
    }

    fn chunk(&mut self, data: &Value) -> Result<(), String> {
        self.head(data)?;
        let values = data["choices"].as_array().ok_or("choices is not a list")?;
        if self.usage_alone {
            return Err("a chunk behind the usage".into());
        }
        for value in values {
            self.choice(value)?;
        }
        if let Some(usage) = optional(data, "usage") {
            super::usage(usage)?;
            self.turn.usage = Some(usage.clone());
        }
        if values.is_empty() {
            self.alone(data)?;
        }
        Ok(())
    }

    fn head(&mut self, data: &Value) -> Result<(), String> {
        super::head(data, "chat.completion.chunk")?;
        let (id, model, created) = (string(data, "id")?, string(data, "model")?, integer(data, "created")?);
        match self.created {
            None => {
                (self.turn.id, self.turn.model, self.created) = (id.to_owned(), model.to_owned(), Some(created));
                Ok(())
            }
            Some(first) if first == created && self.turn.id == id && self.turn.model == model => Ok(()),
            Some(_) => Err(format!("id, model or created changed: {id:?}, {model:?}, {created}")),
        }
    }

    /// A chunk without choices is the usage, and comes behind every finish.
    fn alone(&mut self, data: &Value) -> Result<(), String> {
        if optional(data, "usage").is_none() {
            return Err("a chunk with neither choices nor usage".into());
        }
        if self.choices.is_empty() || self.choices.iter().any(|choice| choice.finish.is_none()) {
            return Err("the usage before every choice has finished".into());
        }
        self.usage_alone = true;
        Ok(())
    }

    fn choice(&mut self, value: &Value) -> Result<(), String> {
        let index = integer(value, "index")? as usize;
        if index > self.choices.len() + 8 {
            return Err(format!("choice {index} of {}", self.choices.len()));
        }
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Part::default);
        }
        self.choices[index].take(value).map_err(|error| format!("choice {index}: {error}"))
    }

    fn finish(self) -> Result<Turn, String> {
        let mut turn = self.turn;
        if !self.over {
            return Err("the stream ends without [DONE] or an error".into());
        }
        for (index, part) in self.choices.into_iter().enumerate() {
            if !part.role {
                return Err(format!("choice {index} is missing"));
            }
            let choice = Choice { blocks: part.blocks, finish: part.finish.unwrap_or_default() };
            if !choice.finish.is_empty() {
                super::finish_fits(&choice.finish, &choice.blocks)
                    .map_err(|error| format!("choice {index}: {error}"))?;
            }
            turn.choices.push(choice);
        }
        Ok(turn)
    }
}

impl Part {
    fn take(&mut self, value: &Value) -> Result<(), String> {
        if self.finish.is_some() {
            return Err("something behind its finish_reason".into());
        }
        let delta = &value["delta"];
        if !delta.is_object() {
            return Err(format!("delta is not an object: {delta}"));
        }
        self.role(delta)?;
        self.texts(delta)?;
        if let Some(call) = optional(delta, "function_call") {
            self.legacy(call)?;
        }
        if let Some(calls) = optional(delta, "tool_calls") {
            let calls =
                calls.as_array().filter(|calls| !calls.is_empty()).ok_or("tool_calls is not a list, or empty")?;
            calls.iter().try_for_each(|call| self.tool_call(call))?;
        }
        match value.get("finish_reason") {
            None | Some(Value::Null) => {}
            Some(Value::String(reason)) if !reason.is_empty() => self.finish = Some(reason.clone()),
            Some(other) => return Err(format!("finish_reason is {other}")),
        }
        Ok(())
    }

    /// The role is said once: the SDK would add a second one to the first.
    fn role(&mut self, delta: &Value) -> Result<(), String> {
        match (optional(delta, "role"), self.role) {
            (Some(role), false) if role == "assistant" => self.role = true,
            (Some(role), false) => return Err(format!("the role is {role}")),
            (Some(_), true) => return Err("the role comes twice".into()),
            (None, false) => return Err("the first delta has no role".into()),
            (None, true) => {}
        }
        Ok(())
    }

    fn texts(&mut self, delta: &Value) -> Result<(), String> {
        for key in ["reasoning_content", "reasoning", "content", "refusal"] {
            if optional(delta, key).is_none() {
                continue;
            }
            let piece = string(delta, key)?;
            let known = self.blocks.iter_mut().find_map(|block| match (key, block) {
                ("content", Block::Text(text)) | ("refusal", Block::Refusal(text)) => Some(text),
                ("reasoning_content" | "reasoning", Block::Thinking { text, .. }) => Some(text),
                _ => None,
            });
            match (known, key) {
                (Some(text), _) => text.push_str(piece),
                (None, _) if piece.is_empty() => {}
                (None, "content") => self.blocks.push(Block::Text(piece.to_owned())),
                (None, "refusal") => self.blocks.push(Block::Refusal(piece.to_owned())),
                (None, _) => {
                    self.blocks.push(Block::Thinking { text: piece.to_owned(), signature: String::new() });
                }
            }
        }
        super::details(delta, &mut self.blocks)
    }

    fn legacy(&mut self, call: &Value) -> Result<(), String> {
        let arguments = optional(call, "arguments").map(|_| string(call, "arguments")).transpose()?.unwrap_or("");
        let known = self.blocks.iter_mut().find_map(|block| match block {
            Block::ToolCall(call) if call.form == Form::Legacy => Some(call),
            _ => None,
        });
        match known {
            Some(_) if optional(call, "name").is_some() => Err("the name of the function_call comes twice".into()),
            Some(known) => {
                known.arguments += arguments;
                Ok(())
            }
            None => {
                let (id, name) = (String::new(), nonempty(call, "name")?.to_owned());
                let arguments = arguments.to_owned();
                self.blocks.push(Block::ToolCall(ToolCall { id, name, arguments, form: Form::Legacy }));
                Ok(())
            }
        }
    }

    fn tool_call(&mut self, fragment: &Value) -> Result<(), String> {
        let index = integer(fragment, "index")? as usize;
        match self.tools.get(index).copied() {
            Some(at) => self.more_of(at, fragment),
            None if index == self.tools.len() => self.first_of(fragment),
            None => Err(format!("tool call {index} where {} is due", self.tools.len())),
        }
        .map_err(|error| format!("tool call {index}: {error}"))
    }

    fn first_of(&mut self, fragment: &Value) -> Result<(), String> {
        let id = nonempty(fragment, "id")?.to_owned();
        let (form, key, input) = match string(fragment, "type")? {
            "function" => (Form::Function, "function", "arguments"),
            "custom" => (Form::Custom, "custom", "input"),
            other => return Err(format!("its type is {other:?}")),
        };
        let body = &fragment[key];
        let name = nonempty(body, "name")?.to_owned();
        let arguments = optional(body, input).map(|_| string(body, input)).transpose()?.unwrap_or("").to_owned();
        self.tools.push(self.blocks.len());
        self.blocks.push(Block::ToolCall(ToolCall { id, name, arguments, form }));
        Ok(())
    }

    /// Whatever a first fragment said must not be said again: SDKs join strings.
    fn more_of(&mut self, at: usize, fragment: &Value) -> Result<(), String> {
        let Some(Block::ToolCall(call)) = self.blocks.get_mut(at) else { return Err("no such call".into()) };
        let (key, input) = if call.form == Form::Custom { ("custom", "input") } else { ("function", "arguments") };
        for (value, field) in [(fragment, "id"), (fragment, "type"), (&fragment[key], "name")] {
            if optional(value, field).is_some() {
                return Err(format!("its {field} comes twice"));
            }
        }
        call.arguments += string(&fragment[key], input)?;
        Ok(())
    }
}
