//! All loads on all paths.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    cell::{Cell, Kind, cells},
    machine,
    measure::{Measured, measure},
    path::Path,
    process::Process,
};

/// How much of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Fewer loads.
    pub quick: bool,
    /// How long each path is measured under each load.
    pub seconds: f64,
    /// Only a part of it.
    pub only: Option<Only>,
}

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// A path of luthien's, with what it is compared with, streamed.
    Path(Path),
    /// Whole responses, on all paths.
    Whole,
}

impl std::str::FromStr for Only {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "nothing" => Ok(Self::Path(Path::Nothing)),
            "passed" => Ok(Self::Path(Path::Passed)),
            "replaced" => Ok(Self::Path(Path::Replaced)),
            "strict" => Ok(Self::Path(Path::Strict)),
            "whole" => Ok(Self::Whole),
            _ => Err(format!("{name:?} is none of: nothing, passed, replaced, strict, whole")),
        }
    }
}

impl Options {
    fn cells(&self) -> Vec<Cell> {
        let wanted = |cell: &Cell| match self.only {
            None => true,
            Some(Only::Path(_)) => cell.kind == Kind::Streamed,
            Some(Only::Whole) => cell.kind == Kind::Whole,
        };
        cells(self.quick).into_iter().filter(wanted).collect()
    }

    fn paths(&self) -> Vec<Path> {
        let wanted = |path: &Path| match self.only {
            None | Some(Only::Whole) => *path != Path::Strict,
            Some(Only::Path(only)) => [Path::Straight, only].contains(path) || only.floor() == Some(*path),
        };
        Path::ALL.into_iter().chain([Path::Strict]).filter(wanted).collect()
    }
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
struct Patience {
    seconds: f64,
}

impl Patience {
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
pub async fn run(options: &Options, mut done: impl FnMut(Row)) -> io::Result<()> {
    let (upstream, address) = Process::role(&["upstream".into()])?;
    let (cells, paths) = (options.cells(), options.paths());
    let mut patience = Patience { seconds: options.seconds * PATIENCE * (cells.len() * paths.len()) as f64 };
    for (i, cell) in cells.iter().enumerate() {
        eprintln!("[{}/{}] {cell}", i + 1, cells.len());
        let mut row = Row { cell: *cell, paths: Vec::new() };
        for path in &paths {
            let measured = quietest(*path, *cell, (&upstream, address), options.seconds, &mut patience).await;
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
    upstream: (&Process, SocketAddr),
    seconds: f64,
    patience: &mut Patience,
) -> io::Result<Measured> {
    let mut best: Option<Measured> = None;
    for attempt in 0..ATTEMPTS {
        let begun = Instant::now();
        if patience.is_left() {
            machine::quiet(QUIET).await;
        }
        if attempt == 0 {
            patience.spend(begun);
        }
        let measured = measure(path, cell, upstream, seconds).await;
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
            measured.cpu_us.map(Option::unwrap_or_default),
            measured.noise * 100.0
        ),
        Err(error) => eprintln!("  {}: {error}", path.name()),
    }
}
