//! The stream: `message_start`, blocks, `message_delta`, `message_stop`; `ping` anywhere; or `error`, last.

use serde_json::Value;

use super::super::{
    json::{self, integer, optional, string},
    sse::{self, Between},
    turn::{Block, Choice, Turn},
};

/// Reads a stream that was written by luthien.
///
/// # Errors
/// The first rule that it breaks, and where.
pub fn stream(body: &[u8]) -> Result<Turn, String> {
    read(body, Between::Nothing)
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
    state: State,
    blocks: Vec<Part>,
    stop_reason: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Fresh,
    Open,
    /// `message_delta` gave the stop reason.
    Finishing,
    Over,
}

/// A block, as far as it was read.
struct Part {
    start: Value,
    text: String,
    signature: String,
    json: String,
    open: bool,
}

impl Reader {
    fn take(&mut self, event: &sse::Event) -> Result<(), String> {
        let data = json::object(event.data.as_bytes())?;
        let type_ = string(&data, "type")?;
        match &event.name {
            None => return Err("no event: line; the SDK would skip it".into()),
            Some(name) if name != type_ => return Err(format!("event: {name}, but its type is {type_}")),
            Some(_) => {}
        }
        match (type_, self.state) {
            (_, State::Over) => Err("something behind the end".into()),
            ("ping", _) => Ok(()),
            ("error", _) => {
                self.turn.failure = Some(super::error(event.data.as_bytes())?);
                self.state = State::Over;
                Ok(())
            }
            ("message_start", State::Fresh) => self.start(&data["message"]),
            ("message_start", _) => Err("a second message_start".into()),
            (_, State::Fresh) => Err("before message_start".into()),
            ("content_block_start" | "content_block_delta" | "content_block_stop", State::Finishing) => {
                Err("content behind message_delta".into())
            }
            ("content_block_start", _) => self.block_start(&data),
            ("content_block_delta", _) => self.block_delta(&data),
            ("content_block_stop", _) => self.block_stop(&data),
            ("message_delta", _) => self.message_delta(&data),
            ("message_stop", State::Open) => Err("message_stop without a stop reason".into()),
            ("message_stop", State::Finishing) => {
                self.state = State::Over;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, message: &Value) -> Result<(), String> {
        super::head(message)?;
        if message["content"].as_array().is_none_or(|content| !content.is_empty()) {
            return Err(format!("the content of message_start is not []: {}", message["content"]));
        }
        if optional(message, "stop_reason").is_some() {
            return Err("message_start has a stop_reason".into());
        }
        super::usage(&message["usage"], &["input_tokens", "output_tokens"])?;
        self.turn.id = string(message, "id")?.to_owned();
        self.turn.model = string(message, "model")?.to_owned();
        self.turn.usage = Some(message["usage"].clone());
        self.state = State::Open;
        Ok(())
    }

    fn block_start(&mut self, data: &Value) -> Result<(), String> {
        let index = integer(data, "index")?;
        if index != self.blocks.len() as u64 {
            return Err(format!("index {index} where {} is due", self.blocks.len()));
        }
        let start = data["content_block"].clone();
        let type_ = string(&start, "type")?;
        let alone = |part: &Part| !super::is_tool_use(part.start["type"].as_str().unwrap_or_default());
        if self.blocks.iter().any(|part| part.open && (alone(part) || !super::is_tool_use(type_))) {
            return Err(format!("block {index} starts while another is open"));
        }
        let text = match type_ {
            "text" => string(&start, "text")?.to_owned(),
            "thinking" => string(&start, "thinking")?.to_owned(),
            _ => {
                super::block(&start)?;
                String::new()
            }
        };
        self.blocks.push(Part { start, text, signature: String::new(), json: String::new(), open: true });
        Ok(())
    }

    fn block_delta(&mut self, data: &Value) -> Result<(), String> {
        let part = self.open_part(data)?;
        let delta = &data["delta"];
        let block = part.start["type"].as_str().unwrap_or_default();
        match (string(delta, "type")?, block) {
            ("text_delta", "text") => part.text += string(delta, "text")?,
            ("thinking_delta", "thinking") if part.signature.is_empty() => part.text += string(delta, "thinking")?,
            ("thinking_delta", "thinking") => return Err("thinking behind its signature".into()),
            ("signature_delta", "thinking") if part.signature.is_empty() => {
                part.signature = json::nonempty(delta, "signature")?.to_owned();
            }
            ("signature_delta", "thinking") => return Err("a second signature".into()),
            ("input_json_delta", block) if super::is_tool_use(block) => part.json += string(delta, "partial_json")?,
            ("citations_delta", "text") | ("compaction_delta", "compaction") => {}
            (
                known @ ("text_delta" | "thinking_delta" | "signature_delta" | "input_json_delta" | "citations_delta"
                | "compaction_delta"),
                block,
            ) => return Err(format!("a {known} of a {block} block")),
            _ => {}
        }
        Ok(())
    }

    fn block_stop(&mut self, data: &Value) -> Result<(), String> {
        self.open_part(data)?.open = false;
        Ok(())
    }

    fn open_part(&mut self, data: &Value) -> Result<&mut Part, String> {
        let index = integer(data, "index")?;
        match self.blocks.get_mut(index as usize) {
            None => Err(format!("block {index} was never started")),
            Some(part) if !part.open => Err(format!("block {index} has stopped")),
            Some(part) => Ok(part),
        }
    }

    fn message_delta(&mut self, data: &Value) -> Result<(), String> {
        super::usage(&data["usage"], &["output_tokens"])?;
        if let (Some(Value::Object(all)), Some(more)) = (&mut self.turn.usage, data["usage"].as_object()) {
            let known = more.iter().filter(|(_, value)| !value.is_null());
            all.extend(known.map(|(key, value)| (key.clone(), value.clone())));
        }
        let Some(reason) = optional(&data["delta"], "stop_reason") else { return Ok(()) };
        let reason = reason.as_str().ok_or("stop_reason is not a string")?;
        match &self.stop_reason {
            Some(first) if first != reason => return Err(format!("stop_reason {reason} behind {first}")),
            _ => {}
        }
        if let Some(index) = self.blocks.iter().position(|part| part.open) {
            return Err(format!("block {index} is open"));
        }
        if reason == "stop_sequence" {
            string(&data["delta"], "stop_sequence")?;
        }
        self.stop_reason = Some(reason.to_owned());
        self.state = State::Finishing;
        Ok(())
    }

    fn finish(mut self) -> Result<Turn, String> {
        if self.state != State::Over {
            return Err("the stream ends without message_stop or error".into());
        }
        let failed = self.turn.failure.is_some();
        let finish = self.stop_reason.take().unwrap_or_default();
        let unchecked = failed || super::cuts_short(&finish);
        let count = self.blocks.len();
        let mut blocks = Vec::new();
        for (index, part) in self.blocks.into_iter().enumerate() {
            let may_be_cut = unchecked && (failed || index + 1 == count);
            blocks.push(part.finish(may_be_cut).map_err(|error| format!("block {index}: {error}"))?);
        }
        if !failed {
            super::finish_fits(&finish, &blocks)?;
        }
        if !blocks.is_empty() || !finish.is_empty() || !failed {
            self.turn.choices = vec![Choice { blocks, finish }];
        }
        Ok(self.turn)
    }
}

impl Part {
    fn finish(self, may_be_cut: bool) -> Result<Block, String> {
        let type_ = self.start["type"].as_str().unwrap_or_default();
        Ok(match type_ {
            "text" => Block::Text(self.text),
            "thinking" => Block::Thinking {
                text: self.text,
                signature: match self.signature.as_str() {
                    "" => self.start["signature"].as_str().unwrap_or_default().to_owned(),
                    _ => self.signature,
                },
            },
            type_ if super::is_tool_use(type_) => {
                let arguments = match self.json.as_str() {
                    "" => self.start["input"].to_string(),
                    json => {
                        expect_object(json, may_be_cut)?;
                        self.json
                    }
                };
                Block::ToolCall(super::tool_call(&self.start, arguments)?)
            }
            _ => super::block(&self.start)?,
        })
    }
}

fn expect_object(json: &str, may_be_cut: bool) -> Result<(), String> {
    match json::object(json.as_bytes()) {
        Err(error) if !may_be_cut => Err(format!("input: {error}")),
        _ => Ok(()),
    }
}
