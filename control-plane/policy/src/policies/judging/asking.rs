//! How a judge is asked: the part of the configuration that all judges have in common.

use std::time::Duration;

use luthien_proto::{
    Request,
    json::Extras,
    message::Credentials,
    request::{ContentBlock, Message, OutputFormat, Sampling},
};
use serde_json::{Map, Value, json};

use crate::{BuildError, Question, policies::durations, set::Fields};

const RETRIES: u32 = 1;
const RETRIES_MAX: u32 = 10;

/// Who is asked, and how often.
pub(in super::super) struct Asking {
    model: String,
    upstream: String,
    credentials: Credentials,
    sampling: Sampling,
    /// How often a question is asked again that was not answered as it should be.
    pub retries: u32,
    deadline: Option<Duration>,
    pub on_error: OnError,
}

/// What becomes of what could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum OnError {
    Refuse,
    Pass,
}

impl Asking {
    /// `tokens`: how many an answer may cost where nothing is configured.
    pub fn read(fields: &mut Fields, tokens: u64) -> Result<Self, BuildError> {
        let model: Option<String> = fields.optional("model")?;
        Ok(Self {
            model: model
                .filter(|model| !model.is_empty())
                .ok_or_else(|| error("model", "it is missing: name the judge"))?,
            upstream: fields.optional("upstream")?.unwrap_or_default(),
            credentials: credentials(fields.optional("credentials")?)?,
            sampling: sampling(fields.optional("temperature")?, fields.optional("max_tokens")?.unwrap_or(tokens))?,
            retries: retries(fields.optional("retries")?)?,
            deadline: fields.optional::<String>("deadline")?.map(|text| deadline(&text)).transpose()?,
            on_error: on_error(fields.optional("on_error")?)?,
        })
    }

    /// A question. `reuse`: what was answered to an equal one will do.
    pub fn question(&self, instructions: String, told: String, reuse: bool) -> Question {
        let said = |text: String| vec![ContentBlock::Text(text).into()];
        let asked = Message { role: "user".to_owned(), content: said(told), extras: Extras::NONE };
        let request = Request {
            model: self.model.clone(),
            choices: 1,
            system: said(instructions),
            messages: vec![asked],
            sampling: self.sampling.clone(),
            output: Some(OutputFormat::JsonObject),
            ..Request::default()
        };
        let (upstream, credentials, deadline) = (self.upstream.clone(), self.credentials, self.deadline);
        Question { request, upstream, credentials, deadline, reuse }
    }

    /// The properties that [`Self::read`] reads.
    pub fn properties(tokens: u64) -> Map<String, Value> {
        let key = |type_: &str, description: &str, more: Value| {
            let mut property = Map::new();
            property.insert("type".to_owned(), type_.into());
            property.insert("description".to_owned(), description.into());
            property.extend(more.as_object().cloned().unwrap_or_default());
            Value::Object(property)
        };
        let properties = [
            ("model", key("string", "The judge, as data planes route models.", json!({}))),
            (
                "upstream",
                key(
                    "string",
                    "The upstream to ask, by its name in the data plane's configuration; left out: where the data plane's \
                     routes lead the model.",
                    json!({}),
                ),
            ),
            (
                "credentials",
                key(
                    "string",
                    "With whose credentials: the upstream's own, or the client's, which go nowhere but to the upstream of \
                     its call.",
                    json!({ "enum": ["configured", "caller"], "default": "configured" }),
                ),
            ),
            (
                "temperature",
                key(
                    "number",
                    "How freely the judge picks its words; left out: as the provider does.",
                    json!({ "minimum": 0 }),
                ),
            ),
            (
                "max_tokens",
                key(
                    "integer",
                    "The most tokens that the judge may make, reasoning included.",
                    json!({ "minimum": 1, "default": tokens }),
                ),
            ),
            (
                "retries",
                key(
                    "integer",
                    "How often the judge is asked again that failed, or did not answer as it should.",
                    json!({ "minimum": 0, "maximum": RETRIES_MAX, "default": RETRIES }),
                ),
            ),
            (
                "deadline",
                key(
                    "string",
                    "How long each answer may take (500ms, 10s, 1m30s); left out: as long as the data plane lets it.",
                    json!({}),
                ),
            ),
            (
                "on_error",
                key(
                    "string",
                    "What becomes of what could not be judged.",
                    json!({ "enum": ["refuse", "pass"], "default": "refuse" }),
                ),
            ),
        ];
        properties.into_iter().map(|(name, property)| (name.to_owned(), property)).collect()
    }
}

fn error(key: &str, why: impl Into<String>) -> BuildError {
    BuildError::new(key, why)
}

fn credentials(word: Option<String>) -> Result<Credentials, BuildError> {
    match word.as_deref() {
        None | Some("configured") => Ok(Credentials::Configured),
        Some("caller") => Ok(Credentials::Caller),
        Some(other) => Err(error("credentials", format!("there is no {other:?}; there are: configured, caller"))),
    }
}

fn sampling(temperature: Option<f64>, tokens: u64) -> Result<Sampling, BuildError> {
    if temperature.is_some_and(|temperature| temperature < 0.0) {
        return Err(error("temperature", "it is less than 0"));
    }
    if tokens == 0 {
        return Err(error("max_tokens", "it is 0: no answer fits"));
    }
    Ok(Sampling { temperature, max_output_tokens: Some(tokens), ..Sampling::default() })
}

fn retries(number: Option<u32>) -> Result<u32, BuildError> {
    let number = number.unwrap_or(RETRIES);
    match number <= RETRIES_MAX {
        true => Ok(number),
        false => Err(error("retries", format!("{number} is more than {RETRIES_MAX}"))),
    }
}

fn on_error(word: Option<String>) -> Result<OnError, BuildError> {
    match word.as_deref() {
        None | Some("refuse") => Ok(OnError::Refuse),
        Some("pass") => Ok(OnError::Pass),
        Some(other) => Err(error("on_error", format!("there is no {other:?}; there are: refuse, pass"))),
    }
}

fn deadline(text: &str) -> Result<Duration, BuildError> {
    durations::read(text).map_err(|why| error("deadline", why))
}
