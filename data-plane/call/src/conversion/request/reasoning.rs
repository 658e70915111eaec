//! How much to reason: by effort, by a budget of tokens, or as the model sees fit, as the target's model is told.

use luthien_proto::{
    Request,
    request::{Dialect, Reasoning, ReasoningMode, ToolChoice},
};
use serde_json::{Value, json};

use super::{Way, thinking};
use crate::dialect::Lost;

/// What a wish to reason is called.
const ASKED: &str = "reasoning_effort";
const ENCRYPTED: &str = "reasoning.encrypted_content";

pub(super) fn convert(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    match way.target() {
        Dialect::OpenAiChat => for_chat(&mut request.reasoning, lost),
        Dialect::AnthropicMessages => for_messages(request, way, lost),
        Dialect::OpenAiResponses => for_responses(request, way, lost),
        // Its own module knows the generations of its models.
        Dialect::Gemini => {}
    }
}

/// Only some models can be told not to reason; so only those who said it in OpenAI's own word say it.
fn for_chat(reasoning: &mut Reasoning, lost: &mut Lost) {
    if reasoning.mode == ReasoningMode::Off && reasoning.effort.is_empty() {
        reasoning.mode = ReasoningMode::Unset;
        lost.omit("thinking");
    }
}

fn for_responses(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    let model = way.to.model.rsplit('/').next().unwrap_or_default();
    let never_reasons = ["gpt-3", "gpt-4", "gpt-5-chat", "chatgpt-", "ft:gpt-3", "ft:gpt-4"];
    let reasoning = &mut request.reasoning;
    if never_reasons.iter().any(|prefix| model.starts_with(prefix)) {
        if is_asked(reasoning) {
            lost.drop(ASKED);
        }
        // Not even that they should not may be said to them.
        *reasoning = Reasoning::default();
        return;
    }
    if way.client == Dialect::AnthropicMessages && reasoning.mode != ReasoningMode::Off {
        reasoning.shown.get_or_insert(true);
    }
    // The provider keeps nothing: the client brings back what was reasoned.
    let mut include = match request.extras.get("include") {
        Some(Value::Array(include)) => include.clone(),
        Some(_) | None => Vec::new(),
    };
    if !include.iter().any(|item| item == ENCRYPTED) {
        include.push(json!(ENCRYPTED));
    }
    request.extras.insert("include", include.into());
}

/// How a model of Anthropic's is told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// It doesn't think.
    Thoughtless,
    /// By a budget of tokens.
    Budget,
    /// By effort; it thinks as much as it sees fit.
    Adaptive {
        /// Whether it may be told how to pick tokens.
        samples: bool,
    },
}

/// The first two numbers in a model's name; one without is an alias of the latest.
fn generation(model: &str) -> Generation {
    let parts = model.split(|char: char| !char.is_ascii_alphanumeric());
    let numbers = parts.skip_while(|part| *part != "claude").map(str::parse::<u32>);
    let version: Vec<u32> =
        numbers.skip_while(Result::is_err).map_while(Result::ok).take_while(|number| *number < 100).take(2).collect();
    match *version {
        [major, ..3] | [major] if major < 3 => Generation::Thoughtless,
        [3] | [3, ..7] => Generation::Thoughtless,
        [3, _] | [4] | [4, ..6] => Generation::Budget,
        [4, 6] => Generation::Adaptive { samples: true },
        [..] => Generation::Adaptive { samples: false },
    }
}

fn for_messages(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    let generation = generation(way.to.model);
    let reasoning = &mut request.reasoning;
    let is_asked = is_asked(reasoning);
    match generation {
        Generation::Thoughtless => {
            if is_asked {
                lost.drop(ASKED);
            }
            *reasoning = Reasoning::default();
            thinking::forget(request);
        }
        Generation::Budget => {
            *reasoning = if is_asked { by_budget(reasoning) } else { Reasoning::default() };
            if !is_asked {
                thinking::forget(request);
            }
        }
        Generation::Adaptive { samples } => {
            if is_asked && !matches!(reasoning.mode, ReasoningMode::Budget(_)) {
                reasoning.mode = ReasoningMode::Adaptive;
            } else if let (true, ReasoningMode::Budget(budget)) = (is_asked, reasoning.mode) {
                *reasoning = by_effort(reasoning, budget);
            }
            if is_asked {
                reasoning.shown.get_or_insert(true);
            }
            if !samples {
                forget_sampling(request, lost);
            }
        }
    }
    if generation != Generation::Thoughtless {
        settle(request, lost);
    }
}

