//! A timer for a deadline that is put off again and again.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// Kept from one wait to the next, and set anew only for a deadline that comes earlier, or when it rings too early.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits for the deadline; `None`: for ever. May be dropped and called again.
    pub(crate) async fn ring(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return std::future::pending().await };
        loop {
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            let is_early = sleep.deadline() < deadline && sleep.is_elapsed();
            if is_early || sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            sleep.as_mut().await;
            if sleep.deadline() >= deadline {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_deadline_that_was_named_last() {
        let begun = Instant::now();
        let after = |seconds| Some(begun + Duration::from_secs(seconds));
        let mut alarm = Alarm::default();
        for (first, then) in [(5, 9), (30, 12), (3, 20), (20, 20), (21, 4)] {
            tokio::select! {
                biased;
                () = alarm.ring(after(first)), if after(first) > Some(Instant::now()) => panic!("too early"),
                () = std::future::ready(()) => {}
            }
            let before = Instant::now();
            alarm.ring(after(then)).await;
            assert_eq!(Some(Instant::now()), after(then).max(Some(before)), "{first}, then {then}");
        }
    }
}
