//! How much to think, and whether to show it: `thinkingConfig`.

use luthien_proto::request::{Reasoning, ReasoningMode};
use serde_json::Value;

use super::model::{Model, Thinking};
use crate::dialect::{fields::Object, target::Lost};

/// What was asked for, in one measure.
#[derive(Clone, Copy)]
enum Wish<'a> {
    Off,
    Dynamic,
    Budget(u64),
    Effort(&'a str),
}

/// The `thinkingConfig`; `None`: nothing was asked for, or the model can't be asked for it.
pub(super) fn config(reasoning: &Reasoning, model: Model, lost: &mut Lost) -> Option<Object> {
    let wish = wish(reasoning, model);
    if wish.is_none() && reasoning.shown != Some(true) {
        return None;
    }
    let mut config = Object::new();
    let written = match (model.thinking, wish) {
        (Thinking::Fixed, _) => None,
        (_, None) => Some(()),
        (Thinking::Budget { least, optional, most }, Some(wish)) => budget(wish, least, optional).map(|budget| {
            let budget = budget.map_or(Value::from(-1), |tokens| tokens.min(most).into());
            config.insert("thinkingBudget".to_owned(), budget);
        }),
        (Thinking::Level { .. }, Some(Wish::Dynamic)) => Some(()),
        (Thinking::Level { minimal, medium }, Some(wish)) => level(wish, minimal, medium).map(|level| {
            config.insert("thinkingLevel".to_owned(), level.into());
        }),
    };
    if written.is_none() {
        if !matches!((model.thinking, wish), (Thinking::Fixed, Some(Wish::Off))) {
            lost.drop("reasoning");
        }
        return None;
    }
    if reasoning.shown != Some(false) && !matches!(wish, Some(Wish::Off)) {
        config.insert("includeThoughts".to_owned(), true.into());
    }
    (!config.is_empty()).then_some(config)
}

/// Where both a budget and an effort were told, the model's own measure counts.
fn wish(reasoning: &Reasoning, model: Model) -> Option<Wish<'_>> {
    let effort = Some(reasoning.effort.as_str()).filter(|effort| !effort.is_empty());
    let effort = effort.map(|effort| if effort == "none" { Wish::Off } else { Wish::Effort(effort) });
    match reasoning.mode {
        ReasoningMode::Off => Some(Wish::Off),
        ReasoningMode::Budget(tokens) => match (model.thinking, effort) {
            (Thinking::Level { .. }, Some(effort)) => Some(effort),
            (Thinking::Fixed | Thinking::Budget { .. } | Thinking::Level { .. }, _) => Some(Wish::Budget(tokens)),
        },
        ReasoningMode::Adaptive => Some(effort.unwrap_or(Wish::Dynamic)),
        ReasoningMode::Unset => effort,
    }
}

/// The tokens to think, where the model has to be told at all; `Some(None)`: as many as it sees fit.
fn budget(wish: Wish<'_>, least: u64, optional: bool) -> Option<Option<u64>> {
    let tokens = match wish {
        Wish::Off if optional => return Some(Some(0)),
        Wish::Off => least,
        Wish::Dynamic => return Some(None),
        Wish::Budget(tokens) => tokens,
        Wish::Effort("minimal" | "low") => 1024,
        Wish::Effort("medium") => 2048,
        Wish::Effort("high") => 4096,
        Wish::Effort("xhigh") => 8192,
        Wish::Effort("max") => 16_384,
        Wish::Effort(_) => return None,
    };
    Some(Some(tokens.max(least)))
}

fn level(wish: Wish<'_>, minimal: bool, medium: bool) -> Option<&'static str> {
    let effort = match wish {
        Wish::Off => "minimal",
        Wish::Budget(..2048) => "low",
        Wish::Budget(..8192) => "medium",
        Wish::Budget(_) | Wish::Dynamic => "high",
        Wish::Effort(effort) => effort,
    };
    Some(match effort {
        "minimal" if minimal => "MINIMAL",
        "minimal" | "low" => "LOW",
        "medium" if medium => "MEDIUM",
        "medium" | "high" | "xhigh" | "max" => "HIGH",
        _ => return None,
    })
}
