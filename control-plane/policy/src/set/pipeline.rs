//! The policies that a call goes through.

use std::{collections::BTreeSet, sync::Arc};

use crate::{BuildError, Policy, stage::Stages};

/// The policies that a call goes through, in order, and the revision that they are of. A call keeps the one it began with.
#[derive(Clone)]
pub struct Pipeline {
    revision: String,
    policies: Vec<Arc<dyn Policy>>,
}

impl Pipeline {
    /// Errors name their place within the list.
    pub(super) fn new(revision: String, policies: Vec<Arc<dyn Policy>>) -> Result<Self, BuildError> {
        if policies.len() > Stages::MAX {
            return Err(BuildError::new("pipeline", format!("it has more than {} policies", Stages::MAX)));
        }
        let mut names = BTreeSet::new();
        for (index, policy) in policies.iter().enumerate() {
            if !names.insert(policy.name()) {
                let why = format!("policy {:?} is in the pipeline already", policy.name());
                return Err(BuildError::new(format!("pipeline[{index}]"), why));
            }
        }
        drop(names);
        Ok(Self { revision, policies })
    }

    /// The revision of the set that it belongs to.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The policies, in order.
    pub fn policies(&self) -> &[Arc<dyn Policy>] {
        &self.policies
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        self.policies.iter().map(|policy| policy.name().to_owned()).collect()
    }

    pub(crate) fn name_of(&self, index: usize) -> &str {
        self.policies.get(index).map_or("", |policy| policy.name())
    }
}
