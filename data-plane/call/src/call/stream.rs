//! The stream to a policy service, and what it takes to go on with another one.

mod log;

use std::time::{Duration, Instant};

use log::Log;
use luthien_proto::codec::Encoded;

/// Before a stream that could not be opened is tried again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_LAST: Duration = Duration::from_millis(500);
/// Of how many losses in a row the reasons are told.
const REASONS: usize = 4;

/// Which stream it is, and all that was told on it.
#[derive(Debug)]
pub struct Stream {
    epoch: u32,
    first: Encoded,
    log: Log,
    state: State,
    /// Of the losses that nobody has made good.
    losses: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// All is well.
    Open,
    /// It was opened after a loss, and has not taken all that the lost one was told.
    Recovering { lost: Instant, retries: u32, told: u64 },
    /// The next one is to be opened then.
    Down { lost: Instant, retries: u32, until: Instant },
    /// There will be no other.
    GivenUp,
}

impl Stream {
    /// The first one; of what is told behind `first`, `limit` bytes are kept.
    pub fn new(first: Encoded, limit: usize) -> Self {
        Self { epoch: 0, first, log: Log::new(limit), state: State::Open, losses: Vec::new() }
    }

    /// How many there were before.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What can be told now.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Recovering { .. })
    }

    /// Whether all that was told is kept.
    pub fn is_kept(&self) -> bool {
        self.log.is_whole()
    }

    /// What was told first.
    pub fn first(&self) -> &Encoded {
        &self.first
    }

    /// What has to be told again, in order.
    pub fn told(&self) -> impl Iterator<Item = Encoded> {
        std::iter::once(self.first.clone()).chain(self.log.messages())
    }

    /// Takes note of what is told.
    pub fn tell(&mut self, message: &Encoded) {
        self.log.keep(message);
    }

    /// It was lost. The next one is opened at once, or, where that was tried in vain, a little later.
    pub fn lose(&mut self, why: String, now: Instant) {
        if self.losses.len() < REASONS && !self.losses.contains(&why) {
            self.losses.push(why);
        }
        let (lost, retries) = match self.state {
            State::Open | State::GivenUp => (now, 0),
            State::Recovering { lost, retries, .. } => (lost, retries + 1),
            State::Down { .. } => return,
        };
        let pause = match retries {
            0 => Duration::ZERO,
            _ => RETRY_LAST.min(RETRY_FIRST * 2_u32.saturating_pow(retries - 1)),
        };
        self.state = State::Down { lost, retries, until: now + pause };
    }

    /// The next one is opened. It has taken all when it has seen `told` messages.
    pub fn reopen(&mut self, told: u64) {
        if let State::Down { lost, retries, .. } = self.state {
            self.epoch = self.epoch.saturating_add(1);
            self.state = State::Recovering { lost, retries, told };
        }
    }

    /// It has seen so many messages; `true`: it has just made the loss good.
    pub fn saw(&mut self, seen: u64) -> bool {
        match self.state {
            State::Recovering { told, .. } if seen >= told => {
                self.state = State::Open;
                self.losses.clear();
                true
            }
            State::Open | State::Recovering { .. } | State::Down { .. } | State::GivenUp => false,
        }
    }

    /// When the next one is to be opened.
    pub fn retry(&self) -> Option<Instant> {
        match self.state {
            State::Down { until, .. } => Some(until),
            State::Open | State::Recovering { .. } | State::GivenUp => None,
        }
    }

    /// Since when nobody has the call.
    pub fn lost_since(&self) -> Option<Instant> {
        match self.state {
            State::Recovering { lost, .. } | State::Down { lost, .. } => Some(lost),
            State::Open | State::GivenUp => None,
        }
    }

    /// No other one is opened. Why each of those that were lost was; the last one is `why`.
    pub fn give_up(&mut self, why: String) -> String {
        self.state = State::GivenUp;
        if !self.losses.contains(&why) {
            self.losses.push(why);
        }
        self.losses.join("; ")
    }
}
