//! An answer, and the calls that it is for.

use globset::GlobMatcher;
use luthien_proto::{
    Request,
    json::type_name,
    request::{ContentBlock, Message},
};
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    BuildError,
    policies::patterns::{read_glob, read_regex},
    set::Fields,
};

/// Answers the calls whose model and words both fit; what is missing fits all.
pub(super) struct Canned {
    models: Option<Vec<GlobMatcher>>,
    words: Option<Regex>,
    pub text: String,
}

/// What [`Canned::read`] reads.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "models": {
                "type": "array",
                "minItems": 1,
                "items": { "type": "string" },
                "description": "Globs, of which one matches the model that the client asks for; without them, every model \
                                does.",
            },
            "match": {
                "type": "string",
                "description": "A regular expression that matches in what the user said last, if that is the last message; \
                                without it, all calls fit.",
            },
            "text": { "type": "string", "minLength": 1, "description": "The answer." },
        },
        "required": ["text"],
        "additionalProperties": false,
    })
}

impl Canned {
    /// Reads one item of `answers`.
    pub fn read(value: Value) -> Result<Self, BuildError> {
        if !value.is_object() {
            return Err(BuildError::new("", format!("expected an answer with keys, found {}", type_name(&value))));
        }
        let mut fields = Fields::of(&value).map_err(|why| BuildError::new("", why))?;
        let models = fields.list("models", |glob| match glob.as_str() {
            Some(glob) => read_glob("", glob),
            None => Err(BuildError::new("", format!("expected a glob, found {}", type_name(&glob)))),
        })?;
        let words = fields.optional::<String>("match")?.map(|regex| read_regex("match", &regex)).transpose()?;
        let text = fields.optional::<String>("text")?.filter(|text| !text.is_empty());
        fields.finish()?;
        if models.as_ref().is_some_and(Vec::is_empty) {
            return Err(BuildError::new("models", "there are none: give at least one, or leave the key out"));
        }
        let text = text.ok_or_else(|| BuildError::new("text", "there is none: say what is answered"))?;
        Ok(Self { models, words, text })
    }

    /// Whether it is an answer to this request.
    pub fn fits(&self, request: &Request) -> bool {
        let is_for = |models: &Vec<GlobMatcher>| models.iter().any(|glob| glob.is_match(&request.model));
        self.models.as_ref().is_none_or(is_for)
            && self.words.as_ref().is_none_or(|regex| said_last(request).is_some_and(|text| regex.is_match(&text)))
    }
}

/// What the user said, if that is the last message: all its text, a part to a line.
fn said_last(request: &Request) -> Option<String> {
    let Message { content, .. } = request.messages.last().filter(|message| message.role == "user")?;
    let texts = content.iter().filter_map(|content| match &content.block {
        ContentBlock::Text(text) => Some(text.as_str()),
        ContentBlock::Thinking { .. }
        | ContentBlock::RedactedThinking(_)
        | ContentBlock::Refusal(_)
        | ContentBlock::ToolCall { .. }
        | ContentBlock::ToolResult { .. }
        | ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::Audio { .. }
        | ContentBlock::Opaque(_) => None,
    });
    let texts: Vec<&str> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}
