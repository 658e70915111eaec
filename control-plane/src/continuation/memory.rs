//! The responses of the last calls: the next one may come before they are durable.

use std::collections::{HashMap, VecDeque};

use super::Answered;

/// How many are kept. The record has the others.
const KEPT_MAX: usize = 4096;

/// By client and id of the response.
type Key = (Option<String>, String);

#[derive(Default)]
pub(super) struct Memory {
    responses: HashMap<Key, Answered>,
    /// In the order in which they came.
    order: VecDeque<Key>,
}

impl Memory {
    pub(super) fn get(&self, client: Option<&str>, id: &str) -> Option<&Answered> {
        self.responses.get(&(client.map(str::to_owned), id.to_owned()))
    }

    pub(super) fn insert(&mut self, client: Option<String>, id: String, answered: Answered) {
        let key = (client, id);
        if self.responses.insert(key.clone(), answered).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.responses.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut memory = Memory::default();
        for n in 0..=KEPT_MAX {
            memory.insert(None, n.to_string(), Answered::default());
        }
        assert!(memory.get(None, "0").is_none());
        assert!(memory.get(None, "1").is_some() && memory.get(Some("ci"), "1").is_none());
        assert_eq!(memory.responses.len(), KEPT_MAX);
    }
}
