//! Minutes under most of the load that the machine sustains: whether cost and memory stay as they are.

use std::{
    fmt::Write,
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use tokio::time::{sleep, sleep_until};

use super::{
    cell::{Cell, Kind, Pace},
    client::{self, Load},
    flat::{FLAT, memory, mib, per_one},
    goals::{self, Goal},
    machine,
    measure::{Times, measure, under_way, warm},
    path::Path,
    running::{Running, Setting},
    scenario::Scenario,
};

/// Calls of ten seconds, back to back: as many end in one second as in any other.
const RATE: u32 = 50;
const DELTAS: u64 = 500;
/// Of what is asked for, what has to come.
const SUSTAINED: f64 = 0.97;
/// The longest that a chunk may take then, at the 99th percentile: more is a queue that grows.
const P99_US: f64 = 100_000.0;
/// Of what is sustained, what is asked for in the long run.
const SHARE: f64 = 0.8;
const CLIENTS_MIN: usize = 25;
const CLIENTS_MAX: usize = 3200;
/// How long a step of the ramp is looked at, when it has settled.
const STEP: Duration = Duration::from_secs(3);
const SETTLE: Duration = Duration::from_millis(1500);
const MINUTE: Duration = Duration::from_secs(60);

/// What a minute was like.
struct Minute {
    chunks: f64,
    calls: u64,
    times: Times,
    cpu_us: Vec<f64>,
    rss_kib: Vec<f64>,
}

/// Finds the load, keeps it up, prints each minute, and says in the end what came of it.
///
/// # Errors
/// A process does not start, a client did not get what it should, or three minutes are not given.
pub async fn run(setting: &Setting, only: &[Scenario], minutes: u32) -> io::Result<String> {
    if minutes < 3 {
        return Err(io::Error::other("a soak takes three minutes or more: the last is compared with the second"));
    }
    let path = match only.first() {
        Some(Scenario::Path(path)) => *path,
        Some(Scenario::Whole) | None => Path::Passed,
    };
    let most = ramp(path, setting).await?;
    let endless = streams((most as f64 * SHARE) as usize);
    eprintln!("{most} streams are sustained; {} for {minutes} minutes", endless.clients);
    let straight = measure(Path::Straight, endless, setting, STEP.as_secs_f64()).await?.times;
    let cell = endless.with_deltas(DELTAS);
    let mut out = head(path, cell, &straight);
    eprint!("{out}");

    let running = warm(path, cell, setting).await?;
    let load = client::begin(running.talk, cell);
    under_way(&load.seen, cell).await?;
    sleep(SETTLE).await;
    load.seen.count(true);
    let mut all = Vec::new();
    for number in 1..=minutes {
        let minute = minute(&load, &running).await?;
        let line = minute.line(number, &straight);
        eprint!("{line}");
        out.push_str(&line);
        all.push(minute);
    }
    Ok(format!("{out}\n{}", goals::table(&flat(&all, cell))))
}

fn streams(clients: usize) -> Cell {
    Cell::new(Kind::Streamed, clients, Pace::PerSecond(RATE), 5)
}

/// How many streams at once the machine sustains: doubled until it does not, then halved twice in between.
async fn ramp(path: Path, setting: &Setting) -> io::Result<usize> {
    let running = warm(path, streams(1), setting).await?;
    let (mut good, mut clients) = (0, CLIENTS_MIN);
    while clients <= CLIENTS_MAX && is_sustained(clients, &running).await? {
        (good, clients) = (clients, clients * 2);
    }
    if good == 0 {
        return Err(io::Error::other(format!("{CLIENTS_MIN} streams are more than this machine sustains")));
    }
    let mut bad = clients;
    for _ in 0..2 {
        let between = good.midpoint(bad);
        match is_sustained(between, &running).await? {
            true => good = between,
            false => bad = between,
        }
    }
    Ok(good)
}

async fn is_sustained(clients: usize, running: &Running) -> io::Result<bool> {
    let cell = streams(clients);
    let load = client::begin(running.talk, cell);
    under_way(&load.seen, cell).await?;
    sleep(SETTLE).await;
    let begun = Instant::now();
    load.seen.count(true);
    sleep(STEP).await;
    load.seen.count(false);
    failed(&load)?;
    let chunks = load.seen.chunks.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    let p99 = Times::of(load.seen.take_times()).p99;
    let asked = clients as f64 * f64::from(RATE);
    eprintln!("{clients} streams: {chunks:.0} of {asked:.0} chunks/s, p99 {p99:.0} µs");
    Ok(chunks >= SUSTAINED * asked && p99 <= P99_US)
}

async fn minute(load: &Load, running: &Running) -> io::Result<Minute> {
    let count = || (load.seen.chunks.load(Ordering::Relaxed), load.seen.calls.load(Ordering::Relaxed));
    let (begun, before, counted) = (Instant::now(), running.usage(), count());
    sleep_until((begun + MINUTE).into()).await;
    failed(load)?;
    let (chunks, calls) = (count().0 - counted.0, count().1 - counted.1);
    Ok(Minute {
        chunks: chunks as f64 / begun.elapsed().as_secs_f64(),
        calls,
        times: Times::of(load.seen.take_times()),
        cpu_us: per_one(&before, &running.usage(), chunks as f64),
        rss_kib: memory(running),
    })
}

fn failed(load: &Load) -> io::Result<()> {
    load.seen.failure().map_or(Ok(()), |failure| Err(io::Error::other(failure)))
}

fn head(path: Path, cell: Cell, straight: &Times) -> String {
    format!(
        "{}; one thread per plane. {}: {cell}, {DELTAS} chunks a call. Straight: p50 {:.0} µs, p99 {:.0} µs.\n\n\
         | minute | chunks/s | calls | added p50 µs | added p99 µs | CPU µs/chunk: data + control plane | MiB: data + control plane |\n\
         |--:|--:|--:|--:|--:|--:|--:|\n",
        machine::description(),
        path.name(),
        straight.p50,
        straight.p99
    )
}

impl Minute {
    fn line(&self, number: u32, straight: &Times) -> String {
        let Self { chunks, calls, times, cpu_us, rss_kib } = self;
        let (p50, p99) = (times.p50 - straight.p50, times.p99 - straight.p99);
        let cpu: Vec<String> = cpu_us.iter().map(|us| format!("{us:.1}")).collect();
        let rss: Vec<String> = rss_kib.iter().map(|kib| mib(*kib)).collect();
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            line,
            "| {number} | {chunks:.0} | {calls} | {p50:+.0} | {p99:+.0} | {} | {} |",
            cpu.join(" + "),
            rss.join(" + ")
        );
        line
    }
}

/// Whether the last minute is like the second.
fn flat(minutes: &[Minute], cell: Cell) -> [Goal; 2] {
    let ratio = |value: fn(&Minute) -> f64| {
        let [second, last] = [minutes.get(1), minutes.last()].map(|minute| minute.map(value).unwrap_or(f64::NAN));
        last / second
    };
    let goal = |what, measured| Goal { what, load: cell.to_string(), measured, most: FLAT };
    [
        goal("cost per chunk, the last minute × the second", ratio(|minute| minute.cpu_us.iter().sum())),
        goal("memory, after the last minute × after the second", ratio(|minute| minute.rss_kib.iter().sum())),
    ]
}
