//! What the scripted peers saw, in order. Two runs of a seed have the same.

use std::{
    cell::RefCell,
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    rc::Rc,
    time::Duration,
};

use crate::{
    client::{End, Got},
    http1::Head,
};

/// Shared by the peers of a run.
#[derive(Clone, Default)]
pub struct Trace(Rc<RefCell<Seen>>);

#[derive(Default)]
pub struct Seen {
    /// Lines, to be compared and read.
    pub log: Vec<String>,
    pub clients: Vec<Got>,
    pub upstreams: Vec<Upstream>,
    pub consults: Vec<Consult>,
}

/// A question to the judge.
#[derive(Clone, Debug)]
pub struct Consult {
    /// The call, and which of its tool calls it is about.
    pub call: usize,
    pub tool: usize,
    pub credentials: String,
    /// Whether the answer was none.
    pub confused: bool,
    /// When.
    pub answered: Option<u64>,
}

/// What the upstream saw of a call.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// The credentials of each request.
    pub asked: Vec<String>,
    /// How much of the body was said, and when.
    pub said: Vec<(u64, usize)>,
}

impl Trace {
    pub fn new(calls: usize) -> Self {
        let seen = Seen {
            clients: vec![Got::default(); calls],
            upstreams: vec![Upstream::default(); calls],
            ..Seen::default()
        };
        Self(Rc::new(RefCell::new(seen)))
    }

    pub fn note(&self, what: impl AsRef<str>) {
        self.0.borrow_mut().log.push(format!("{:>6} {}", now(), what.as_ref()));
    }

    pub fn asked(&self, number: usize, credentials: &str) {
        self.note(format!("call {number}: the upstream is asked"));
        self.0.borrow_mut().upstreams[number].asked.push(credentials.to_owned());
    }

    pub fn said(&self, number: usize, end: usize) {
        self.note(format!("call {number}: the upstream has said {end} bytes"));
        self.0.borrow_mut().upstreams[number].said.push((now(), end));
    }

    /// Gives the number of the question.
    pub fn consulted(&self, consult: Consult) -> usize {
        self.note(format!("call {}: the judge is asked about tool {}", consult.call, consult.tool));
        let consults = &mut self.0.borrow_mut().consults;
        consults.push(consult);
        consults.len() - 1
    }

    pub fn answered(&self, consult: usize) {
        self.note(format!("the judge answers question {consult}"));
        self.0.borrow_mut().consults[consult].answered = Some(now());
    }

    pub fn heard(&self, number: usize, head: Option<&Head>, body: &[u8]) {
        self.note(format!("call {number}: the client got {} bytes", body.len()));
        let got = &mut self.0.borrow_mut().clients[number];
        got.status = head.and_then(Head::status);
        got.call_id = head.and_then(|head| head.header("x-luthien-call-id").map(str::to_owned));
        got.body.extend_from_slice(body);
        if !body.is_empty() {
            got.pieces.push((now(), got.body.len()));
        }
    }

    pub fn ended(&self, number: usize, end: End) {
        let body = self.look(|seen| timeless(&seen.clients[number].body));
        self.note(format!("call {number}: {end:?}, {:016x}", hash(&body)));
        self.0.borrow_mut().clients[number].end = end;
    }

    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.0.borrow())
    }

    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

/// A body without the time at which it was made, which is the machine's.
pub fn timeless(body: &[u8]) -> String {
    const CREATED: &str = "\"created\":";
    let text = String::from_utf8_lossy(body);
    let mut parts = text.split(CREATED);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + CREATED + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn hash(what: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Milliseconds since the run began.
pub fn now() -> u64 {
    turmoil::sim_elapsed().map_or(0, |elapsed: Duration| elapsed.as_millis() as u64)
}
