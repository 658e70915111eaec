//! What a client understands of the bytes that it has so far: no more than an agent's own reader would.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::plan::Dialect;

/// As much of a response as was understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    pub thinking: String,
    pub text: String,
    pub tools: Vec<HeardTool>,
    /// Why it stopped, in the dialect's word.
    pub stop: Option<String>,
    /// The dialect's own end has come: there is nothing more, and nothing went wrong.
    pub ended: bool,
    /// The dialect's error.
    pub error: Option<String>,
    /// Which tool call is in which of Anthropic's blocks.
    blocks: BTreeMap<u64, usize>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeardTool {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

/// Reads a stream, as far as it came.
pub fn stream(dialect: Dialect, body: &[u8]) -> Result<Heard, String> {
    let mut heard = Heard::default();
    let whole = body.windows(2).rposition(|two| two == b"\n\n").map_or(0, |at| at + 2);
    let text = std::str::from_utf8(&body[..whole]).map_err(|error| error.to_string())?;
    for event in text.split_terminator("\n\n") {
        let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
        if heard.ended || heard.error.is_some() {
            return Err(format!("behind the end: {data}"));
        }
        if dialect == Dialect::OpenAi && data == "[DONE]" {
            heard.ended = true;
            continue;
        }
        let data: Value = serde_json::from_str(data).map_err(|error| format!("{error}: {data}"))?;
        match dialect {
            Dialect::OpenAi => heard.openai(&data)?,
            Dialect::Anthropic => heard.anthropic(&data)?,
        }
    }
    Ok(heard)
}

/// Reads a body that did not stream.
pub fn whole(dialect: Dialect, body: &[u8]) -> Result<Heard, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut heard = Heard::default();
    if let Some(error) = error_of(&body) {
        heard.error = Some(error);
        return Ok(heard);
    }
    heard.ended = true;
    match dialect {
        Dialect::OpenAi => {
            let choice = &body["choices"][0];
            heard.openai_delta(&choice["message"])?;
            heard.stop = text(&choice["finish_reason"]);
        }
        Dialect::Anthropic => {
            for block in body["content"].as_array().into_iter().flatten() {
                heard.anthropic_block(block);
            }
            heard.stop = text(&body["stop_reason"]);
        }
    }
    Ok(heard)
}

fn error_of(body: &Value) -> Option<String> {
    body.get("error").filter(|error| !error.is_null()).map(ToString::to_string)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn add(to: &mut String, piece: &Value) {
    to.push_str(piece.as_str().unwrap_or_default());
}

impl Heard {
    fn openai(&mut self, data: &Value) -> Result<(), String> {
        self.error = error_of(data);
        for choice in data["choices"].as_array().into_iter().flatten() {
            self.openai_delta(&choice["delta"])?;
            if let Some(stop) = text(&choice["finish_reason"])
                && let Some(before) = self.stop.replace(stop)
            {
                return Err(format!("a second finish_reason, behind {before}"));
            }
        }
        Ok(())
    }

    fn openai_delta(&mut self, delta: &Value) -> Result<(), String> {
        add(&mut self.thinking, &delta["reasoning_content"]);
        add(&mut self.text, &delta["content"]);
        for (place, call) in delta["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let index = call["index"].as_u64().map_or(place, |index| index as usize);
            if let Some(id) = text(&call["id"]) {
                if index != self.tools.len() {
                    return Err(format!("tool call {index} begins as number {}", self.tools.len()));
                }
                self.tools.push(HeardTool { id, ..HeardTool::default() });
            }
            let tool = self.tools.get_mut(index).ok_or("a delta of no tool call")?;
            add(&mut tool.name, &call["function"]["name"]);
            add(&mut tool.arguments, &call["function"]["arguments"]);
        }
        Ok(())
    }

    fn anthropic(&mut self, data: &Value) -> Result<(), String> {
        match data["type"].as_str().unwrap_or_default() {
            "message_start" | "ping" | "content_block_stop" => {}
            "content_block_start" => {
                self.anthropic_block(&data["content_block"]);
                if data["content_block"]["type"] == "tool_use" {
                    self.blocks.insert(data["index"].as_u64().unwrap_or_default(), self.tools.len() - 1);
                }
            }
            "content_block_delta" => {
                let delta = &data["delta"];
                add(&mut self.thinking, &delta["thinking"]);
                add(&mut self.text, &delta["text"]);
                if let Some(json) = delta["partial_json"].as_str() {
                    let tool = data["index"].as_u64().and_then(|index| self.blocks.get(&index));
                    let tool = tool.and_then(|&tool| self.tools.get_mut(tool));
                    tool.ok_or("a delta of no tool call")?.arguments.push_str(json);
                }
            }
            "message_delta" => self.stop = text(&data["delta"]["stop_reason"]).or(self.stop.take()),
            "message_stop" => self.ended = true,
            "error" => self.error = error_of(data),
            other => return Err(format!("an event {other:?}")),
        }
        Ok(())
    }

    /// A block of a whole body, or the beginning of one.
    fn anthropic_block(&mut self, block: &Value) {
        add(&mut self.thinking, &block["thinking"]);
        add(&mut self.text, &block["text"]);
        if block["type"] == "tool_use" {
            let arguments = match &block["input"] {
                Value::Object(input) if input.is_empty() => String::new(),
                input => input.to_string(),
            };
            let (id, name) = (text(&block["id"]).unwrap_or_default(), text(&block["name"]).unwrap_or_default());
            self.tools.push(HeardTool { id, name, arguments });
        }
    }
}
