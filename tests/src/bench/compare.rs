//! Two builds of the planes under the same loads, by turns.

use std::{fmt::Write, io};

use super::{
    cell::Cell,
    machine,
    measure::{Measured, Times, measure},
    path::Path,
    run::{Options, Patience},
    running::Setting,
    scenario::{loads, paths},
    table::added,
};

/// How often each of the two is measured; the median counts.
const ROUNDS: usize = 3;
/// What the two are called.
const BUILDS: [&str; 2] = ["base", "now"];

/// A load on a path.
#[derive(Clone, Debug)]
pub struct Row {
    cell: Cell,
    path: Path,
    straight: Measured,
    /// The base, and what is there now; or what went wrong.
    builds: Result<[Measured; 2], String>,
}

/// Measures all of it, and hands each row over when it is there. The base comes first.
///
/// # Errors
/// The straight path can't be measured.
pub async fn run(options: &Options, settings: [&Setting; 2], mut done: impl FnMut(Row)) -> io::Result<()> {
    let cells = loads(&options.only, options.quick);
    let paths: Vec<Path> = paths(&options.only).into_iter().filter(|path| path.is_luthien()).collect();
    let mut patience = Patience::of(options.seconds * (cells.len() * paths.len() * 2 * ROUNDS) as f64);
    for (i, cell) in cells.iter().enumerate() {
        eprintln!("[{}/{}] {cell}", i + 1, cells.len());
        let straight = measure(Path::Straight, *cell, settings[1], options.seconds).await?;
        for path in &paths {
            let builds = by_turns(*path, *cell, settings, options.seconds, &mut patience).await;
            done(Row { cell: *cell, path: *path, straight: straight.clone(), builds });
        }
    }
    Ok(())
}

async fn by_turns(
    path: Path,
    cell: Cell,
    settings: [&Setting; 2],
    seconds: f64,
    patience: &mut Patience,
) -> Result<[Measured; 2], String> {
    let mut attempts = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        // Who comes first has a machine that is a little cooler, or warmer.
        for build in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            patience.wait().await;
            let measured = measure(path, cell, settings[build], seconds).await;
            progress(path, build, &measured);
            match measured {
                Ok(measured) => attempts[build].push(measured),
                Err(error) => return Err(format!("{}: {error}", BUILDS[build])),
            }
        }
    }
    Ok(attempts.map(|attempts| middle(&attempts)))
}

fn progress(path: Path, build: usize, measured: &io::Result<Measured>) {
    match measured {
        Ok(measured) => eprintln!(
            "  {}, {}: {:.0} chunks/s, CPU {:.1} µs/chunk, {:.0} % of the machine to others",
            path.name(),
            BUILDS[build],
            measured.chunks,
            measured.cpu(),
            measured.noise * 100.0
        ),
        Err(error) => eprintln!("  {}, {}: {error}", path.name(), BUILDS[build]),
    }
}

/// Each value's median.
fn middle(attempts: &[Measured]) -> Measured {
    let of = |value: &dyn Fn(&Measured) -> f64| {
        let mut values: Vec<f64> = attempts.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Measured {
        cpu_us: vec![of(&Measured::cpu)],
        open_call_kib: attempts
            .first()
            .and_then(Measured::memory)
            .map(|_| of(&|one| one.memory().unwrap_or_default()))
            .into_iter()
            .collect(),
        times: Times { p50: of(&|one| one.times.p50), p99: of(&|one| one.times.p99), p999: of(&|one| one.times.p999) },
        chunks: of(&|one| one.chunks),
        calls: of(&|one| one.calls),
        noise: of(&|one| one.noise),
    }
}

/// All of it: each value of the base, of what is there now, and the second relative to the first.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "{}; one thread per plane; SQLite. Base → now; of {ROUNDS} turns each the median. Less is better, except for chunks/s.\n\n\
         | load | path | CPU of both planes, µs/chunk | added p50 µs | added p99 µs | chunks/s | KiB per open call |\n\
         |---|---|--:|--:|--:|--:|--:|\n",
        machine::description()
    );
    for row in rows {
        let line = match &row.builds {
            Ok([base, now]) => row.line(base, now),
            Err(error) => format!("failed: {error} | | | |"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "| {} | {} | {line} |", row.cell, row.path.name());
    }
    out
}

impl Row {
    fn line(&self, base: &Measured, now: &Measured) -> String {
        let times = |i: usize| match self.cell.shows_time() {
            true => change(added(base, &self.straight)[i], added(now, &self.straight)[i], 0),
            false => "–".to_owned(),
        };
        let memory = base.memory().zip(now.memory()).map_or("–".to_owned(), |(base, now)| change(base, now, 0));
        let cpu = change(base.cpu(), now.cpu(), 1);
        format!("{cpu} | {} | {} | {} | {memory}", times(0), times(1), change(base.chunks, now.chunks, 0))
    }
}

fn change(base: f64, now: f64, digits: usize) -> String {
    let ratio = if base > 0.0 && now > 0.0 { format!("× {:.2}", now / base) } else { "–".to_owned() };
    format!("{base:.digits$} → {now:.digits$}, **{ratio}**")
}
