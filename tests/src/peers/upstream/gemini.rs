//! A provider that speaks Gemini: it refuses what Google would refuse, and answers each turn by the script, in the form that
//! it is asked for.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

use super::{Exchange, Reply, Upstream};
use crate::validate::gemini::{self, Method};

impl Upstream {
    /// Answers as Gemini does, to whoever has the key: a turn of the script for each request, given as the chunks of a
    /// stream; of an answer that is not streamed they are one body. Tokens are counted as bytes, and use up no turn. What
    /// breaks a rule is answered with Google's error, what asks for more turns than there are with 500.
    pub fn speak_gemini(&self, key: &str, turns: impl IntoIterator<Item = Vec<Value>>) {
        let key = key.to_owned();
        let turns = Mutex::new(turns.into_iter().collect::<VecDeque<_>>());
        self.answer_by(move |exchange| {
            let next = || turns.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            Some(answer(exchange, &key, next).unwrap_or_else(|refused| *refused))
        });
    }
}

fn answer(exchange: &Exchange, key: &str, next: impl FnOnce() -> Option<Vec<Value>>) -> Result<Reply, Box<Reply>> {
    if exchange.method != "POST" || exchange.header("content-type") != "application/json" {
        return Err(error(404, "NOT_FOUND", "Not a POST of JSON."));
    }
    if exchange.header("x-goog-api-key") != key {
        return Err(error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."));
    }
    let asked = gemini::request(&exchange.path, &exchange.body);
    let asked = asked.map_err(|rule| error(400, "INVALID_ARGUMENT", &rule))?;
    if asked.method == Method::Count {
        return Ok(Reply::json(200, &json!({"totalTokens": asked.request.to_string().len()})));
    }
    let chunks = next().ok_or_else(|| error(500, "INTERNAL", "The script has no further turn."))?;
    Ok(match asked.method {
        Method::Stream => chunks.iter().fold(Reply::sse(), |reply, chunk| reply.send(format!("data: {chunk}\r\n\r\n"))),
        Method::Generate | Method::Count => Reply::json(200, &whole(&chunks)),
    })
}

fn error(status: u16, word: &str, message: &str) -> Box<Reply> {
    Box::new(Reply::json(status, &json!({"error": {"code": status, "message": message, "status": word}})))
}

/// What a stream of these chunks says, as one body.
fn whole(chunks: &[Value]) -> Value {
    let mut whole = json!({});
    for chunk in chunks {
        for (key, value) in chunk.as_object().into_iter().flatten() {
            match value {
                Value::Array(candidates) if key == "candidates" => add(&mut whole, candidates),
                value => whole[key] = value.clone(),
            }
        }
    }
    whole
}

fn add(whole: &mut Value, candidates: &[Value]) {
    for candidate in candidates {
        let index = candidate["index"].as_u64().unwrap_or(0);
        let known = whole["candidates"].as_array().into_iter().flatten();
        let at = known.take_while(|known| known["index"] != index).count();
        if whole["candidates"].get(at).is_none() {
            let begun = json!({"content": {"role": "model", "parts": []}, "index": index});
            match &mut whole["candidates"] {
                Value::Array(candidates) => candidates.push(begun),
                none => *none = json!([begun]),
            }
        }
        let into = &mut whole["candidates"][at];
        for (key, value) in candidate.as_object().into_iter().flatten().filter(|(key, _)| *key != "content") {
            into[key] = value.clone();
        }
        let parts = candidate["content"]["parts"].as_array().cloned().unwrap_or_default();
        if let Value::Array(all) = &mut into["content"]["parts"] {
            parts.into_iter().for_each(|part| join(all, part));
        }
    }
}

/// Pieces of a text are one part.
fn join(parts: &mut Vec<Value>, mut part: Value) {
    let is_text = |part: &Value| part["text"].is_string();
    match parts.last_mut() {
        Some(last)
            if is_text(last)
                && is_text(&part)
                && last["thought"] == part["thought"]
                && last["thoughtSignature"].is_null() =>
        {
            part["text"] =
                format!("{}{}", last["text"].as_str().unwrap_or_default(), part["text"].as_str().unwrap_or_default())
                    .into();
            *last = part;
        }
        Some(_) | None if part == json!({"text": ""}) => {}
        Some(_) | None => parts.push(part),
    }
}
