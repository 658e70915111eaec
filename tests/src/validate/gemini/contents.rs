//! The conversation.

use serde_json::Value;

use super::{Generation, fields, list};
use crate::validate::json::{nonempty, optional, string};

/// What a part holds: one of these.
const DATA: [&str; 5] = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];

pub(super) fn system(system: &Value) -> Result<(), String> {
    fields(system, "systemInstruction", &["role", "parts"])?;
    for part in list(system, "parts")? {
        fields(part, "systemInstruction.parts", &["text"])?;
        nonempty(part, "text")?;
    }
    Ok(())
}

pub(super) fn contents(contents: &[Value], generation: Generation) -> Result<(), String> {
    let mut calls = Vec::new();
    for (at, content) in contents.iter().enumerate() {
        let place = |error: String| format!("contents[{at}]: {error}");
        fields(content, "contents", &["role", "parts"]).map_err(place)?;
        let expected = if at % 2 == 0 { "user" } else { "model" };
        if string(content, "role").map_err(place)? != expected {
            return Err(place(format!("it is not the {expected}'s turn")));
        }
        let parts = list(content, "parts").map_err(place)?;
        parts.iter().try_for_each(|part| self::part(part, expected)).map_err(place)?;
        let answers: Vec<_> = parts.iter().filter_map(|part| optional(part, "functionResponse")).collect();
        answered(&calls, &answers).map_err(place)?;
        calls = parts.iter().filter_map(|part| optional(part, "functionCall")).collect();
    }
    if generation == Generation::Third { signed(contents) } else { Ok(()) }
}

fn part(part: &Value, role: &str) -> Result<(), String> {
    let mut known = DATA.to_vec();
    known.extend(["thought", "thoughtSignature", "videoMetadata"]);
    let object = fields(part, "parts", &known)?;
    let data: Vec<_> = object.keys().filter(|key| DATA.contains(&key.as_str())).collect();
    let [data] = data[..] else { return Err(format!("a part of {data:?}")) };
    let signature = optional(part, "thoughtSignature");
    if let Some(signature) = signature {
        base64(signature)?;
    }
    let inner = &part[data];
    match (data.as_str(), role) {
        ("text", _) if signature.is_some() => string(part, "text").map(drop),
        ("text", _) => nonempty(part, "text").map(drop),
        ("inlineData", _) => inline(inner),
        ("fileData", _) => {
            fields(inner, "fileData", &["mimeType", "fileUri"])?;
            nonempty(inner, "fileUri").map(drop)
        }
        ("functionCall", "model") => {
            fields(inner, "functionCall", &["id", "name", "args"])?;
            optional(inner, "id").map_or(Ok(""), |_| nonempty(inner, "id"))?;
            nonempty(inner, "name")?;
            if inner["args"].is_object() { Ok(()) } else { Err(format!("args are no object: {}", inner["args"])) }
        }
        ("functionResponse", "user") => {
            fields(inner, "functionResponse", &["id", "name", "response", "parts"])?;
            nonempty(inner, "name")?;
            if !inner["response"].is_object() {
                return Err(format!("the response is no object: {}", inner["response"]));
            }
            let parts = inner["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
            parts.iter().try_for_each(|part| {
                fields(part, "functionResponse.parts", &["inlineData"])?;
                inline(&part["inlineData"])
            })
        }
        (data, role) => Err(format!("a {data} of the {role}")),
    }
}

fn inline(data: &Value) -> Result<(), String> {
    fields(data, "inlineData", &["mimeType", "data"])?;
    if !string(data, "mimeType")?.contains('/') {
        return Err(format!("mimeType is {}", data["mimeType"]));
    }
    base64(&data["data"])
}

fn base64(value: &Value) -> Result<(), String> {
    let text = value.as_str().ok_or_else(|| format!("no base64: {value}"))?;
    let digits = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    if digits.is_empty() || !digits.bytes().all(is_digit) || text.len() % 4 != 0 || text.len() - digits.len() > 2 {
        return Err(format!("no base64: {text}"));
    }
    Ok(())
}

/// Each call of the turn before has one response.
fn answered(calls: &[&Value], answers: &[&Value]) -> Result<(), String> {
    if calls.len() != answers.len() {
        return Err(
            "Please ensure that the number of function response parts is equal to the number of function call \
                    parts of the function call turn."
                .to_owned(),
        );
    }
    let same = |call: &Value, answer: &Value| call["name"] == answer["name"] && call.get("id") == answer.get("id");
    match calls.iter().zip(answers).find(|(call, answer)| !same(call, answer)) {
        Some((call, answer)) => Err(format!("{answer} does not answer {call}")),
        None => Ok(()),
    }
}

/// In the current turn, the first call of each step is signed.
fn signed(contents: &[Value]) -> Result<(), String> {
    let parts = |content: &Value| content["parts"].as_array().cloned().unwrap_or_default();
    let is_answer = |content: &Value| parts(content).iter().any(|part| part.get("functionResponse").is_some());
    let begin = contents.iter().rposition(|content| content["role"] == "user" && !is_answer(content)).unwrap_or(0);
    for content in &contents[begin..] {
        let parts = parts(content);
        let call = parts.iter().find(|part| part.get("functionCall").is_some());
        if let Some(call) = call.filter(|call| call.get("thoughtSignature").is_none()) {
            return Err(format!("Function call is missing a thought_signature in functionCall parts: {call}"));
        }
    }
    Ok(())
}
