//! The blocks that are being judged, and what became of those that were.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockStarted, Delta},
    message::Severity,
};
use serde_json::json;

use super::{Law, Mark, NoOpinion, Note, Sentence, Subject, What, answer, bench::Bench};
use crate::{ConsultId, Consulted, Held, policies::refusal::text_block};

/// The cases of a call.
pub(super) struct Docket<L: Law> {
    pub law: Arc<L>,
    mark: Mark,
    /// What each question is about.
    asked: BTreeMap<ConsultId, Subject>,
    open: BTreeMap<Subject, Open>,
    opinions: BTreeMap<Subject, L::Opinion>,
    /// The ids of refused calls: what the provider's own tools answered to them is dropped.
    refused: BTreeSet<String>,
    pub counts: Counts,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Counts {
    pub judged: u64,
    /// That did not stay as they were.
    pub changed: u64,
    /// Of which nobody has an opinion.
    pub unjudged: u64,
}

/// A block that is held, or a step.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub chunks: Vec<Part>,
    /// Its start; of a step there is none, and no text may stand in its place.
    pub started: Option<BlockStarted>,
    /// What the provider's own tool answered to it.
    pub answers: Vec<Held>,
    /// The id of the call; or empty.
    pub id: String,
    /// Its last chunk.
    pub seq: u64,
}

/// A chunk of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub held: Held,
    pub role: Role,
}

/// What a chunk is to its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Start,
    Piece,
    Signature,
    Stop,
}

/// Equal cases, until they are decided.
#[derive(Debug, Default)]
struct Open {
    questions: u32,
    cases: Vec<Case>,
}

/// How it stands with the call of an id.
pub(super) enum Standing<'a> {
    Open(&'a mut Case),
    Refused,
    /// It passed, or there was none.
    Passed,
}

