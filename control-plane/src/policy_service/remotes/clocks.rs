//! How long a remote policy is waited for.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use luthien_policy::{Owed, Remote};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::metrics::RemoteCause;

/// Two clocks: for its silence, and for how long it takes. They stand while it owes nothing.
pub(super) struct Clocks {
    owed: Option<Owed>,
    /// When it was heard last, or when it began to owe something.
    heard: Instant,
    /// Since when it gets on with nothing.
    stuck: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Clocks {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { owed: None, heard: now, stuck: now, sleep: Box::pin(sleep_until(now)) }
    }

    /// It was heard.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// What it owes from now on.
    pub(super) fn mind(&mut self, owed: Option<Owed>) {
        let now = Instant::now();
        match (self.owed, owed) {
            (None, Some(_)) => (self.heard, self.stuck) = (now, now),
            (Some(before), Some(after)) if !before.decision || before.progress != after.progress => self.stuck = now,
            (Some(_), Some(_)) | (_, None) => {}
        }
        self.owed = owed;
    }

    /// When it is lost by them, and which of them it was.
    pub(super) fn poll(&mut self, remote: &Remote, context: &mut Context<'_>) -> Poll<RemoteCause> {
        let Some(owed) = self.owed else { return Poll::Pending };
        let silent = (self.heard + 2 * remote.lease, RemoteCause::Silent);
        let late = (self.stuck + remote.hold_time, RemoteCause::Late);
        let (at, cause) = if owed.decision && late.0 < silent.0 { late } else { silent };
        if self.sleep.deadline() != at {
            self.sleep.as_mut().reset(at);
        }
        ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(cause)
    }
}
