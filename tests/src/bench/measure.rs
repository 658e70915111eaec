//! One load on one path.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    cell::Cell,
    client::{self, Seen},
    machine,
    path::{Path, Running},
    process::{self, Process, Usage},
};

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// CPU of the first and of the second process, in µs per chunk.
    pub cpu_us: [Option<f64>; 2],
    /// What an open call occupies in each, in KiB.
    pub open_call_kib: [Option<f64>; 2],
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

impl Times {
    fn of(mut times: Vec<u32>) -> Self {
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
pub async fn measure(path: Path, cell: Cell, upstream: (&Process, SocketAddr), seconds: f64) -> io::Result<Measured> {
    let mut running = path.start(upstream.1)?;
    let replaced = path == Path::Replaced;
    for _ in 0..3 {
        client::one_call(running.address, cell.kind, replaced).await?;
    }
    // What the first calls leave behind is no part of what an open one occupies.
    sleep(Duration::from_millis(200)).await;
    let idle = running.usage();
    let load = client::begin(running.address, cell, replaced);
    under_way(&load.seen, cell).await?;
    sleep(Duration::from_secs_f64((seconds / 5.0).clamp(0.3, 1.0))).await;

    let (before, others) = (running.usage(), others(&running, upstream.0));
    let begun = Instant::now();
    load.seen.count(true);
    sleep(Duration::from_secs_f64(seconds)).await;
    load.seen.count(false);
    let passed = begun.elapsed().as_secs_f64();
    let (after, others) = (running.usage(), others_since(others, &running, upstream.0));

    if let Some(failure) = load.seen.failure() {
        return Err(io::Error::other(failure));
    }
    if !running.is_whole() {
        return Err(io::Error::other("a process of the path is gone"));
    }
    Ok(summary(&load.seen, cell, passed, [idle, before, after], others / passed / machine::cores() as f64))
}

fn summary(seen: &Seen, cell: Cell, passed: f64, usage: [[Option<Usage>; 2]; 3], noise: f64) -> Measured {
    let [idle, before, after] = usage;
    let chunks = seen.chunks.load(Ordering::Relaxed) as f64;
    let calls = seen.calls.load(Ordering::Relaxed) as f64;
    let cpu = |i: usize| before[i].zip(after[i]).map(|(before, after)| (after.cpu_ns - before.cpu_ns) / 1e3 / chunks);
    let grown =
        |i: usize| idle[i].zip(after[i]).map(|(idle, after)| (after.rss_kib - idle.rss_kib) / cell.clients as f64);
    Measured {
        cpu_us: [cpu(0), cpu(1)],
        open_call_kib: [grown(0), grown(1)].map(|kib| kib.filter(|_| cell.shows_memory())),
        times: Times::of(seen.take_times()),
        chunks: chunks / passed,
        calls: calls / passed,
        noise,
    }
}

/// Waits until each client has an answer under way.
async fn under_way(seen: &Seen, cell: Cell) -> io::Result<()> {
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
fn others(running: &Running, upstream: &Process) -> f64 {
    let ours = [Some(process::own_usage()), Some(upstream.usage())].into_iter().chain(running.usage());
    let ours: f64 = ours.flatten().map(|usage| usage.cpu_ns / 1e9).sum();
    machine::busy_seconds().map_or(0.0, |busy| busy - ours)
}

fn others_since(before: f64, running: &Running, upstream: &Process) -> f64 {
    (others(running, upstream) - before).max(0.0)
}
