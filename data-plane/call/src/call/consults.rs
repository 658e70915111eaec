//! The questions that policies ask models during a call.

use std::collections::{BTreeMap, VecDeque};

use luthien_proto::{
    event::{CallError, Event, Step},
    message::{Consult, Consultation},
};

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub struct ConsultLimits {
    /// In a call.
    pub per_call: usize,
    /// At once; what is asked beyond that waits.
    pub at_once: usize,
}

/// Every question of a call. One that is asked again, after a loss of the policy service, is not asked twice.
#[derive(Debug)]
pub struct Consults {
    limits: ConsultLimits,
    known: BTreeMap<String, Known>,
    waiting: VecDeque<Box<Consult>>,
    running: usize,
}

#[derive(Debug)]
struct Known {
    /// `None`: it was one too many, and is not kept.
    question: Option<Box<Consult>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    /// It was answered, or the answer is of no use any more.
    Over,
}

/// What becomes of a question.
#[derive(Debug, PartialEq)]
pub enum Asked {
    /// It is to be asked now.
    Now(Box<Consult>),
    /// It will be asked, or was: nothing is to be done.
    Later,
    /// It is answered at once.
    Answered(Consultation),
    /// Its id stands for another question.
    Clash,
}

impl Consults {
    /// None yet.
    pub fn new(limits: ConsultLimits) -> Self {
        Self { limits, known: BTreeMap::new(), waiting: VecDeque::new(), running: 0 }
    }

    /// Whether an answer is owed.
    pub fn is_waiting(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty()
    }

    /// A question came.
    pub fn ask(&mut self, question: Box<Consult>) -> Asked {
        if let Some(known) = self.known.get(&question.id) {
            let is_same = known.question.as_ref().is_none_or(|known| is_same(known, &question));
            return if is_same { Asked::Later } else { Asked::Clash };
        }
        let id = question.id.clone();
        let state = match self.running < self.limits.at_once {
            _ if self.known.len() >= self.limits.per_call => State::Over,
            true => State::Running,
            false => State::Waiting,
        };
        let kept = (state != State::Over).then(|| question.clone());
        self.known.insert(id.clone(), Known { question: kept, state });
        match state {
            State::Over => Asked::Answered(refused(id, format!("More than {} consults", self.limits.per_call))),
            State::Waiting => {
                self.waiting.push_back(question);
                Asked::Later
            }
            State::Running => {
                self.running += 1;
                Asked::Now(question)
            }
        }
    }

    /// The answer came: whether anybody waits for it, and what is to be asked now.
    pub fn answered(&mut self, id: &str) -> (bool, Option<Box<Consult>>) {
        (self.finish(id) == Some(State::Running), self.next())
    }

    /// The answer is of no use any more: whether the question has to be withdrawn, and what is to be asked now.
    pub fn cancel(&mut self, id: &str) -> (bool, Option<Box<Consult>>) {
        let was = self.finish(id);
        self.waiting.retain(|question| question.id != id);
        (was == Some(State::Running), self.next())
    }

    /// No answer is of any use any more: what has to be withdrawn.
    pub fn cancel_all(&mut self) -> Vec<String> {
        self.waiting.clear();
        let running = self.known.iter().filter(|(_, known)| known.state == State::Running);
        let running: Vec<String> = running.map(|(id, _)| id.clone()).collect();
        self.known.values_mut().for_each(|known| known.state = State::Over);
        self.running = 0;
        running
    }

    fn finish(&mut self, id: &str) -> Option<State> {
        let known = self.known.get_mut(id)?;
        let was = std::mem::replace(&mut known.state, State::Over);
        self.running -= usize::from(was == State::Running);
        Some(was)
    }

    fn next(&mut self) -> Option<Box<Consult>> {
        if self.running >= self.limits.at_once {
            return None;
        }
        let question = self.waiting.pop_front()?;
        if let Some(known) = self.known.get_mut(&question.id) {
            known.state = State::Running;
            self.running += 1;
        }
        Some(question)
    }
}

/// Whether a question is one that was asked. What answers it does not matter: services may differ in what they offer to take.
fn is_same(known: &Consult, question: &Consult) -> bool {
    let Consult { id, request, upstream, credentials, deadline_ms, reuse: _ } = question;
    let said = (id, request, upstream, credentials, deadline_ms);
    said == (&known.id, &known.request, &known.upstream, &known.credentials, &known.deadline_ms)
}

/// The answer to a question that is not asked.
fn refused(id: String, message: String) -> Consultation {
    let error = CallError { status: 429, message, ..CallError::default() };
    Consultation { id, events: vec![Event::from(Step::Failed(error))], reused: false }
}
