//! The policies that come with luthien, by their kinds.

mod canned_answers;
mod debug_logging;
mod durations;
mod judging;
mod llm_judge;
mod noop;
mod parallel;
mod patterns;
mod presets;
mod refusal;
mod remote;
mod shell;
mod string_replacement;
mod strings;
mod suspect;
mod tool_call_judge;
mod tool_call_rules;

use std::sync::Arc;

use luthien_proto::message::FailureMode;
use presets::Guard;
pub use remote::{Remote, RemoteAddress, RemoteTls};
use serde_json::{Value, json};

use crate::{BuildError, Policy, PolicyConfig, set::Fields};

/// What every policy is told.
pub(crate) struct Common {
    pub name: String,
    pub failure_mode: FailureMode,
}

type Build = fn(Common, &mut Fields) -> Result<Arc<dyn Policy>, BuildError>;

/// What policies of a kind do, and how they are configured.
struct Kind {
    name: &'static str,
    /// For people.
    about: &'static str,
    /// The JSON schema of the configuration, with examples. Beside `build`, which decides.
    schema: fn() -> Value,
    build: Build,
}

/// Every kind.
const KINDS: [Kind; 16] = [
    Kind {
        name: "noop",
        about: "Lets everything by, and is on record for it.",
        schema: noop::schema,
        build: |common, _| Ok(Arc::new(noop::Noop::new(common))),
    },
    Kind {
        name: "string_replacement",
        about: "Literal strings, replaced wherever the model says them, across chunks.",
        schema: string_replacement::schema,
        build: |common, fields| Ok(Arc::new(string_replacement::StringReplacement::build(common, fields)?)),
    },
    Kind {
        name: "tool_call_rules",
        about: "Tool calls that a rule denies never reach the client: a text that says why stands in their place.",
        schema: tool_call_rules::schema,
        build: |common, fields| Ok(Arc::new(tool_call_rules::ToolCallRules::build(common, fields)?)),
    },
    Kind {
        name: "tool_call_judge",
        about: "Tool calls are held until a model has judged them; one that is too likely to do harm never reaches the \
                client: a text that says why stands in its place.",
        schema: tool_call_judge::schema,
        build: |common, fields| Ok(Arc::new(tool_call_judge::ToolCallJudge::build(common, fields)?)),
    },
    Kind {
        name: "llm_judge",
        about: "Texts and tool calls are held until a model has read them that has instructions in plain words; it passes \
                each, or says what is to stand in its place.",
        schema: llm_judge::schema,
        build: |common, fields| Ok(Arc::new(llm_judge::LlmJudge::build(common, fields)?)),
    },
    Kind {
        name: "no_yapping",
        about: "A model takes what says nothing out of texts: openings, announcements, summaries, offers of more.",
        schema: presets::manners_schema,
        build: |common, fields| Ok(Arc::new(presets::manners(presets::YAPPING, common, fields)?)),
    },
    Kind {
        name: "no_apologies",
        about: "A model takes apologies out of texts.",
        schema: presets::manners_schema,
        build: |common, fields| Ok(Arc::new(presets::manners(presets::APOLOGIES, common, fields)?)),
    },
    Kind {
        name: "plain_dashes",
        about: "Em dashes, en dashes and their like become the plain one, across chunks.",
        schema: presets::plain_dashes_schema,
        build: |common, fields| Ok(Arc::new(presets::plain_dashes(common, fields)?)),
    },
    Kind {
        name: "prefer_uv",
        about: "Tool calls that run pip are refused, with a hint at what to run with uv instead.",
        schema: || presets::schema("pip --version"),
        build: |common, fields| Ok(Arc::new(presets::build(Guard::Uv, common, fields)?)),
    },
    Kind {
        name: "block_dangerous_commands",
        about: "Tool calls that run what destroys data or opens the machine are refused. A guard rail, and no sandbox.",
        schema: || presets::schema("rm -rf (node_modules|target)"),
        build: |common, fields| Ok(Arc::new(presets::build(Guard::DangerousCommands, common, fields)?)),
    },
    Kind {
        name: "block_web_requests",
        about: "Tool calls that ask the web for something are refused, by commands or by tools made for it. A guard rail, and \
                no sandbox.",
        schema: || presets::schema("curl (-s )?http://localhost:3000/\\S*"),
        build: |common, fields| Ok(Arc::new(presets::build(Guard::WebRequests, common, fields)?)),
    },
    Kind {
        name: "block_sensitive_file_writes",
        about: "Tool calls that write to files are refused where those hold secrets, or decide what the machine or the agent \
                does. A guard rail, and no sandbox.",
        schema: || presets::schema("\\.env\\.test"),
        build: |common, fields| Ok(Arc::new(presets::build(Guard::SensitiveFileWrites, common, fields)?)),
    },
    Kind {
        name: "parallel",
        about: "Judges that work at once and must all agree; the first that refuses decides, and the call waits for the \
                slowest and not for the sum.",
        schema: parallel::schema,
        build: |common, fields| Ok(Arc::new(parallel::Parallel::build(common, fields)?)),
    },
    Kind {
        name: "remote",
        about: "A policy that somebody else serves, in any language, over the verdict protocol.",
        schema: remote::schema,
        build: |common, fields| Ok(Arc::new(remote::RemotePolicy::build(common, fields)?)),
    },
    Kind {
        name: "canned_answers",
        about: "Calls that ask for certain models, or say certain words, get a text of yours as their answer: no model is \
                asked.",
        schema: canned_answers::schema,
        build: |common, fields| Ok(Arc::new(canned_answers::CannedAnswers::build(common, fields)?)),
    },
    Kind {
        name: "debug_logging",
        about: "A note on the record for each chunk, as it is where the policy stands in the pipeline. Changes nothing.",
        schema: debug_logging::schema,
        build: |common, fields| Ok(Arc::new(debug_logging::DebugLogging::build(common, fields)?)),
    },
];

