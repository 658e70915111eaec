//! What was said and may not leave yet: under strict audit, what is not on record.

use std::{collections::VecDeque, future::pending};

use luthien_proto::FromService;
use tokio::sync::watch;

/// What waits, in the order in which it was said.
pub(super) struct Outbox {
    /// With how many of the call's entries have to be durable.
    waiting: VecDeque<(u64, FromService)>,
    /// How many are.
    durable: watch::Receiver<Option<u64>>,
}

impl Outbox {
    pub(super) fn new(durable: watch::Receiver<Option<u64>>) -> Self {
        Self { waiting: VecDeque::new(), durable }
    }

    /// Puts a message behind those that wait; gives it back if it may leave at once.
    pub(super) fn put(&mut self, behind: u64, message: FromService) -> Option<FromService> {
        if self.waiting.is_empty() && is_reached(*self.durable.borrow(), behind) {
            return Some(message);
        }
        self.waiting.push_back((behind, message));
        None
    }

    /// What waits, now that everything is on record.
    pub(super) fn rest(self) -> impl Iterator<Item = FromService> {
        self.waiting.into_iter().map(|(_, message)| message)
    }

    /// The next message, when it may leave.
    pub(super) async fn due(&mut self) -> FromService {
        let Some((behind, _)) = self.waiting.front() else { return pending().await };
        let reached = self.durable.wait_for(|durable| is_reached(*durable, *behind)).await.is_ok();
        match self.waiting.pop_front() {
            Some((_, message)) if reached => message,
            // Whatever waits is never on record.
            Some(_) | None => pending().await,
        }
    }
}

fn is_reached(durable: Option<u64>, behind: u64) -> bool {
    behind == 0 || durable.is_some_and(|durable| durable >= behind)
}
