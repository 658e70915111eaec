//! The tool calls that are being judged, and what became of those that were.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use luthien_proto::message::Severity;
use serde_json::{Value, json};

use super::{
    bench::Bench,
    opinion::{NoOpinion, Opinion},
    question::Subject,
    settings::{OnError, Settings},
};
use crate::{ConsultId, Consulted, Held, policies::refusal::text_block};

/// The cases of a call.
pub(super) struct Docket {
    settings: Arc<Settings>,
    /// What each question is about.
    asked: BTreeMap<ConsultId, Subject>,
    open: BTreeMap<Subject, Open>,
    opinions: BTreeMap<Subject, Opinion>,
    /// The ids of refused calls: what the provider's own tools answered to them is dropped.
    refused: BTreeSet<String>,
    pub counts: Counts,
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub judged: u64,
    pub refused: u64,
    /// Of which nobody has an opinion.
    pub unjudged: u64,
}

/// A tool call that is held.
#[derive(Debug, Default)]
pub(super) struct Case {
    /// Its chunks; in place of the first one stands what is said of it.
    pub chunks: Vec<Held>,
    /// What the provider's own tool answered to it.
    pub answers: Vec<Held>,
    /// Its id; or empty.
    pub id: String,
    pub choice: u32,
    /// Its last chunk.
    pub seq: u64,
    /// Whether a text may stand in its place.
    pub is_block: bool,
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

impl Docket {
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            asked: BTreeMap::new(),
            open: BTreeMap::new(),
            opinions: BTreeMap::new(),
            refused: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// A call is whole, and all of it is held.
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
        let found = Opinion::of(consulted);
        let questions = self.open.get(&subject).map_or(0, |open| open.questions);
        if let Err(why) = &found
            && questions <= self.settings.retries
        {
            let summary = format!("asks again about a call of {}: {why}", subject.tool);
            let seq = self.open.get(&subject).and_then(|open| open.cases.first()).map_or(0, |case| case.seq);
            bench.note(seq, Severity::Info, summary, json!({ "tool": subject.tool, "error": why.to_string() }));
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

    fn ask(&mut self, subject: Subject, bench: &mut impl Bench) {
        let attempts = self.open.get_mut(&subject).map_or(1, |open| {
            open.questions += 1;
            open.questions
        });
        // What was answered before may be what is to be asked again.
        let id = bench.ask(subject.question(&self.settings, attempts == 1));
        self.asked.insert(id, subject);
    }

    fn decide(&mut self, subject: &Subject, case: Case, found: &Result<Opinion, NoOpinion>, bench: &mut impl Bench) {
        let passes = match found {
            Ok(opinion) => opinion.probability < self.settings.threshold,
            Err(_) => self.settings.on_error == OnError::Pass,
        };
        self.note(subject, case.seq, passes, found, bench);
        self.counts.judged += u64::from(found.is_ok());
        self.counts.unjudged += u64::from(found.is_err());
        self.counts.refused += u64::from(!passes);
        let Case { chunks, answers, id, choice, is_block, .. } = case;
        if passes {
            return chunks.into_iter().chain(answers).for_each(|held| bench.pass(held));
        }
        let mut instead = match is_block {
            true => text_block(bench.block(), choice, self.message(subject, found)),
            false => Vec::new(),
        };
        for held in chunks.into_iter().chain(answers) {
            bench.replace(held, std::mem::take(&mut instead));
        }
        if !id.is_empty() {
            self.refused.insert(id);
        }
    }

    fn message(&self, subject: &Subject, found: &Result<Opinion, NoOpinion>) -> String {
        let (probability, explanation) = match found {
            Ok(opinion) => (opinion.probability.to_string(), opinion.explanation.as_str()),
            Err(_) => ("unknown".to_owned(), "it could not be judged"),
        };
        self.settings.message.fill(&[
            ("{tool_name}", &subject.tool),
            ("{tool_arguments}", &subject.arguments),
            ("{probability}", &probability),
            ("{explanation}", explanation),
        ])
    }

    fn note(
        &self,
        subject: &Subject,
        seq: u64,
        passes: bool,
        found: &Result<Opinion, NoOpinion>,
        bench: &mut impl Bench,
    ) {
        let done = if passes { "passed" } else { "refused" };
        let (severity, why, details) = match found {
            Ok(Opinion { probability, explanation }) => {
                let severity = if passes { Severity::Info } else { Severity::Warning };
                let details = json!({ "probability": probability, "explanation": explanation });
                (severity, format!("probability of harm {probability}"), details)
            }
            Err(error) => (Severity::Error, error.to_string(), json!({ "error": error.to_string() })),
        };
        let mut whole = json!({ "tool": subject.tool, "threshold": self.settings.threshold });
        if let (Value::Object(whole), Value::Object(details)) = (&mut whole, details) {
            whole.extend(details);
        }
        bench.note(seq, severity, format!("{done} a call of {}: {why}", subject.tool), whole);
    }
}
