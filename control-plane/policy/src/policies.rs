//! The policies that come with luthien, by their kinds.

mod debug_logging;
mod noop;
mod string_replacement;
mod strings;
mod tool_call_rules;

use std::sync::Arc;

use luthien_proto::message::FailureMode;

use crate::{BuildError, Policy, PolicyConfig, set::Fields};

/// What every policy is told.
pub(crate) struct Common {
    pub name: String,
    pub failure_mode: FailureMode,
}

type Build = fn(Common, &mut Fields) -> Result<Arc<dyn Policy>, BuildError>;

/// Every kind, and how its configuration is read.
const KINDS: [(&str, Build); 4] = [
    ("noop", |common, _| Ok(Arc::new(noop::Noop::new(common)))),
    ("string_replacement", |common, fields| {
        Ok(Arc::new(string_replacement::StringReplacement::build(common, fields)?))
    }),
    ("tool_call_rules", |common, fields| Ok(Arc::new(tool_call_rules::ToolCallRules::build(common, fields)?))),
    ("debug_logging", |common, fields| Ok(Arc::new(debug_logging::DebugLogging::build(common, fields)?))),
];

/// Checks one policy's configuration.
pub(crate) fn build(policy: &PolicyConfig, mut fields: Fields) -> Result<Arc<dyn Policy>, BuildError> {
    let Some((_, build)) = KINDS.iter().find(|(kind, _)| *kind == policy.kind) else {
        let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        let why = format!("unknown kind {:?}; there are: {}", policy.kind, kinds.join(", "));
        return Err(BuildError::new("kind", why));
    };
    let common = Common { name: policy.name.clone(), failure_mode: policy.on_failure.into() };
    let within = |error: BuildError| BuildError::new(format!("config.{}", error.key), error.why);
    let policy = build(common, &mut fields).map_err(within)?;
    fields.finish().map_err(within)?;
    Ok(policy)
}
