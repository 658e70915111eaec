//! What the model says.

use serde_json::{Value, json};

use super::SECRET;
use crate::rng::Rng;

/// A response, as the model means it: reasoning, then text, then tool calls.
#[derive(Clone, Debug)]
pub struct Response {
    /// In pieces.
    pub thinking: Vec<String>,
    /// In pieces.
    pub text: Vec<String>,
    pub tools: Vec<Tool>,
    /// Whether the calls of a stream come in turns.
    pub interleaved: bool,
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Tool {
    pub id: String,
    pub name: &'static str,
    pub arguments: Value,
    /// The same, in pieces.
    pub pieces: Vec<String>,
}

impl Response {
    pub fn of(rng: &mut Rng, number: u64, thinks: bool) -> Self {
        let mut mark = 0;
        let thinking = if thinks && rng.chance(30) { prose(rng, number, &mut mark, 12) } else { Vec::new() };
        let long = *rng.pick(&[1, 8, 40, 200]);
        let text = if rng.chance(90) { prose(rng, number, &mut mark, long) } else { Vec::new() };
        let tools = if rng.chance(50) { rng.within(1..=3) } else { u64::from(text.is_empty()) };
        let tools = (0..tools).map(|tool| Tool::of(rng, number, tool)).collect();
        Self { thinking, text, tools, interleaved: rng.chance(30) }
    }
}

impl Tool {
    fn of(rng: &mut Rng, call: u64, number: u64) -> Self {
        let name = *rng.pick(&["read_file", "search", "delete_file", "delete_all"]);
        let word = if rng.chance(30) { SECRET } else { "plain" };
        let arguments = json!({ "path": format!("/c{call}/t{number}/{word}/\u{e9}\""), "count": number });
        let text = arguments.to_string();
        Self { id: format!("call_{call}_{number}"), name, arguments, pieces: split(rng, &text) }
    }
}

/// Words that can be told apart, among them the secret, what looks like it, and letters of several bytes.
fn prose(rng: &mut Rng, call: u64, mark: &mut u64, most: u64) -> Vec<String> {
    let mut text = String::new();
    for _ in 0..rng.within(1..=most) {
        *mark += 1;
        text.push_str(&format!("c{call}w{mark} "));
        if rng.chance(25) {
            text.push_str(rng.pick::<&str>(&[
                SECRET,
                "hus",
                "hushush",
                "Hush",
                "h",
                "hu sh",
                "\u{1f910}\u{e9}",
                "\"\\\n",
            ]));
            if rng.chance(70) {
                text.push(' ');
            }
        }
    }
    split(rng, &text)
}

/// At any character, and never into nothing.
fn split(rng: &mut Rng, text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let size = rng.pick(&[1..=3, 1..=12, 200..=200]).clone();
    let mut from = 0;
    let pieces = rng.cuts(chars.len(), size).into_iter().map(|end| {
        let piece = chars[from..end].iter().collect();
        from = end;
        piece
    });
    pieces.collect()
}
