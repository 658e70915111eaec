//! The configuration of a judge with instructions.

use serde_json::{Map, Value, json};

use crate::{
    BuildError,
    policies::{judging::Asking, object, refusal::Template},
    set::Fields,
};

const MESSAGE: &str = "{what} was refused: it could not be judged";

/// Whole blocks are written anew.
const TOKENS: u64 = 4096;

const KINDS: [&str; 2] = ["text", "tool_call"];

/// How it is judged, and what follows.
pub(in super::super) struct Settings {
    pub asking: Asking,
    pub instructions: String,
    /// Whether texts are judged.
    pub texts: bool,
    /// Whether calls of tools are judged.
    pub calls: bool,
    /// What stands in place of what could not be judged.
    pub on_error_message: Template,
}

impl Settings {
    pub fn read(fields: &mut Fields) -> Result<Self, BuildError> {
        let instructions: Option<String> = fields.optional("instructions")?;
        let instructions = instructions.filter(|instructions| !instructions.trim().is_empty());
        let instructions = instructions
            .ok_or_else(|| BuildError::new("instructions", "they are missing: say what is to be judged"))?;
        let kinds = fields.list("kinds", kind)?;
        if kinds.as_ref().is_some_and(Vec::is_empty) {
            return Err(BuildError::new("kinds", "it is empty; leave it out for all of them"));
        }
        let has = |kind| kinds.as_ref().is_none_or(|kinds| kinds.contains(&kind));
        Self::of(instructions, has("text"), has("tool_call"), fields)
    }

    /// A judge whose instructions are given; the rest is configured.
    pub fn of(instructions: String, texts: bool, calls: bool, fields: &mut Fields) -> Result<Self, BuildError> {
        Ok(Self {
            asking: Asking::read(fields, TOKENS)?,
            instructions,
            texts,
            calls,
            on_error_message: Template(fields.optional("on_error_message")?.unwrap_or_else(|| MESSAGE.to_owned())),
        })
    }
}

fn kind(value: Value) -> Result<&'static str, BuildError> {
    let found = KINDS.into_iter().find(|kind| value.as_str() == Some(kind));
    found.ok_or_else(|| {
        BuildError::new("", format!("{value} is no kind of content that is judged; there are: {}", KINDS.join(", ")))
    })
}

/// The properties that [`Settings::of`] reads.
pub(in super::super) fn properties() -> Map<String, Value> {
    let mut properties = Asking::properties(TOKENS);
    properties.insert(
        "on_error_message".to_owned(),
        json!({
            "type": "string",
            "description": "What stands in place of what could not be judged, if it is refused; {what} and {tool_name} are \
                filled in.",
            "default": MESSAGE,
        }),
    );
    properties
}

/// What [`Settings::read`] reads.
pub(in super::super) fn schema() -> Value {
    let mut properties = properties();
    properties.insert(
        "instructions".to_owned(),
        json!({
            "type": "string",
            "minLength": 1,
            "description": "What may stay as it is, and what is to stand in place of what may not, in plain words. How the \
                judge answers, and that the block is data, it is told besides.",
        }),
    );
    properties.insert(
        "kinds".to_owned(),
        json!({
            "type": "array",
            "minItems": 1,
            "items": { "type": "string", "enum": KINDS },
            "default": KINDS,
            "description": "The kinds of content that are judged, and held meanwhile.",
        }),
    );
    let examples = json!([
        { "model": "claude-haiku-4-5", "instructions": "No text may name a customer. Say `a customer` instead." },
        {
            "instructions": "Refuse calls that write outside of /workspace. Give searches a limit of 20 results.",
            "kinds": ["tool_call"],
            "model": "local-judge",
            "upstream": "ollama",
            "credentials": "configured",
            "temperature": 0.0,
            "max_tokens": 2048,
            "retries": 2,
            "deadline": "10s",
            "on_error": "refuse",
            "on_error_message": "{what} could not be judged.",
        },
    ]);
    object(Value::Object(properties), &["instructions", "model"], examples)
}
