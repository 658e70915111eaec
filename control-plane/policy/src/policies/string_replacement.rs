//! `string_replacement`: literal strings, replaced wherever the model says them.
//!
//! Text flows: only what may still become a match is held back, from one chunk to the next, and where a dialect joins the
//! texts of a choice also from one block to the next. Tool calls are held until
//! they are whole, since their strings are escaped. A thinking block of Anthropic's is held as well, and dropped if it is
//! signed and has a match: a changed text would not fit its signature.

mod call;
mod casing;
mod finder;
mod logprobs;
mod searcher;
mod stream;

use std::sync::Arc;

use call::Call;
use finder::{Capitalization, Finder};
use luthien_proto::{
    event::Kind,
    message::{CallStarted, FailureMode, Interest, Level},
    request::Dialect,
};
use serde_json::{Value, json};

use super::{Common, object};
use crate::{BuildError, Hook, Hooks, Policy, PolicyCall, set::Fields};

/// The policy.
pub(super) struct StringReplacement {
    common: Common,
    finder: Arc<Finder>,
    apply_to: ApplyTo,
}

/// The kinds of content in whose strings is replaced.
#[derive(Clone, Copy)]
struct ApplyTo([bool; Kind::ALL.len()]);

impl ApplyTo {
    fn read(default: &[Kind], fields: &mut Fields) -> Result<Self, BuildError> {
        let kinds = fields.list("apply_to", kind)?;
        if kinds.as_ref().is_some_and(Vec::is_empty) {
            return Err(BuildError::new("apply_to", "it is empty; leave it out for what is usual"));
        }
        let kinds = kinds.unwrap_or_else(|| default.to_vec());
        Ok(Self(Kind::ALL.map(|kind| kinds.contains(&kind))))
    }

    fn has(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }
}

/// What [`StringReplacement::build`] reads.
pub(super) fn schema() -> Value {
    let replacements = json!({
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "array",
            "prefixItems": [{ "type": "string", "minLength": 1 }, { "type": "string" }],
            "items": false,
            "minItems": 2,
        },
        "description": "Pairs: what is searched for, and what is said instead.",
    });
    let match_capitalization = json!({
        "type": "boolean",
        "default": false,
        "description": "Whether capitals are ignored in the search, and the replacement is capitalized as what was found.",
    });
    let apply_to = apply_to_schema(&Kind::ALL);
    let examples =
        json!([{ "replacements": [["foo", "bar"]], "match_capitalization": true, "apply_to": ["text", "tool_call"] }]);
    let properties =
        json!({ "replacements": replacements, "match_capitalization": match_capitalization, "apply_to": apply_to });
    object(properties, &["replacements"], examples)
}

/// The property that says in which kinds of content is replaced.
pub(super) fn apply_to_schema(default: &[Kind]) -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "items": { "type": "string", "enum": Kind::ALL.map(Kind::name) },
        "default": default.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "description": "The kinds of content in which is replaced.",
    })
}

impl StringReplacement {
    pub fn build(common: Common, fields: &mut Fields) -> Result<Self, BuildError> {
        let pairs = fields.list("replacements", pair)?.unwrap_or_default();
        if pairs.is_empty() {
            return Err(BuildError::new("replacements", "there are none: give at least one pair, as [from, to]"));
        }
        let capitalization = match fields.optional("match_capitalization")? {
            Some(true) => Capitalization::Match,
            Some(false) | None => Capitalization::Exact,
        };
        let apply_to = ApplyTo::read(&Kind::ALL, fields)?;
        let finder = Finder::new(pairs, capitalization).map_err(|why| BuildError::new("replacements", why))?;
        Ok(Self { common, finder: Arc::new(finder), apply_to })
    }

    /// What is replaced is given, and where by default.
    pub fn of(
        common: Common,
        pairs: Vec<(String, String)>,
        kinds: &[Kind],
        fields: &mut Fields,
    ) -> Result<Self, BuildError> {
        let apply_to = ApplyTo::read(kinds, fields)?;
        let finder = Finder::new(pairs, Capitalization::Exact).map_err(|why| BuildError::new("", why))?;
        Ok(Self { common, finder: Arc::new(finder), apply_to })
    }

    /// A thinking block is held where changing it would break its signature.
    fn holds_thinking(&self, call: &CallStarted) -> bool {
        self.apply_to.has(Kind::Thinking) && call.upstream_dialect == Dialect::AnthropicMessages
    }
}

impl Policy for StringReplacement {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        let of_kind = |kind| match kind {
            Kind::Text => Hooks::of(&[Hook::ContentChunk, Hook::ContentCompleted]),
            // With a thinking block, its opaque pieces are dropped.
            Kind::Thinking => Hooks::of(&[Hook::ThinkingChunk, Hook::OpaqueChunk]),
            Kind::Refusal => Hooks::of(&[Hook::RefusalChunk]),
            Kind::ToolCall => Hooks::of(&[Hook::ToolCallChunk, Hook::ToolCallCompleted]),
            Kind::Opaque => Hooks::of(&[
                Hook::OpaqueChunk,
                Hook::ChunkStarted,
                Hook::ResponseStarted,
                Hook::Usage,
                Hook::Finished,
                Hook::Failed,
            ]),
        };
        let kinds = Kind::ALL.into_iter().filter(|kind| self.apply_to.has(*kind));
        kinds.map(of_kind).fold(Hooks::NONE, |hooks, more| hooks | more)
    }

    fn interest(&self, call: &CallStarted) -> Interest {
        let kinds = Kind::ALL.into_iter().filter(|kind| self.apply_to.has(*kind));
        let interest = kinds.fold(Interest::all(Level::Record), |interest, kind| interest.with(kind, Level::Gate));
        match self.holds_thinking(call) {
            true => interest.with(Kind::Opaque, Level::Gate),
            false => interest,
        }
    }

    fn failure_mode(&self) -> FailureMode {
        self.common.failure_mode
    }

    fn begin(&self, call: &CallStarted) -> Box<dyn PolicyCall + Send> {
        let joins_texts = match call.dialect {
            Dialect::OpenAiChat => true,
            Dialect::AnthropicMessages | Dialect::OpenAiResponses | Dialect::Gemini => false,
        };
        let (searches_opaque, holds_thinking) = (self.apply_to.has(Kind::Opaque), self.holds_thinking(call));
        Box::new(Call::new(self.finder.clone(), searches_opaque, holds_thinking, joins_texts))
    }
}

fn pair(value: Value) -> Result<(String, String), BuildError> {
    match serde_json::from_value::<(String, String)>(value) {
        Ok((from, _)) if from.is_empty() => Err(BuildError::new("", "the string to find is empty")),
        Ok(pair) => Ok(pair),
        Err(error) => Err(BuildError::new("", format!("expected a pair of strings, [from, to]: {error}"))),
    }
}

fn kind(value: Value) -> Result<Kind, BuildError> {
    let found = Kind::ALL.into_iter().find(|kind| value.as_str() == Some(kind.name()));
    found.ok_or_else(|| {
        let kinds = Kind::ALL.map(Kind::name).join(", ");
        BuildError::new("", format!("{value} is no kind of content; there are: {kinds}"))
    })
}
