//! What all calls of the plane may hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Bytes that have arrived and not left, of all calls.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    held: AtomicUsize,
    freed: Notify,
}

/// What one call has of it.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    held: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: AtomicUsize::new(0), freed: Notify::new() }
    }

    /// Whether calls have all that they may: no more are taken, and the upstreams of those that hold something are not
    /// read.
    pub(crate) fn is_spent(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= self.limit
    }

    /// What a call has, which holds nothing yet.
    pub(crate) fn share(&self) -> Share<'_> {
        Share { budget: self, held: 0 }
    }

    fn change(&self, before: usize, after: usize) {
        let was = self.held.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        let is = was.wrapping_add(after).wrapping_sub(before);
        if was >= self.limit && is < self.limit {
            self.freed.notify_waiters();
        }
    }
}

impl Share<'_> {
    /// The call holds so many bytes. Whether the budget is spent.
    pub(crate) fn hold(&mut self, held: usize) -> bool {
        if held != self.held {
            self.budget.change(self.held, held);
            self.held = held;
        }
        self.budget.is_spent()
    }

    /// Waits until the budget is not spent.
    pub(crate) async fn freed(&self) {
        let mut freed = std::pin::pin!(self.budget.freed.notified());
        // From here on nothing is missed.
        freed.as_mut().enable();
        if self.budget.is_spent() {
            freed.await;
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.change(self.held, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_spent_budget_is_woken_when_it_is_not() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(!one.hold(6) && other.hold(5));
        let waiting = other.freed();
        tokio::select! {
            biased;
            () = waiting => panic!("nothing was freed"),
            () = std::future::ready(()) => {}
        }
        let free = async { drop(one) };
        tokio::join!(other.freed(), free);
        assert!(!budget.is_spent());
        other.freed().await;
    }
}
