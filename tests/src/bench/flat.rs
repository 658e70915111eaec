//! Whether cost and memory stay flat: over the chunks of one long response, and over the calls of a process.

use std::{
    fmt::Write,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    cell::{Cell, Kind, Pace},
    client::{self, Load},
    goals::{self, Goal},
    machine,
    measure::warm,
    path::Path,
    process::Usage,
    running::{Running, Setting},
};

/// Chunks of the long response, and calls of the process.
const CHUNKS: u64 = 200_000;
const CALLS: u64 = 100_000;
/// Into how many parts each is cut.
const WINDOWS: u64 = 10;
/// How much more the last part may cost than the second.
pub(super) const FLAT: f64 = 1.1;
/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A part of it.
struct Window {
    until: u64,
    per_second: f64,
    cpu_us: Vec<f64>,
    rss_kib: Vec<f64>,
}

/// Measures both, and says what came of it.
///
/// # Errors
/// A process does not start, or a client did not get what it should.
pub async fn run(setting: &Setting) -> io::Result<String> {
    // What is done once, at the end of a response, is in no part of it.
    let streamed = Cell::new(Kind::Streamed, 1, Pace::Full, 5).with_deltas(CHUNKS + CHUNKS / WINDOWS);
    let chunks = windows(streamed, setting, CHUNKS, |load| &load.seen.chunks).await?;
    let whole = Cell::new(Kind::Whole, 16, Pace::Full, 5);
    let calls = windows(whole, setting, CALLS, |load| &load.seen.calls).await?;
    let goals = [
        goal("cost per chunk of one response, the last tenth × the second", streamed, &chunks, cpu),
        goal("cost per call of a process, the last tenth × the second", whole, &calls, cpu),
        goal("memory of both planes, behind the last tenth of the calls × behind the second", whole, &calls, rss),
    ];
    Ok(format!(
        "{}; one thread per plane; SQLite; gated and passed.\n\n{}\n{}\n{}",
        machine::description(),
        table("chunk", &chunks),
        table("call", &calls),
        goals::table(&goals)
    ))
}

async fn windows(cell: Cell, setting: &Setting, all: u64, count: fn(&Load) -> &AtomicU64) -> io::Result<Vec<Window>> {
    eprintln!("{cell}: {all}");
    let running = warm(Path::Passed, cell, setting).await?;
    let load = client::begin(running.talk, cell);
    load.seen.count(true);
    let mut windows = Vec::new();
    let (mut done, mut before) = (0, running.usage());
    for part in 1..=WINDOWS {
        let begun = Instant::now();
        let until = reach(&load, count(&load), all * part / WINDOWS).await?;
        let after = running.usage();
        let counted = (until - done) as f64;
        windows.push(Window {
            until,
            per_second: counted / begun.elapsed().as_secs_f64(),
            cpu_us: per_one(&before, &after, counted),
            rss_kib: memory(&running),
        });
        (done, before) = (until, after);
    }
    Ok(windows)
}

/// Waits until so many are counted.
async fn reach(load: &Load, count: &AtomicU64, wanted: u64) -> io::Result<u64> {
    let begun = Instant::now();
    loop {
        let counted = count.load(Ordering::Relaxed);
        if counted >= wanted {
            // Nobody looks at them.
            drop(load.seen.take_times());
            return Ok(counted);
        }
        if let Some(failure) = load.seen.failure() {
            return Err(io::Error::other(failure));
        }
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("{counted} of {wanted} after {PATIENCE:?}")));
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// What each process used for one.
pub(super) fn per_one(before: &[Usage], after: &[Usage], count: f64) -> Vec<f64> {
    before.iter().zip(after).map(|(before, after)| after.cpu_us_since(before) / count).collect()
}

/// What each process occupies, in KiB.
pub(super) fn memory(running: &Running) -> Vec<f64> {
    running.usage().iter().map(|usage| usage.rss_kib).collect()
}

fn cpu(window: &Window) -> f64 {
    window.cpu_us.iter().sum()
}

fn rss(window: &Window) -> f64 {
    window.rss_kib.iter().sum()
}

fn goal(what: &'static str, cell: Cell, windows: &[Window], value: fn(&Window) -> f64) -> Goal {
    let [second, last] = [windows.get(1), windows.last()].map(|window| window.map(value).unwrap_or(f64::NAN));
    Goal { what, load: cell.to_string(), measured: last / second, most: FLAT }
}

fn table(what: &str, windows: &[Window]) -> String {
    let mut out = format!(
        "| until {what} | {what}s/s | data plane: CPU µs/{what} | control plane: CPU µs/{what} | data plane: MiB | control plane: MiB |\n\
         |--:|--:|--:|--:|--:|--:|\n"
    );
    for Window { until, per_second, cpu_us, rss_kib } in windows {
        let cells: Vec<String> =
            cpu_us.iter().map(|us| format!("{us:.1}")).chain(rss_kib.iter().map(|kib| mib(*kib))).collect();
        // Writing to a string does not fail.
        let _ = writeln!(out, "| {until} | {per_second:.0} | {} |", cells.join(" | "));
    }
    out
}

/// For the tables.
pub(super) fn mib(kib: f64) -> String {
    format!("{:.1}", kib / 1024.0)
}
