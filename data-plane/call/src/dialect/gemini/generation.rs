//! How to pick tokens, and what the answer is to look like: `generationConfig`.

use luthien_proto::request::{OutputFormat, Request, Sampling};
use serde_json::Value;

use super::{model::Model, thoughts};
use crate::dialect::{fields::Object, target::Lost};

/// The `generationConfig`; empty if there is nothing to say.
pub(super) fn config(request: &Request, model: Model, lost: &mut Lost) -> Object {
    let mut config = Object::new();
    if request.choices > 1 {
        config.insert("candidateCount".to_owned(), request.choices.into());
    }
    sampling(&request.sampling, &mut config, lost);
    if let Some(format) = &request.output {
        output(format, &mut config);
    }
    if let Some(thinking) = thoughts::config(&request.reasoning, model, lost) {
        config.insert("thinkingConfig".to_owned(), Value::Object(thinking));
    }
    config
}

fn sampling(sampling: &Sampling, config: &mut Object, lost: &mut Lost) {
    let stop: Vec<&String> = sampling.stop.iter().filter(|stop| !stop.is_empty()).collect();
    // The provider counts in 32 bits.
    let seed = sampling.seed.map(i32::try_from);
    if let Some(Err(_)) = seed {
        lost.drop("seed");
    }
    let fields = [
        ("maxOutputTokens", sampling.max_output_tokens.map(Value::from)),
        ("temperature", sampling.temperature.map(Value::from)),
        ("topP", sampling.top_p.map(Value::from)),
        ("topK", sampling.top_k.map(Value::from)),
        ("stopSequences", (!stop.is_empty()).then(|| stop.into_iter().map(String::as_str).collect())),
        ("seed", seed.and_then(Result::ok).map(Value::from)),
        ("presencePenalty", sampling.presence_penalty.map(Value::from)),
        ("frequencyPenalty", sampling.frequency_penalty.map(Value::from)),
        ("responseLogprobs", sampling.logprobs.map(|_| Value::from(true))),
        ("logprobs", sampling.logprobs.filter(|alternatives| *alternatives > 0).map(Value::from)),
    ];
    for (key, value) in fields {
        if let Some(value) = value {
            config.insert(key.to_owned(), value);
        }
    }
}

fn output(format: &OutputFormat, config: &mut Object) {
    let schema = match format {
        OutputFormat::Text => return,
        OutputFormat::JsonObject => None,
        OutputFormat::JsonSchema { schema, .. } => Some(schema).filter(|schema| !schema.is_null()),
    };
    config.insert("responseMimeType".to_owned(), "application/json".into());
    if let Some(schema) = schema {
        config.insert("responseJsonSchema".to_owned(), schema.clone());
    }
}