fn is_asked(reasoning: &Reasoning) -> bool {
    let is_off = reasoning.mode == ReasoningMode::Off || reasoning.effort == "none";
    !is_off && (reasoning.mode != ReasoningMode::Unset || !reasoning.effort.is_empty())
}

fn by_budget(reasoning: &Reasoning) -> Reasoning {
    let budget = match (reasoning.mode, reasoning.effort.as_str()) {
        (ReasoningMode::Budget(budget), _) => budget.max(1024),
        (_, "minimal" | "low") => 1024,
        (_, "medium") => 2048,
        (_, "xhigh") => 8192,
        (_, "max") => 16384,
        _ => 4096,
    };
    Reasoning { mode: ReasoningMode::Budget(budget), effort: String::new(), shown: None }
}

fn by_effort(reasoning: &Reasoning, budget: u64) -> Reasoning {
    let effort = match budget {
        _ if !reasoning.effort.is_empty() => &reasoning.effort,
        ..2048 => "low",
        2048..8192 => "medium",
        8192.. => "high",
    };
    Reasoning { mode: ReasoningMode::Adaptive, effort: effort.to_owned(), shown: reasoning.shown }
}

/// What doesn't go together with thinking: a tool that must be called wins, and so does what the history lacks; how to pick
/// tokens doesn't.
fn settle(request: &mut Request, lost: &mut Lost) {
    let thinks = |request: &Request| match request.reasoning.mode {
        ReasoningMode::Adaptive | ReasoningMode::Budget(_) => true,
        ReasoningMode::Unset | ReasoningMode::Off => false,
    };
    let is_forced = match &request.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. }) => true,
        Some(ToolChoice::Auto | ToolChoice::None | ToolChoice::Allowed { .. } | ToolChoice::Opaque(_)) | None => false,
    };
    if thinks(request) && (is_forced || !thinking::fits_history(request)) {
        request.reasoning =
            Reasoning { mode: ReasoningMode::Unset, shown: None, ..std::mem::take(&mut request.reasoning) };
        lost.drop(ASKED);
        thinking::forget(request);
    } else if thinks(request) {
        forget_sampling(request, lost);
    } else if request.reasoning.mode == ReasoningMode::Off {
        thinking::forget(request);
    }
}

/// What a model that thinks refuses, or that takes no such wishes at all.
fn forget_sampling(request: &mut Request, lost: &mut Lost) {
    let sampling = &mut request.sampling;
    for (name, value) in [("temperature", &mut sampling.temperature), ("top_p", &mut sampling.top_p)] {
        if value.take().is_some_and(|value| value != 1.0) {
            lost.drop(name);
        }
    }
    if sampling.top_k.take().is_some() {
        lost.drop("top_k");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_model_tells_how_it_thinks() {
        let newest = Generation::Adaptive { samples: false };
        for (model, expected) in [
            ("claude-3-5-sonnet-20241022", Generation::Thoughtless),
            ("claude-3-opus-20240229", Generation::Thoughtless),
            ("claude-2.1", Generation::Thoughtless),
            ("claude-3-7-sonnet-latest", Generation::Budget),
            ("claude-sonnet-4-20250514", Generation::Budget),
            ("anthropic.claude-opus-4-5-20251101-v1:0", Generation::Budget),
            ("claude-haiku-4-5", Generation::Budget),
            ("anthropic/claude-opus-4.6", Generation::Adaptive { samples: true }),
            ("claude-opus-4-7", newest),
            ("claude-sonnet-5", newest),
            ("claude-opus-latest", newest),
            ("", newest),
        ] {
            assert_eq!(generation(model), expected, "{model}");
        }
    }
}
