//! How to generate.

use serde_json::Value;

use super::{Generation, fields};
use crate::validate::json::optional;

pub(super) fn config(config: &Value, generation: Generation) -> Result<(), String> {
    let known = [
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "responseMimeType",
        "responseJsonSchema",
        "responseModalities",
        "mediaResolution",
        "thinkingConfig",
    ];
    for (key, value) in fields(config, "generationConfig", &known)? {
        let fits = match key.as_str() {
            "temperature" => value.as_f64().is_some_and(|number| (0.0..=2.0).contains(&number)),
            "topP" => value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)),
            "presencePenalty" | "frequencyPenalty" => value.is_number(),
            "topK" | "candidateCount" | "maxOutputTokens" | "logprobs" => value.as_u64().is_some_and(|n| n > 0),
            "seed" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            "stopSequences" => {
                let is_stop = |stop: &Value| stop.as_str().is_some_and(|stop| !stop.is_empty());
                value.as_array().is_some_and(|stops| (1..=5).contains(&stops.len()) && stops.iter().all(is_stop))
            }
            "responseLogprobs" => value.is_boolean(),
            "responseMimeType" => value == "application/json" || value == "text/plain",
            "responseJsonSchema" => value.is_object() && config["responseMimeType"] == "application/json",
            _ => true,
        };
        if !fits {
            return Err(format!("generationConfig.{key} is {value}"));
        }
    }
    if optional(config, "logprobs").is_some() && config["responseLogprobs"] != true {
        return Err("logprobs without responseLogprobs".to_owned());
    }
    optional(config, "thinkingConfig").map_or(Ok(()), |config| thinking(config, generation))
}

fn thinking(config: &Value, generation: Generation) -> Result<(), String> {
    let known = match generation {
        Generation::Older => return Err("Thinking is not supported by this model.".to_owned()),
        Generation::Second => ["includeThoughts", "thinkingBudget"],
        Generation::Third => ["includeThoughts", "thinkingLevel"],
    };
    for (key, value) in fields(config, "thinkingConfig", &known)? {
        let fits = match key.as_str() {
            "includeThoughts" => value.is_boolean(),
            "thinkingBudget" => value.as_i64().is_some_and(|tokens| (-1..=32_768).contains(&tokens)),
            _ => value.as_str().is_some_and(|level| ["MINIMAL", "LOW", "MEDIUM", "HIGH"].contains(&level)),
        };
        if !fits {
            return Err(format!("thinkingConfig.{key} is {value}"));
        }
    }
    Ok(())
}
