//! Tells a scene: what the model said, what the client's socket got, what is on record.

use std::fmt::{self, Write};

use serde_json::Value;

use super::{
    client::Received,
    scene::{Piece, Scene},
};
use crate::style::Style;

/// A scene and what came of it.
pub struct Story<'a> {
    /// Which one, from 1.
    pub number: usize,
    /// The scene.
    pub scene: &'a Scene,
    /// What the client's socket got.
    pub received: &'a Received,
    /// What the admin API says of the call.
    pub record: &'a Value,
}

impl Story<'_> {
    /// The scene as text.
    pub fn tell(&self, style: Style) -> Result<String, fmt::Error> {
        let mut out = String::new();
        let Scene { title, lead, script } = self.scene;
        writeln!(out, "{}", style.heading(format_args!("{}. {title}", self.number)))?;
        writeln!(out, "   {}\n", style.quiet(lead))?;
        writeln!(out, "   the model said")?;
        for piece in *script {
            writeln!(out, "     {}", said(piece))?;
        }
        self.tell_socket(&mut out, style)?;
        self.tell_record(&mut out, style)?;
        Ok(out)
    }

    fn tell_socket(&self, out: &mut String, style: Style) -> fmt::Result {
        writeln!(out, "\n   the client's socket got")?;
        for (at, bytes) in &self.received.pieces {
            for event in String::from_utf8_lossy(bytes).lines().filter_map(|line| line.strip_prefix("data: ")) {
                if let Some(line) = serde_json::from_str(event).ok().and_then(|event| told(&event)) {
                    writeln!(out, "     {} {line}", style.quiet(format_args!("{:>4} ms", at.as_millis())))?;
                }
            }
        }
        Ok(())
    }

    fn tell_record(&self, out: &mut String, style: Style) -> fmt::Result {
        writeln!(out, "\n   on record {}", style.quiet(format_args!("(call {})", self.received.call_id)))?;
        let entries = self.record["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        for body in entries.iter().map(|entry| &entry["body"]) {
            match body["type"].as_str() {
                Some("block") => tell_block(out, style, body)?,
                Some("verdict") => writeln!(
                    out,
                    "     verdict: {} by {}",
                    body["decision"].as_str().unwrap_or_default(),
                    names(&body["policies"])
                )?,
                Some("outcome") => writeln!(out, "     outcome: {}", body["outcome"].as_str().unwrap_or_default())?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn tell_block(out: &mut String, style: Style, body: &Value) -> fmt::Result {
    let kind = body["kind"].as_str().unwrap_or_default();
    let (original, settled) = (content(&body["original"]), content(&body["final"]));
    match (original, settled) {
        (Some(text), Some(same)) if text == same => writeln!(out, "     {kind}, unchanged: {text}"),
        (Some(was), Some(is)) => {
            writeln!(out, "     {kind}, model:  {}", style.withheld(was))?;
            writeln!(out, "     {kind}, client: {}", style.made(is))
        }
        (Some(was), None) => writeln!(out, "     {kind}, withheld: {}", style.withheld(was)),
        (None, Some(is)) => writeln!(out, "     {kind}, by a policy: {}", style.made(is)),
        (None, None) => Ok(()),
    }
}

fn content(content: &Value) -> Option<String> {
    let name = content["name"].as_str().map(|name| format!("{name} "));
    let text = content["text"].as_str().or(content["arguments"].as_str())?;
    Some(format!("{}{text}", name.unwrap_or_default()))
}

fn names(names: &Value) -> String {
    let names: Vec<&str> = names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(", ")
}

fn said(piece: &Piece) -> String {
    let (head, pieces) = match piece {
        Piece::Text(pieces) => ("text".to_owned(), pieces),
        Piece::ToolCall { name, arguments, .. } => (format!("tool call {name}"), arguments),
    };
    format!("{head}: {}", pieces.join("·"))
}

/// One line about an SSE event of the client's, if it has content.
fn told(event: &Value) -> Option<String> {
    match event["type"].as_str()? {
        "content_block_start" => {
            let name = event["content_block"]["name"].as_str()?;
            Some(format!("tool call {name}"))
        }
        "content_block_delta" => {
            let delta = &event["delta"];
            let text = delta["text"].as_str().or(delta["partial_json"].as_str())?;
            Some(format!("{text:?}"))
        }
        "message_delta" => Some(format!("stop reason: {}", event["delta"]["stop_reason"].as_str()?)),
        "error" => Some(format!("error: {}", event["error"]["message"].as_str()?)),
        _ => None,
    }
}