impl<L: Law> Docket<L> {
    pub fn new(law: Arc<L>, mark: Mark) -> Self {
        Self {
            law,
            mark,
            asked: BTreeMap::new(),
            open: BTreeMap::new(),
            opinions: BTreeMap::new(),
            refused: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// A block is whole, and all of it is held.
    pub fn judge(&mut self, subject: Subject, case: Case, bench: &mut impl Bench) {
        if let Some(opinion) = self.opinions.get(&subject).cloned() {
            return self.decide(&subject, case, &Ok(opinion), bench);
        }
        let open = self.open.entry(subject.clone()).or_default();
        open.cases.push(case);
        if open.cases.len() == 1 {
            self.ask(subject, bench);
        }
    }

    /// The judge answered.
    pub fn consulted(&mut self, consulted: &Consulted<'_>, bench: &mut impl Bench) {
        let Some(subject) = self.asked.remove(&consulted.id) else { return };
        let found =
            answer::object(consulted).and_then(|object| self.law.read(&subject, &object).map_err(NoOpinion::Malformed));
        let questions = self.open.get(&subject).map_or(0, |open| open.questions);
        if let Err(why) = &found
            && questions <= self.law.asking().retries
        {
            let summary = format!("asks again about {}: {why}", subject.name());
            let seq = self.open.get(&subject).and_then(|open| open.cases.first()).map_or(0, |case| case.seq);
            let mut details = json!({ "error": why.to_string() });
            if let What::Call { tool, .. } = &subject.what {
                details["tool"] = json!(tool);
            }
            bench.note(seq, Severity::Info, summary, details);
            return self.ask(subject, bench);
        }
        for case in self.open.remove(&subject).unwrap_or_default().cases {
            self.decide(&subject, case, &found, bench);
        }
        if let Ok(opinion) = found {
            self.opinions.insert(subject, opinion);
        }
    }

    /// How it stands with the call of that id.
    pub fn standing(&mut self, id: &str) -> Standing<'_> {
        if self.refused.contains(id) {
            return Standing::Refused;
        }
        let cases = self.open.values_mut().flat_map(|open| &mut open.cases);
        match cases.into_iter().find(|case| case.id == id && !id.is_empty()) {
            Some(case) => Standing::Open(case),
            None => Standing::Passed,
        }
    }

    /// A block is judged no more. The question that nobody waits for then, if there is one.
    pub fn forget(&mut self, block: BlockKey) -> Option<ConsultId> {
        let is_it = |case: &Case| case.started.as_ref().is_some_and(|started| started.block == block);
        let found = self.open.iter_mut().find(|(_, open)| open.cases.iter().any(is_it));
        let (subject, open) = found?;
        let subject = subject.clone();
        open.cases.retain(|case| !is_it(case));
        if !open.cases.is_empty() {
            return None;
        }
        self.open.remove(&subject);
        let id = self.asked.iter().find(|(_, asked)| **asked == subject).map(|(id, _)| *id)?;
        self.asked.remove(&id);
        Some(id)
    }

    fn ask(&mut self, subject: Subject, bench: &mut impl Bench) {
        let attempts = self.open.get_mut(&subject).map_or(1, |open| {
            open.questions += 1;
            open.questions
        });
        let (instructions, told) = (self.law.instructions(&subject, &self.mark), subject.told(&self.mark));
        // What was answered before may be what is to be asked again.
        let id = bench.ask(self.law.asking().question(instructions, told, attempts == 1));
        self.asked.insert(id, subject);
    }

    fn decide(&mut self, subject: &Subject, case: Case, found: &Result<L::Opinion, NoOpinion>, bench: &mut impl Bench) {
        let sentence = self.law.sentence(subject, found);
        let Note { severity, summary, details } = self.law.note(subject, found, &sentence);
        bench.note(case.seq, severity, summary, details);
        self.counts.judged += u64::from(found.is_ok());
        self.counts.unjudged += u64::from(found.is_err());
        self.counts.changed += u64::from(sentence != Sentence::Pass);
        match (sentence, &subject.what) {
            (Sentence::Pass, _) => pass(case, bench),
            (Sentence::Say(text), What::Call { .. }) => self.refuse(case, text, bench),
            (Sentence::Say(text), What::Text) if found.is_err() => self.refuse(case, text, bench),
            (Sentence::Say(text), What::Text) if text.is_empty() => drop_all(case, bench),
            (Sentence::Say(text), What::Text) => put(case, Delta::Text(text), bench),
            (Sentence::Arguments(text), _) => put(case, Delta::Arguments(text), bench),
        }
    }

    /// A text stands in place of the block.
    fn refuse(&mut self, case: Case, text: String, bench: &mut impl Bench) {
        let mut instead = match &case.started {
            Some(started) => text_block(bench.block(), started.choice, text),
            None => Vec::new(),
        };
        for held in case.chunks.iter().map(|part| part.held).chain(case.answers) {
            bench.replace(held, std::mem::take(&mut instead));
        }
        if !case.id.is_empty() {
            self.refused.insert(case.id);
        }
    }
}

fn pass(case: Case, bench: &mut impl Bench) {
    case.chunks.iter().map(|part| part.held).chain(case.answers).for_each(|held| bench.pass(held));
}

fn drop_all(case: Case, bench: &mut impl Bench) {
    case.chunks.iter().map(|part| part.held).chain(case.answers).for_each(|held| bench.replace(held, Vec::new()));
}

/// The block stays, with that content, and without what came beside it.
fn put(case: Case, delta: Delta, bench: &mut impl Bench) {
    let Some(started) = case.started else { return drop_all(case, bench) };
    let block = started.block;
    let mut head: Vec<Event> =
        vec![Step::BlockStarted(started).into(), Step::BlockDelta(BlockDelta { block, delta }).into()];
    for Part { held, role } in case.chunks {
        match role {
            Role::Start | Role::Piece => bench.replace(held, std::mem::take(&mut head)),
            Role::Signature => bench.pass(held),
            Role::Stop => bench.replace(held, vec![Step::BlockStopped(block).into()]),
        }
    }
    case.answers.into_iter().for_each(|held| bench.pass(held));
}
