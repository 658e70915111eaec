//! The loads.

use std::{fmt, str::FromStr, time::Duration};

/// What the upstream is asked for: it stands in the request's text, which the paths between leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Deltas of a response.
    pub deltas: u64,
    /// Microseconds between them; 0 is as fast as they are taken.
    pub every_us: u64,
    /// Bytes of a delta's text.
    pub bytes: usize,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "script {} {} {} .", self.deltas, self.every_us, self.bytes)
    }
}

impl FromStr for Script {
    type Err = String;

    /// Finds it anywhere in a request.
    fn from_str(request: &str) -> Result<Self, String> {
        let missing = || "the request has no script".to_owned();
        let (_, script) = request.split_once("script ").ok_or_else(missing)?;
        let mut numbers = script.split(' ').map(str::parse::<u64>);
        let mut number = || numbers.next().and_then(Result::ok).ok_or_else(missing);
        Ok(Self { deltas: number()?, every_us: number()?, bytes: number()? as usize })
    }
}

/// How a response comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As a stream of deltas.
    Streamed,
    /// Whole: a call is one chunk.
    Whole,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many deltas of each stream a second; or so many whole responses of each client.
    PerSecond(u32),
    /// As fast as they are taken, calls back to back.
    Full,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// How responses come.
    pub kind: Kind,
    /// How many at once.
    pub clients: usize,
    /// How fast.
    pub pace: Pace,
    /// Bytes of a delta, or of a whole response's text.
    pub bytes: usize,
    /// Deltas of a response.
    pub deltas: u64,
}

/// Deltas of a response at full speed.
const RESPONSE: u64 = 1000;

impl Cell {
    /// Streams at a pace last until the client leaves.
    pub fn new(kind: Kind, clients: usize, pace: Pace, bytes: usize) -> Self {
        let deltas = match (kind, pace) {
            (Kind::Whole, _) => 1,
            (Kind::Streamed, Pace::Full) => RESPONSE,
            (Kind::Streamed, Pace::PerSecond(_)) => u64::MAX,
        };
        Self { kind, clients, pace, bytes, deltas }
    }

    /// The same with responses of so many deltas.
    #[must_use]
    pub fn with_deltas(self, deltas: u64) -> Self {
        Self { deltas, ..self }
    }

    /// What each call asks the upstream for.
    pub fn script(&self) -> Script {
        let every_us = match (self.kind, self.pace) {
            (Kind::Streamed, Pace::PerSecond(rate)) => 1_000_000 / u64::from(rate),
            (Kind::Whole, _) | (Kind::Streamed, Pace::Full) => 0,
        };
        Script { deltas: self.deltas, every_us, bytes: self.bytes }
    }

    /// How far apart the clients begin, so that they are not in step: neither with their chunks, nor with calls that end.
    pub fn stagger(&self) -> Duration {
        match self.pace {
            Pace::PerSecond(rate) => {
                let endless = self.deltas == u64::MAX;
                let step = Duration::from_secs(1) / rate;
                if endless { step / self.clients as u32 } else { step * self.deltas as u32 / self.clients as u32 }
            }
            Pace::Full => Duration::ZERO,
        }
    }

    /// Between the calls of one client that asks for whole responses.
    pub fn between_calls(&self) -> Duration {
        match (self.kind, self.pace) {
            (Kind::Whole, Pace::PerSecond(rate)) => Duration::from_secs(1) / rate,
            (Kind::Streamed, _) | (_, Pace::Full) => Duration::ZERO,
        }
    }

    /// Whether calls stay open long enough, and are enough, to tell what one of them occupies.
    pub fn shows_memory(&self) -> bool {
        self.kind == Kind::Streamed && self.pace != Pace::Full && self.clients >= 100
    }

    /// Whether the time that a chunk takes says anything. At full speed it is the time in the queues that the load fills.
    pub fn shows_time(&self) -> bool {
        self.pace != Pace::Full || self.clients == 1
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, bytes, .. } = self;
        match (self.kind, self.pace) {
            (Kind::Streamed, Pace::PerSecond(rate)) => write!(f, "{clients} × {rate}/s, {bytes} B"),
            (Kind::Streamed, Pace::Full) => write!(f, "{clients}, full speed, {bytes} B"),
            (Kind::Whole, Pace::PerSecond(rate)) => write!(f, "whole, {clients} × {rate}/s, {bytes} B"),
            (Kind::Whole, Pace::Full) => write!(f, "whole, {clients}, full speed, {bytes} B"),
        }
    }
}

/// Every load, or for a quick look those that differ most.
pub fn cells(quick: bool) -> Vec<Cell> {
    let streamed = |clients, pace| (Kind::Streamed, clients, pace);
    let whole = |clients, pace| (Kind::Whole, clients, pace);
    let loads: &[_] = if quick {
        &[streamed(1, Pace::PerSecond(250)), streamed(64, Pace::Full), whole(1, Pace::Full)]
    } else {
        &[
            streamed(1, Pace::PerSecond(250)),
            streamed(64, Pace::Full),
            streamed(200, Pace::PerSecond(50)),
            streamed(1000, Pace::PerSecond(2)),
            whole(1, Pace::Full),
            whole(64, Pace::Full),
            whole(200, Pace::PerSecond(2)),
        ]
    };
    let sizes: &[usize] = if quick { &[5] } else { &[5, 2000] };
    let with_sizes = |&(kind, clients, pace)| sizes.iter().map(move |&bytes| Cell::new(kind, clients, pace, bytes));
    loads.iter().flat_map(with_sizes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_found_in_a_request() {
        let script = Script { deltas: u64::MAX, every_us: 20_000, bytes: 5 };
        assert_eq!(format!("{{\"content\":\"{script}\"}}").parse(), Ok(script));
        assert!("script 1 2 x".parse::<Script>().is_err());
    }
}
