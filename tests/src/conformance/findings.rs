//! What was found out about each rule.

use std::collections::BTreeMap;

use super::rule::Rule;

/// What was found out about each rule.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kept: BTreeMap<Rule, u64>,
    broken: BTreeMap<Rule, Vec<Broken>>,
}

/// How a rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// In which conversation.
    pub case: String,
    /// How.
    pub what: String,
}

/// How a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was kept whenever it came to it.
    Kept,
    /// It was broken at least once.
    Broken,
    /// It never came to it: the service did nothing that the rule is about.
    NotSeen,
}

impl Status {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::NotSeen => "not seen",
        }
    }
}

impl Findings {
    /// A rule was kept.
    pub(super) fn kept(&mut self, rule: Rule) {
        *self.kept.entry(rule).or_default() += 1;
    }

    /// A rule was broken.
    pub(super) fn broken(&mut self, rule: Rule, case: &str, what: impl Into<String>) {
        self.broken.entry(rule).or_default().push(Broken { case: case.to_owned(), what: what.into() });
    }

    /// Kept, or broken for a reason.
    pub(super) fn note(&mut self, rule: Rule, case: &str, checked: Result<(), String>) {
        match checked {
            Ok(()) => self.kept(rule),
            Err(what) => self.broken(rule, case, what),
        }
    }

    /// Takes in what others found.
    pub(super) fn add(&mut self, other: Self) {
        for (rule, times) in other.kept {
            *self.kept.entry(rule).or_default() += times;
        }
        for (rule, broken) in other.broken {
            self.broken.entry(rule).or_default().extend(broken);
        }
    }

    /// How a rule stands.
    pub fn status(&self, rule: Rule) -> Status {
        match (self.times_broken(rule), self.times_kept(rule)) {
            (1.., _) => Status::Broken,
            (0, 1..) => Status::Kept,
            (0, 0) => Status::NotSeen,
        }
    }

    /// How often a rule was kept.
    pub fn times_kept(&self, rule: Rule) -> u64 {
        self.kept.get(&rule).copied().unwrap_or_default()
    }

    /// How often a rule was broken.
    pub fn times_broken(&self, rule: Rule) -> usize {
        self.broken_of(rule).len()
    }

    /// How a rule was broken, each time.
    pub fn broken_of(&self, rule: Rule) -> &[Broken] {
        self.broken.get(&rule).map_or(&[], Vec::as_slice)
    }

    /// The rules that were broken.
    pub fn broken_rules(&self) -> Vec<Rule> {
        Rule::ALL.iter().copied().filter(|rule| self.status(*rule) == Status::Broken).collect()
    }
}
