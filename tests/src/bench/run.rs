//! All loads on all paths.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    cell::Cell,
    machine,
    measure::{Measured, measure},
    path::Path,
    running::Setting,
    scenario::{Scenario, loads, paths},
};

/// How much of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Fewer loads.
    pub quick: bool,
    /// How long each path is measured under each load.
    pub seconds: f64,
    /// Only these; none: what is usual.
    pub only: Vec<Scenario>,
}

/// A load, and what each path made of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The load.
    pub cell: Cell,
    /// Each path with what was measured, or with what went wrong.
    pub paths: Vec<(Path, Result<Measured, String>)>,
}

/// Above this share of the machine for others, a measurement is made again.
pub const NOISY: f64 = 0.08;
const ATTEMPTS: usize = 3;
/// For how long one attempt waits until the others are quiet.
const QUIET: Duration = Duration::from_secs(10);
/// What all waiting and repeating may take, per path and load.
const PATIENCE: f64 = 0.6;

/// What is left for waiting and repeating, so that the whole of it is bounded however busy the machine is.
pub(super) struct Patience {
    seconds: f64,
}

impl Patience {
    /// For so many seconds of measuring.
    pub(super) fn of(seconds: f64) -> Self {
        Self { seconds: seconds * PATIENCE }
    }

    /// Waits until others are quiet, while any of it is left.
    pub(super) async fn wait(&mut self) {
        let begun = Instant::now();
        if self.is_left() {
            machine::quiet(QUIET.min(Duration::from_secs_f64(self.seconds))).await;
            self.spend(begun);
        }
    }

    /// Spends the time that has passed.
    fn spend(&mut self, since: Instant) {
        self.seconds -= since.elapsed().as_secs_f64();
    }

    fn is_left(&self) -> bool {
        self.seconds > 0.0
    }
}

/// Measures everything, and hands each row over when it is there.
///
/// # Errors
/// The upstream does not start.
pub async fn run(options: &Options, setting: &Setting, mut done: impl FnMut(Row)) -> io::Result<()> {
    let (cells, paths) = (loads(&options.only, options.quick), paths(&options.only));
    let mut patience = Patience::of(options.seconds * (cells.len() * paths.len()) as f64);
    for (i, cell) in cells.iter().enumerate() {
        eprintln!("[{}/{}] {cell}", i + 1, cells.len());
        let mut row = Row { cell: *cell, paths: Vec::new() };
        for path in &paths {
            let measured = quietest(*path, *cell, setting, options.seconds, &mut patience).await;
            row.paths.push((*path, measured.map_err(|error| error.to_string())));
        }
        done(row);
    }
    Ok(())
}

/// Measures once, and again while others are at work; the attempt with the least of them counts.
async fn quietest(
    path: Path,
    cell: Cell,
    setting: &Setting,
    seconds: f64,
    patience: &mut Patience,
) -> io::Result<Measured> {
    let mut best: Option<Measured> = None;
    for attempt in 0..ATTEMPTS {
        patience.wait().await;
        let begun = Instant::now();
        let measured = measure(path, cell, setting, seconds).await;
        progress(path, &measured);
        if attempt > 0 {
            patience.spend(begun);
        }
        let measured = measured?;
        if best.as_ref().is_none_or(|best| measured.noise < best.noise) {
            best = Some(measured);
        }
        if !patience.is_left() || best.as_ref().is_some_and(|best| best.noise < NOISY) {
            break;
        }
    }
    best.ok_or_else(|| io::Error::other("nothing was measured"))
}

fn progress(path: Path, measured: &io::Result<Measured>) {
    match measured {
        Ok(measured) => eprintln!(
            "  {}: {:.0} chunks/s, p50 {:.0} µs, CPU {:.1?} µs/chunk, {:.0} % of the machine to others",
            path.name(),
            measured.chunks,
            measured.times.p50,
            measured.cpu_us,
            measured.noise * 100.0
        ),
        Err(error) => eprintln!("  {}: {error}", path.name()),
    }
}
