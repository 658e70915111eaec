//! What is configured, checked whole.

mod binding;
mod fields;
mod pipeline;

use std::{collections::BTreeSet, fmt, sync::Arc};

use binding::{Binding, When};
pub(crate) use fields::Fields;
use luthien_proto::message::CallStarted;
pub use pipeline::Pipeline;

use crate::{Policy, PolicyConfig, PolicySetConfig, policies};

/// The policies of a revision, and which of them a call goes through.
pub struct PolicySet {
    config: PolicySetConfig,
    revision: String,
    pipeline: Arc<Pipeline>,
    bindings: Vec<Binding>,
}

/// Why a configuration can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BuildError {
    /// Which key is at fault, and of which policy: `policies[0] (brand).config.replacements[2]`.
    pub key: String,
    /// Why.
    pub why: String,
}

impl BuildError {
    pub(crate) fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }

    /// The same, one level further out.
    fn within(self, outer: &str) -> Self {
        Self { key: format!("{outer}.{}", self.key), ..self }
    }
}

impl PolicySet {
    /// Checks a configuration, whole.
    ///
    /// # Errors
    /// It can't be used: which policy, which key, and why.
    pub fn build(config: PolicySetConfig) -> Result<Self, BuildError> {
        let built = Built { config: &config, revision: config.revision(), policies: build_each(&config.policies)? };
        let bindings = config.bindings.iter().enumerate().map(|(index, binding)| {
            let bound = When::read(&binding.when)
                .and_then(|when| Ok(Binding { when, pipeline: built.pipeline(&binding.pipeline)? }));
            bound.map_err(|error| error.within(&format!("bindings[{index}]")))
        });
        let bindings = bindings.collect::<Result<_, _>>()?;
        let pipeline = built.pipeline(&config.pipeline)?;
        let revision = built.revision;
        Ok(Self { config, revision, pipeline, bindings })
    }

    /// One pipeline for every call, of policies that were made otherwise.
    ///
    /// # Errors
    /// Two of them have one name, or they are more than 64.
    pub fn of(revision: String, pipeline: Vec<Arc<dyn Policy>>) -> Result<Self, BuildError> {
        let pipeline = Arc::new(Pipeline::new(revision.clone(), pipeline)?);
        Ok(Self { config: PolicySetConfig::default(), revision, pipeline, bindings: Vec::new() })
    }

    /// What was configured; nothing, of a set that was made otherwise.
    pub fn config(&self) -> &PolicySetConfig {
        &self.config
    }

    /// The revision: the hexadecimal SHA-256 of the canonical JSON of the configuration, its keys sorted.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// What a call goes through: the pipeline of the first binding that matches it, else the default.
    pub fn pipeline_of(&self, call: &CallStarted) -> Arc<Pipeline> {
        let bound = self.bindings.iter().find(|binding| binding.when.matches(call));
        Arc::clone(bound.map_or(&self.pipeline, |binding| &binding.pipeline))
    }

    /// What a call goes through that no binding matches.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// The default, and those of the bindings.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        std::iter::once(&self.pipeline).chain(self.bindings.iter().map(|binding| &binding.pipeline))
    }

    /// The names of all policies that some call may go through.
    pub fn names(&self) -> BTreeSet<String> {
        self.pipelines().flat_map(|pipeline| pipeline.names()).collect()
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet").field("revision", &self.revision).field("policies", &self.names()).finish()
    }
}

/// The policies of a set, of which pipelines are made.
struct Built<'a> {
    config: &'a PolicySetConfig,
    revision: String,
    policies: Vec<Arc<dyn Policy>>,
}

impl Built<'_> {
    fn pipeline(&self, names: &[String]) -> Result<Arc<Pipeline>, BuildError> {
        let policies = names.iter().enumerate().map(|(index, name)| {
            let found = self.policies.iter().find(|policy| policy.name() == name).cloned();
            found.ok_or_else(|| {
                BuildError::new(format!("pipeline[{index}]"), unknown_policy(name, &self.config.policies))
            })
        });
        Pipeline::new(self.revision.clone(), policies.collect::<Result<_, _>>()?).map(Arc::new)
    }
}

fn build_each(policies: &[PolicyConfig]) -> Result<Vec<Arc<dyn Policy>>, BuildError> {
    let mut built: Vec<Arc<dyn Policy>> = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        let key = format!("policies[{index}] ({})", policy.name);
        if built.iter().any(|other| other.name() == policy.name) {
            return Err(BuildError::new(format!("{key}.name"), "there is another policy of that name"));
        }
        built.push(build(policy).map_err(|error| error.within(&key))?);
    }
    Ok(built)
}

fn build(policy: &PolicyConfig) -> Result<Arc<dyn Policy>, BuildError> {
    if policy.name.is_empty() {
        return Err(BuildError::new("name", "it is empty"));
    }
    let fields = Fields::of(&policy.config).map_err(|why| BuildError::new("config", why))?;
    policies::build(policy, fields)
}

fn unknown_policy(name: &str, policies: &[PolicyConfig]) -> String {
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    match names.is_empty() {
        true => format!("no policy is called {name:?}: there are none"),
        false => format!("no policy is called {name:?}; there are: {}", names.join(", ")),
    }
}
