//! What a client should get: computed from what the model says and from what the policies are for.

use serde_json::Value;

use crate::{
    hear::Heard,
    plan::{Call, Dialect, INSTEAD, Plan, Policy, SECRET, Tool},
};

/// The length of the longest text that stands for a tool call, in characters, with the white space before it.
pub const REFUSAL_MAX: usize = 60;

/// The response that a client should get.
#[derive(Clone, Debug)]
pub struct Expected {
    thinking: String,
    /// The same as far as it came, where the response breaks off before the proof of it.
    unproven: String,
    /// In this order; between two of them there may be white space.
    text: Vec<String>,
    tools: Vec<ExpectedTool>,
    interleaved: bool,
    stop: &'static str,
    /// Whether the model may break off within the secret, of which so much is no secret.
    is_torn: bool,
}

#[derive(Clone, Debug)]
struct ExpectedTool {
    id: String,
    name: &'static str,
    arguments: Value,
}

impl Expected {
    pub fn of(plan: &Plan, call: &Call) -> Self {
        let response = &call.response;
        let quiet = |text: String| if plan.has(Policy::Replace) { text.replace(SECRET, INSTEAD) } else { text };
        let is_denied = |tool: &&Tool| plan.refuses(tool.name);
        let refusal = |tool: &Tool| format!("The call of {} was refused: it deletes", tool.name);
        let text =
            std::iter::once(quiet(response.text.concat())).chain(response.tools.iter().filter(is_denied).map(refusal));
        let allowed = response.tools.iter().filter(|tool| !is_denied(tool));
        let tools: Vec<_> = allowed
            .map(|tool| ExpectedTool {
                id: tool.id.clone(),
                name: tool.name,
                arguments: strings(&tool.arguments, &quiet),
            })
            .collect();
        let stop = match (call.client, tools.is_empty()) {
            (Dialect::OpenAi, true) => "stop",
            (Dialect::OpenAi, false) => "tool_calls",
            (Dialect::Anthropic, true) => "end_turn",
            (Dialect::Anthropic, false) => "tool_use",
        };
        let thinking = response.thinking.concat();
        // A provider's proof would not fit a changed thought: then it is left out.
        let signed = call.upstream == Dialect::Anthropic;
        let unproven = quiet(thinking.clone());
        let thinking = if signed && unproven != thinking { String::new() } else { unproven.clone() };
        Self {
            thinking,
            unproven,
            text: text.filter(|text| !text.is_empty()).collect(),
            tools,
            interleaved: response.interleaved,
            stop,
            is_torn: call.is_cut() && plan.has(Policy::Replace),
        }
    }

    /// Whether a client that understood so much has all.
    pub fn is_whole(&self, heard: &Heard) -> Result<(), String> {
        self.is_begun(heard)?;
        let expect = |what: &str, holds: bool| if holds { Ok(()) } else { Err(format!("{what} is not all there")) };
        expect("thinking", heard.thinking == self.thinking)?;
        expect("text", self.begins_with(&heard.text)? == Fit::Whole)?;
        expect("tools", heard.tools.len() == self.tools.len())?;
        for (tool, expected) in heard.tools.iter().zip(&self.tools) {
            expected.is_whole(&tool.arguments)?;
        }
        match heard.stop.as_deref() {
            Some(stop) if stop == self.stop => Ok(()),
            other => Err(format!("stopped for {other:?}, not {}", self.stop)),
        }
    }

    /// Whether all that a client understood so far is what it should get.
    pub fn is_begun(&self, heard: &Heard) -> Result<(), String> {
        let thinking = self.untorn(&heard.thinking, |text| self.unproven.starts_with(text));
        let is_unproven = heard.text.is_empty() && heard.tools.is_empty() && self.unproven.starts_with(thinking);
        if !self.thinking.starts_with(thinking) && !is_unproven {
            return Err(format!("thinking {:?} is not how {:?} begins", heard.thinking, self.thinking));
        }
        self.begins_with(self.untorn(&heard.text, |text| self.begins_with(text).is_ok()))?;
        if heard.tools.len() > self.tools.len() {
            return Err(format!("too many tool calls: {:?}", heard.tools));
        }
        for (tool, expected) in heard.tools.iter().zip(&self.tools) {
            if tool.id != expected.id || tool.name != expected.name {
                return Err(format!("tool call {tool:?} is not {expected:?}"));
            }
        }
        // All but the last must be complete, where one comes behind the other.
        let complete = if self.interleaved { 0 } else { heard.tools.len().saturating_sub(1) };
        for (tool, expected) in heard.tools.iter().zip(&self.tools).take(complete) {
            expected.is_whole(&tool.arguments)?;
        }
        Ok(())
    }

    /// The text without how the secret begins, where it was torn there.
    fn untorn<'a>(&self, text: &'a str, fits: impl Fn(&str) -> bool) -> &'a str {
        let torn = (1..SECRET.len()).filter_map(|length| text.strip_suffix(&SECRET[..length]));
        let mut untorn = torn.filter(|text| self.is_torn && fits(text));
        if fits(text) { text } else { untorn.next().unwrap_or(text) }
    }

    fn begins_with(&self, text: &str) -> Result<Fit, String> {
        let mut rest = text;
        for part in &self.text {
            if let Some(behind) = rest.strip_prefix(part.as_str()) {
                rest = behind;
                continue;
            }
            let trimmed = rest.trim_start();
            if let Some(behind) = trimmed.strip_prefix(part.as_str()) {
                rest = behind;
                continue;
            }
            if part.starts_with(rest) || part.starts_with(trimmed) {
                return Ok(Fit::Part);
            }
            return Err(format!("text {text:?} is not how {:?} begins", self.text));
        }
        if rest.is_empty() { Ok(Fit::Whole) } else { Err(format!("text {rest:?} is too much, behind {:?}", self.text)) }
    }
}

#[derive(PartialEq)]
enum Fit {
    Whole,
    Part,
}

impl ExpectedTool {
    fn is_whole(&self, arguments: &str) -> Result<(), String> {
        match serde_json::from_str::<Value>(arguments) {
            Ok(value) if value == self.arguments => Ok(()),
            _ => Err(format!("arguments {arguments} of {} are not {}", self.id, self.arguments)),
        }
    }
}

fn strings(value: &Value, change: &impl Fn(String) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text.clone())),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), strings(value, change))).collect(),
        other => other.clone(),
    }
}