/// Every kind of policy: its name (`kind`), what it does (`about`), and the JSON schema of its configuration (`config`).
pub fn kinds() -> Value {
    let kind = |kind: &Kind| json!({ "kind": kind.name, "about": kind.about, "config": (kind.schema)() });
    KINDS.iter().map(kind).collect()
}

/// Checks one policy's configuration.
pub(crate) fn build(policy: &PolicyConfig, mut fields: Fields) -> Result<Arc<dyn Policy>, BuildError> {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == policy.kind) else {
        let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let why = format!("unknown kind {:?}; there are: {}", policy.kind, kinds.join(", "));
        return Err(BuildError::new("kind", why));
    };
    let common = Common { name: policy.name.clone(), failure_mode: policy.on_failure.into() };
    let within = |error: BuildError| BuildError::new(format!("config.{}", error.key), error.why);
    let policy = (kind.build)(common, &mut fields).map_err(within)?;
    fields.finish().map_err(within)?;
    Ok(policy)
}

/// The schema of a configuration with these properties; without the others.
fn object(properties: Value, required: &[&str], examples: Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
        "examples": examples,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn built(kind: &Kind, config: &Value) -> Result<BTreeSet<&'static str>, BuildError> {
        let common = Common { name: "p".to_owned(), failure_mode: FailureMode::Closed };
        let mut fields = Fields::of(config).unwrap();
        (kind.build)(common, &mut fields)?;
        let read = fields.known();
        fields.finish()?;
        Ok(read)
    }

    /// A value that is not of the type that the schema of a property says.
    fn of_another_type(property: &Value) -> Value {
        match property["type"].as_str().unwrap() {
            "string" => json!(7),
            "boolean" | "array" | "object" => json!("x"),
            "number" | "integer" => json!([]),
            other => panic!("a type that the test does not know: {other}"),
        }
    }

    #[test]
    fn the_schema_of_each_kind_says_what_its_configuration_may_be() {
        for kind in &KINDS {
            let (name, schema) = (kind.name, (kind.schema)());
            assert!(!kind.about.is_empty(), "{name}");
            let properties = schema["properties"].as_object().unwrap();
            let required: Vec<&str> =
                schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            let examples = schema["examples"].as_array().unwrap();
            assert!(!examples.is_empty(), "{name}");
            let mut shown = BTreeSet::new();
            for example in examples {
                let read = built(kind, example).unwrap_or_else(|error| panic!("{name}: {example}: {error}"));
                assert_eq!(read, properties.keys().map(String::as_str).collect(), "{name}: the keys that are read");
                shown.extend(example.as_object().unwrap().keys().cloned());
                for key in &required {
                    let mut without = example.clone();
                    without.as_object_mut().unwrap().remove(*key);
                    assert!(built(kind, &without).is_err(), "{name}: {key} is required");
                }
                for (key, property) in properties {
                    assert!(property["description"].is_string(), "{name}.{key}");
                    let mut with = example.clone();
                    with[key] = of_another_type(property);
                    assert!(built(kind, &with).is_err(), "{name}.{key}: {}", with[key]);
                    let values =
                        property.get("default").into_iter().chain(property["enum"].as_array().into_iter().flatten());
                    for value in values.chain(property["examples"].as_array().into_iter().flatten()) {
                        with[key] = value.clone();
                        assert!(built(kind, &with).is_ok(), "{name}.{key}: {value}");
                    }
                }
            }
            assert!(properties.keys().all(|key| shown.contains(key)), "{name}: the examples show every key");
        }
    }
}
