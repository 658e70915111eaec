//! Answers of models, kept for equal questions of the same session.
//!
//! An agent asks for the same tool again and again, and a policy that asks a model about it would ask the same each time. A
//! policy service can't remember what was answered: the one that takes a call over remembers something else. Here it can
//! be: what was told of a call is told again as it was.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, Uri};
use luthien_proto::Event;
use sha2::{Digest, Sha256};

/// What is kept, of all sessions together.
const ANSWERS_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 << 20;
/// What an answer costs beside what it says.
const OVERHEAD: usize = 512;

/// Answers that were given.
#[derive(Debug)]
pub(crate) struct Answers {
    kept: Mutex<Kept>,
    /// How long an answer will do.
    age_max: Duration,
    answers_max: usize,
    bytes_max: usize,
}

/// What makes questions equal: who asks, in which session, whom, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) events: Vec<Event>,
    /// As it came, in bytes.
    pub(crate) size: usize,
}

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<Key, (Instant, Answer)>,
    /// Oldest first. What was replaced since stands twice, with two times.
    order: VecDeque<(Instant, Key)>,
    bytes: usize,
}

impl Key {
    /// Of a question in the session of that marker, by the client of that identity, as it is sent. `None`: the session has no
    /// marker.
    pub(crate) fn new(session: &str, client: &[u8; 32], uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if session.is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        add(session.as_bytes());
        add(client);
        add(uri.to_string().as_bytes());
        add(body);
        for (name, value) in headers {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
        Some(Self(digest.finalize().into()))
    }
}

impl Answers {
    /// Answers will do for so long; zero: none will.
    pub(crate) fn new(age_max: Duration) -> Self {
        Self::with_room(age_max, ANSWERS_MAX, BYTES_MAX)
    }

    fn with_room(age_max: Duration, answers_max: usize, bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), age_max, answers_max, bytes_max }
    }

    /// What was answered to an equal question.
    pub(crate) fn find(&self, key: &Key, now: Instant) -> Option<Vec<Event>> {
        let kept = self.kept();
        let (at, answer) = kept.answers.get(key)?;
        (now.saturating_duration_since(*at) < self.age_max).then(|| answer.events.clone())
    }

    /// Whether an answer is kept to an equal question.
    pub(crate) fn knows(&self, key: &Key) -> bool {
        self.kept().answers.contains_key(key)
    }

    /// Keeps an answer, in place of an earlier one; those that are too many go, oldest first.
    pub(crate) fn keep(&self, key: Key, answer: Answer, now: Instant) {
        if self.age_max.is_zero() || answer.cost() > self.bytes_max {
            return;
        }
        let mut kept = self.kept();
        kept.bytes += answer.cost();
        if let Some((_, replaced)) = kept.answers.insert(key, (now, answer)) {
            kept.bytes -= replaced.cost();
        }
        kept.order.push_back((now, key));
        while let Some((at, oldest)) = kept.order.front().copied() {
            let is_too_much = kept.answers.len() > self.answers_max || kept.bytes > self.bytes_max;
            let is_replaced = kept.answers.get(&oldest).is_none_or(|(kept_at, _)| *kept_at != at);
            let is_old = now.saturating_duration_since(at) >= self.age_max;
            if !(is_too_much || is_replaced || is_old) {
                break;
            }
            kept.order.pop_front();
            if !is_replaced && let Some((_, dropped)) = kept.answers.remove(&oldest) {
                kept.bytes -= dropped.cost();
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn cost(&self) -> usize {
        self.size + OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use luthien_proto::{Step, event::CallError};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(number: u8) -> Key {
        Key([number; 32])
    }

    fn answer(text: &str) -> Answer {
        let said = Step::Failed(CallError { message: text.to_owned(), ..CallError::default() });
        Answer { events: vec![said.into()], size: text.len() }
    }

    fn found(answers: &Answers, now: Instant) -> Vec<u8> {
        (0..10).filter(|number| answers.find(&key(*number), now).is_some()).collect()
    }

    #[test]
    fn only_what_is_asked_alike_of_the_same_by_the_same_is_equal() {
        let uri = |path: &str| format!("http://h/{path}").parse::<Uri>().unwrap();
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static(value))])
        };
        let key = |session, client: u8, path, value, body: &str| {
            Key::new(session, &[client; 32], &uri(path), &headers(value), body.as_bytes())
        };
        let this = key("s", 1, "a", "k", "b").unwrap();
        assert_eq!(key("s", 1, "a", "k", "b"), Some(this));
        let others = [
            ("t", 1, "a", "k", "b"),
            ("s", 2, "a", "k", "b"),
            ("s", 1, "b", "k", "b"),
            ("s", 1, "a", "l", "b"),
            ("s", 1, "a", "k", "c"),
        ];
        for (session, client, path, value, body) in others {
            assert_ne!(key(session, client, path, value, body), Some(this), "{session} {client} {path} {value} {body}");
        }
        assert_eq!(key("", 1, "a", "k", "b"), None, "a session without a marker is nobody's");
    }

    #[test]
    fn an_answer_will_do_for_a_while() {
        let (answers, now) = (Answers::new(HOUR), Instant::now());
        answers.keep(key(1), answer("a"), now);
        assert_eq!(answers.find(&key(1), now + HOUR / 2), Some(answer("a").events));
        assert_eq!(answers.find(&key(1), now + HOUR), None);
        answers.keep(key(1), answer("b"), now + HOUR);
        assert_eq!(answers.find(&key(1), now + HOUR), Some(answer("b").events));
    }

    #[test]
    fn where_there_is_no_room_the_oldest_go() {
        let now = Instant::now();
        let answers = Answers::with_room(HOUR, 3, 1 << 20);
        for (second, number) in [(0, 1), (1, 2), (2, 3), (3, 1), (4, 4)] {
            answers.keep(key(number), answer("a"), now + Duration::from_secs(second));
        }
        assert_eq!(found(&answers, now), [1, 3, 4], "what was kept anew is not old");
        let answers = Answers::with_room(HOUR, 10, 2 * (OVERHEAD + 10));
        (1..4).for_each(|number| answers.keep(key(number), answer("0123456789"), now));
        assert_eq!(found(&answers, now), [2, 3]);
        answers.keep(key(5), answer(&"long".repeat(1000)), now);
        assert_eq!(found(&answers, now), [2, 3], "what never fits drives nothing out");
        assert_eq!(answers.kept().bytes, 2 * (OVERHEAD + 10));
    }

    #[test]
    fn nothing_is_kept_where_nothing_will_do() {
        let (answers, now) = (Answers::new(Duration::ZERO), Instant::now());
        answers.keep(key(1), answer("a"), now);
        assert!(answers.kept().answers.is_empty());
    }
}
