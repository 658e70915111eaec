//! One load on one path.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    cell::Cell,
    client::{self, Seen},
    machine,
    path::Path,
    process::{self, Usage},
    running::{Running, Setting},
};

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// CPU of each process, in µs per chunk: of the first, then of those behind it.
    pub cpu_us: Vec<f64>,
    /// What an open call occupies in each, in KiB; nothing where it can't be told.
    pub open_call_kib: Vec<f64>,
    /// The time of a chunk, in µs.
    pub times: Times,
    /// Per second.
    pub chunks: f64,
    /// That ended, per second.
    pub calls: f64,
    /// The share of the machine that others used meanwhile.
    pub noise: f64,
}

/// Percentiles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// The median.
    pub p50: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1000 are below.
    pub p999: f64,
}

impl Measured {
    /// CPU of all processes, in µs per chunk.
    pub fn cpu(&self) -> f64 {
        self.cpu_us.iter().sum()
    }

    /// What an open call occupies in all of them, in KiB.
    pub fn memory(&self) -> Option<f64> {
        (!self.open_call_kib.is_empty()).then(|| self.open_call_kib.iter().sum())
    }
}

impl Times {
    /// Those of all of these.
    pub fn of(mut times: Vec<u32>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let i = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
            times.get(i).copied().map(f64::from).unwrap_or_default()
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

/// Starts the path, puts the load on it, and measures for so many seconds.
///
/// # Errors
/// A process does not start, or a client did not get what it should.
pub async fn measure(path: Path, cell: Cell, setting: &Setting, seconds: f64) -> io::Result<Measured> {
    let mut running = warm(path, cell, setting).await?;
    let idle = running.usage();
    let load = client::begin(running.talk, cell);
    under_way(&load.seen, cell).await?;
    sleep(Duration::from_secs_f64((seconds / 5.0).clamp(0.3, 1.0))).await;

    let (before, others) = (running.usage(), others(&running, setting));
    let begun = Instant::now();
    load.seen.count(true);
    sleep(Duration::from_secs_f64(seconds)).await;
    load.seen.count(false);
    let passed = begun.elapsed().as_secs_f64();
    let (after, others) = (running.usage(), others_since(others, &running, setting));

    if let Some(failure) = load.seen.failure() {
        return Err(io::Error::other(failure));
    }
    if !running.is_whole() {
        return Err(io::Error::other("a process of the path is gone"));
    }
    Ok(summary(&load.seen, cell, passed, [idle, before, after], others / passed / machine::cores() as f64))
}

/// Starts the path, and makes the first calls: what they leave behind is no part of what is measured.
///
/// # Errors
/// A process does not start, or a client did not get what it should.
pub async fn warm(path: Path, cell: Cell, setting: &Setting) -> io::Result<Running> {
    let running = path.start(setting)?;
    for _ in 0..3 {
        client::one_call(running.talk, cell.kind).await?;
    }
    sleep(Duration::from_millis(200)).await;
    Ok(running)
}

fn summary(seen: &Seen, cell: Cell, passed: f64, usage: [Vec<Usage>; 3], noise: f64) -> Measured {
    let [idle, before, after] = usage;
    let chunks = seen.chunks.load(Ordering::Relaxed) as f64;
    let calls = seen.calls.load(Ordering::Relaxed) as f64;
    let clients = cell.clients as f64;
    let grown = idle.iter().zip(&after).map(|(idle, after)| (after.rss_kib - idle.rss_kib) / clients);
    Measured {
        cpu_us: before.iter().zip(&after).map(|(before, after)| after.cpu_us_since(before) / chunks).collect(),
        open_call_kib: grown.filter(|_| cell.shows_memory()).collect(),
        times: Times::of(seen.take_times()),
        chunks: chunks / passed,
        calls: calls / passed,
        noise,
    }
}

/// Waits until each client has an answer under way.
///
/// # Errors
/// One did not get what it should.
pub async fn under_way(seen: &Seen, cell: Cell) -> io::Result<()> {
    let begun = Instant::now();
    while seen.begun() < cell.clients as u64 {
        if let Some(failure) = seen.failure() {
            return Err(io::Error::other(failure));
        }
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(io::Error::other(format!("{} of {} clients got no answer", seen.begun(), cell.clients)));
        }
        sleep(Duration::from_millis(20)).await;
    }
    sleep(cell.between_calls()).await;
    Ok(())
}

/// Seconds that the machine spent on others so far.
fn others(running: &Running, setting: &Setting) -> f64 {
    let ours = [process::own_usage(), setting.upstream_process.usage()].into_iter().chain(running.usage());
    let ours: f64 = ours.map(|usage| usage.cpu_ns / 1e9).sum();
    machine::busy_seconds().map_or(0.0, |busy| busy - ours)
}

fn others_since(before: f64, running: &Running, setting: &Setting) -> f64 {
    (others(running, setting) - before).max(0.0)
}
