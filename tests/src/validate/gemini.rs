//! Requests to Gemini, as Google takes them: it refuses every field that it does not know, calls that are not answered one
//! by one, and from the third generation on calls of the current turn that are not signed.

mod contents;
mod generation;
mod tools;

use serde_json::{Map, Value};

use super::json::{self, optional};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The model.
    pub model: String,
    /// How.
    pub method: Method,
    /// The request; of [`Method::Count`], the one that is to be counted.
    pub request: Value,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// An answer.
    Generate,
    /// An answer as a stream of SSE events.
    Stream,
    /// How many tokens the request has.
    Count,
}

/// Reads a request.
///
/// # Errors
/// The first rule that it breaks.
pub fn request(path: &str, body: &[u8]) -> Result<Asked, String> {
    let (model, method) = target(path)?;
    let body = json::object(body)?;
    let request = match method {
        Method::Generate | Method::Stream => body,
        Method::Count => counted(&body, &model)?,
    };
    whole(&request, &model)?;
    Ok(Asked { model, method, request })
}

fn target(path: &str) -> Result<(String, Method), String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let rest = path.strip_prefix("/v1beta/models/").ok_or_else(|| format!("the path {path}"))?;
    let (model, method) = rest.split_once(':').ok_or_else(|| format!("no method in {path}"))?;
    let method = match (method, query) {
        ("generateContent", "") => Method::Generate,
        ("streamGenerateContent", "alt=sse") => Method::Stream,
        ("countTokens", "") => Method::Count,
        _ => return Err(format!("the method {method} with the query {query:?}")),
    };
    if model.is_empty() || model.contains('/') {
        return Err(format!("the model {model:?}"));
    }
    Ok((model.to_owned(), method))
}

/// What is to be counted names its model itself.
fn counted(body: &Value, model: &str) -> Result<Value, String> {
    fields(body, "the body", &["generateContentRequest"])?;
    let mut request = body["generateContentRequest"].clone();
    let named = request.as_object_mut().and_then(|request| request.shift_remove("model"));
    if named != Some(format!("models/{model}").into()) {
        return Err(format!("generateContentRequest.model is {named:?}"));
    }
    Ok(request)
}

fn whole(request: &Value, model: &str) -> Result<(), String> {
    let known = [
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "safetySettings",
        "cachedContent",
        "labels",
        "serviceTier",
        "store",
    ];
    fields(request, "the request", &known)?;
    let generation = generation_of(model);
    if let Some(system) = optional(request, "systemInstruction") {
        contents::system(system)?;
    }
    contents::contents(list(request, "contents")?, generation)?;
    let functions = match optional(request, "tools") {
        Some(_) => tools::tools(list(request, "tools")?)?,
        None => Vec::new(),
    };
    if let Some(config) = optional(request, "toolConfig") {
        tools::config(config, &functions)?;
    }
    if let Some(config) = optional(request, "generationConfig") {
        generation::config(config, generation)?;
    }
    match optional(request, "serviceTier").map(|tier| tier.as_str()) {
        None | Some(Some("standard" | "flex" | "priority")) => {}
        Some(other) => return Err(format!("serviceTier is {other:?}")),
    }
    match optional(request, "store") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(other) => Err(format!("store is {other}")),
    }
}

/// What the number in a model's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// Those that don't think.
    Older,
    /// Thinks by budgets.
    Second,
    /// Thinks by levels, and signs its calls.
    Third,
}

fn generation_of(model: &str) -> Generation {
    match model.strip_prefix("gemini-") {
        Some(rest) if rest.starts_with("2.5") => Generation::Second,
        Some(rest) if rest.starts_with(['3', '4', '5']) || rest.ends_with("-latest") => Generation::Third,
        Some(_) | None => Generation::Older,
    }
}

/// An object of which each field is one of these.
fn fields<'a>(value: &'a Value, place: &str, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or_else(|| format!("{place} is no object: {value}"))?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            Err(format!("Invalid JSON payload received. Unknown name \"{key}\" at '{place}': Cannot find field."))
        }
        None => Ok(object),
    }
}

/// A list that is not empty.
fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value], String> {
    let list = value[key].as_array().map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() { Err(format!("{key} is no list, or empty: {}", value[key])) } else { Ok(list) }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
