//! What is configured, checked whole.

mod fields;

use std::{collections::BTreeSet, fmt, sync::Arc};

pub(crate) use fields::Fields;

use crate::{Policy, PolicyConfig, PolicySetConfig, policies, stage::Stages};

/// The policies of a revision. A call keeps the set that it began with.
pub struct PolicySet {
    revision: String,
    pipeline: Vec<Arc<dyn Policy>>,
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
        let mut built: Vec<Arc<dyn Policy>> = Vec::new();
        for (index, policy) in config.policies.iter().enumerate() {
            let key = format!("policies[{index}] ({})", policy.name);
            if built.iter().any(|other| other.name() == policy.name) {
                return Err(BuildError::new(format!("{key}.name"), "there is another policy of that name"));
            }
            built.push(build(policy).map_err(|error| error.within(&key))?);
        }
        let names = config.pipeline.iter().enumerate();
        let pipeline = names.map(|(index, name)| {
            let found = built.iter().find(|policy| policy.name() == name).cloned();
            found.ok_or_else(|| BuildError::new(format!("pipeline[{index}]"), unknown_policy(name, &config.policies)))
        });
        Self::of(config.revision(), pipeline.collect::<Result<_, _>>()?)
    }

    /// A set of policies that were made otherwise.
    ///
    /// # Errors
    /// Two of them have one name, or they are more than 64.
    pub fn of(revision: String, pipeline: Vec<Arc<dyn Policy>>) -> Result<Self, BuildError> {
        if pipeline.len() > Stages::MAX {
            return Err(BuildError::new("pipeline", format!("it has more than {} policies", Stages::MAX)));
        }
        let mut names = BTreeSet::new();
        for (index, policy) in pipeline.iter().enumerate() {
            if !names.insert(policy.name()) {
                let why = format!("policy {:?} is in the pipeline already", policy.name());
                return Err(BuildError::new(format!("pipeline[{index}]"), why));
            }
        }
        drop(names);
        Ok(Self { revision, pipeline })
    }

    /// The revision: the hexadecimal SHA-256 of the canonical JSON of the configuration, its keys sorted.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The names of the policies that a call goes through, in order.
    pub fn names(&self) -> Vec<String> {
        self.pipeline.iter().map(|policy| policy.name().to_owned()).collect()
    }

    /// The policies that a call goes through, in order.
    pub fn policies(&self) -> &[Arc<dyn Policy>] {
        &self.pipeline
    }

    pub(crate) fn name_of(&self, index: usize) -> &str {
        self.pipeline.get(index).map_or("", |policy| policy.name())
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet").field("revision", &self.revision).field("pipeline", &self.names()).finish()
    }
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
