//! What a policy saw, counted from the hooks that ran.

use serde_json::{Map, json};

use crate::{
    entry::Tally,
    policy::{Hook, Place, Ruling},
};

/// A tally for each place where anything happened.
#[derive(Debug, Default)]
pub(crate) struct Tallies([Option<Box<Counts>>; Place::ALL.len()]);

/// How often something happened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    hooks: [u64; Hook::ALL.len()],
    /// What a policy was told that somebody else serves.
    pub told: u64,
    pub unseen: u64,
    pub held: u64,
    pub undecided: u64,
    passed: u64,
    replaced: u64,
    dropped: u64,
    ended: u64,
}

impl Tallies {
    pub(super) fn at(&mut self, place: Place) -> &mut Counts {
        self.0[place.index()].get_or_insert_default()
    }

    pub(super) fn ran(&mut self, place: Place, hook: Hook) {
        self.at(place).hooks[hook as usize] += 1;
    }

    pub(super) fn ruled(&mut self, place: Place, ruling: &Ruling) {
        let counts = self.at(place);
        match ruling {
            Ruling::Pass => counts.passed += 1,
            Ruling::Hold => counts.held += 1,
            Ruling::Replace(events) if events.is_empty() => counts.dropped += 1,
            Ruling::Replace(_) => counts.replaced += 1,
            Ruling::End { .. } => counts.ended += 1,
        }
    }

    pub(super) fn to_json(&self) -> Map<String, serde_json::Value> {
        let tallies = Place::ALL.into_iter().zip(&self.0);
        let tallies = tallies.filter_map(|(place, counts)| Some((place, counts.as_ref()?.to_tally())));
        tallies
            .filter(|(_, tally)| *tally != Tally::default())
            .map(|(place, tally)| (place.name().to_owned(), json!(tally)))
            .collect()
    }
}

impl Counts {
    fn to_tally(&self) -> Tally {
        let ran = Hook::ALL.into_iter().zip(self.hooks).filter(|(_, times)| *times > 0);
        let told = (self.told > 0).then_some(("told", self.told));
        Tally {
            hooks: ran.map(|(hook, times)| (hook.name(), times)).chain(told).collect(),
            unseen: self.unseen,
            passed: self.passed,
            held: self.held,
            replaced: self.replaced,
            dropped: self.dropped,
            ended: self.ended,
            undecided: self.undecided,
        }
    }
}
