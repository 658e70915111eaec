//! The policies that a call goes through.

use std::{collections::BTreeSet, sync::Arc};

use crate::{BuildError, Policy, stage::Stages};

/// The policies that a call goes through, in order, and the revision that they are of. A call keeps the one it began with.
#[derive(Clone)]
pub struct Pipeline {
    revision: String,
    policies: Vec<Arc<dyn Policy>>,
    /// Those of the members instead of a group's.
    names: Vec<String>,
}

impl Pipeline {
    /// Errors name their place within the list.
    pub(super) fn new(revision: String, policies: Vec<Arc<dyn Policy>>) -> Result<Self, BuildError> {
        let mut names = Vec::new();
        let mut known = BTreeSet::new();
        for (index, policy) in policies.iter().enumerate() {
            let of_members = policy.members().iter().map(|member| member.name());
            let own = std::iter::once(policy.name());
            if let Some(twice) = own.chain(of_members.clone()).find(|name| !known.insert(name.to_string())) {
                let why = format!("policy {twice:?} is in the pipeline already");
                return Err(BuildError::new(format!("pipeline[{index}]"), why));
            }
            match policy.members() {
                [] => names.push(policy.name().to_owned()),
                _ => names.extend(of_members.map(str::to_owned)),
            }
        }
        if names.len() > Stages::MAX {
            return Err(BuildError::new("pipeline", format!("it has more than {} policies", Stages::MAX)));
        }
        Ok(Self { revision, policies, names })
    }

    /// The revision of the set that it belongs to.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The policies, in order.
    pub fn policies(&self) -> &[Arc<dyn Policy>] {
        &self.policies
    }

    /// Their names, in order; of a group, those of its members.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    pub(crate) fn name_of(&self, index: usize) -> &str {
        self.names.get(index).map_or("", String::as_str)
    }
}
