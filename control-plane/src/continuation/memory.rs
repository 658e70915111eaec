//! The last calls: the next one may come before they are on record.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::Answered;

/// How much is kept. The record has the rest.
const KEPT_MAX: usize = 4096;
/// How long a call of a conversation is known here, from its beginning on. It is on record long before.
const RECENT: Duration = Duration::from_secs(30);

/// A client, and the id of a response or a conversation.
type Key = (Option<String>, String);

#[derive(Default)]
pub(super) struct Memory {
    responses: HashMap<Key, Answered>,
    /// The responses, in the order in which they came.
    order: VecDeque<Key>,
    recent: VecDeque<Recent>,
}

/// A call of a conversation that began a moment ago.
struct Recent {
    conversation: Key,
    call_id: Uuid,
    began: Instant,
    /// Whether anything was changed; `None`: it is not over.
    changed: Option<bool>,
}

/// What became of the calls of a conversation, the worst of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Unchanged,
    Running,
    Changed,
}

impl Memory {
    pub(super) fn response(&self, client: Option<&str>, id: &str) -> Option<&Answered> {
        self.responses.get(&key(client, id))
    }

    pub(super) fn insert_response(&mut self, client: Option<&str>, id: &str, answered: Answered) {
        let key = key(client, id);
        if self.responses.insert(key.clone(), answered).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.responses.remove(&oldest);
        }
    }

    /// A call of a conversation begins.
    pub(super) fn begin(&mut self, client: Option<&str>, conversation: &str, call_id: Uuid, now: Instant) {
        while self.recent.len() >= KEPT_MAX
            || self.recent.front().is_some_and(|call| now.duration_since(call.began) > RECENT)
        {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { conversation: key(client, conversation), call_id, began: now, changed: None });
    }

    /// A call is over.
    pub(super) fn end(&mut self, call_id: Uuid, changed: bool) {
        self.recent.iter_mut().filter(|call| call.call_id == call_id).for_each(|call| call.changed = Some(changed));
    }

    /// What became of the conversation's calls, but for this one.
    pub(super) fn conversation(&self, client: Option<&str>, id: &str, this: Uuid) -> State {
        let key = key(client, id);
        let others = self.recent.iter().filter(|call| call.conversation == key && call.call_id != this);
        let state = |call: &Recent| match call.changed {
            Some(false) => State::Unchanged,
            None => State::Running,
            Some(true) => State::Changed,
        };
        others.map(state).max().unwrap_or(State::Unchanged)
    }
}

fn key(client: Option<&str>, id: &str) -> Key {
    (client.map(str::to_owned), id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut memory = Memory::default();
        for n in 0..=KEPT_MAX {
            memory.insert_response(None, &n.to_string(), Answered::default());
        }
        assert!(memory.response(None, "0").is_none());
        assert!(memory.response(None, "1").is_some() && memory.response(Some("ci"), "1").is_none());
        assert_eq!(memory.responses.len(), KEPT_MAX);
    }

    #[test]
    fn the_worst_of_a_conversations_calls_counts_and_old_ones_do_not() {
        let (mut memory, began) = (Memory::default(), Instant::now());
        let id = Uuid::from_u128;
        let state = |memory: &Memory| memory.conversation(None, "c", id(9));
        memory.begin(None, "c", id(1), began);
        memory.begin(Some("ci"), "c", id(2), began);
        assert_eq!((state(&memory), memory.conversation(None, "c", id(1))), (State::Running, State::Unchanged));
        memory.end(id(1), false);
        assert_eq!(state(&memory), State::Unchanged);
        memory.begin(None, "c", id(3), began);
        memory.end(id(3), true);
        assert_eq!(state(&memory), State::Changed);
        memory.begin(None, "d", id(4), began + RECENT * 2);
        assert_eq!((state(&memory), memory.recent.len()), (State::Unchanged, 1));
    }
}
