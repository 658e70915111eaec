//! What luthien is to reach on two cores, and whether it did where that was measured.

use std::fmt::Write;

use super::{
    cell::{Cell, Kind, Pace},
    measure::Measured,
    path::Path,
    run::Row,
    table::added,
};

/// A goal that was measured.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What.
    pub what: &'static str,
    /// Under which load.
    pub load: String,
    /// What came of it.
    pub measured: f64,
    /// The most that it may be.
    pub most: f64,
}

impl Goal {
    /// Whether it is reached.
    pub fn is_met(&self) -> bool {
        self.measured <= self.most
    }
}

/// A table of them; nothing of none.
pub fn table(goals: &[Goal]) -> String {
    if goals.is_empty() {
        return String::new();
    }
    let mut out = "| goal | load | measured | at most | |\n|---|---|--:|--:|---|\n".to_owned();
    for goal in goals {
        let Goal { what, load, measured, most } = goal;
        let met = if goal.is_met() { "met" } else { "**not met**" };
        // Writing to a string does not fail.
        let _ = writeln!(out, "| {what} | {load} | {measured:.2} | {most:.2} | {met} |");
    }
    out
}

/// Small deltas, in loads that are not there for a quick look alone.
const BYTES: usize = 5;
/// Of the floor that only relays: CPU and added time.
const NOTHING_GATED: f64 = 1.3;
/// Of the floor with a message per event: CPU.
const GATED: f64 = 1.5;
/// The same: the 99th percentile of the added time.
const GATED_P99: f64 = 2.0;
/// How many times our throughput the floor's may be: 60 % of it.
const GATED_SPEED: f64 = 1.0 / 0.6;
/// Of the floor: memory of an open stream.
const MEMORY: f64 = 1.3;

/// Those for which these rows have what it takes.
pub fn of_rows(rows: &[Row]) -> Vec<Goal> {
    rows.iter().filter(|row| row.cell.bytes == BYTES).flat_map(of_row).collect()
}

fn of_row(row: &Row) -> Vec<Goal> {
    let find = |wanted: Path| {
        row.paths.iter().find(|(path, _)| *path == wanted).and_then(|(_, measured)| measured.as_ref().ok())
    };
    let load = Load { cell: row.cell, straight: find(Path::Straight) };
    let nothing = find(Path::Nothing).zip(find(Path::Relay)).map(|(ours, floor)| load.nothing_gated(ours, floor));
    let gated = find(Path::Passed).zip(find(Path::Judged)).map(|(ours, floor)| load.gated(ours, floor));
    [nothing, gated].into_iter().flatten().flatten().collect()
}

/// Who is measured beside whom.
struct Load<'a> {
    cell: Cell,
    straight: Option<&'a Measured>,
}

impl Load<'_> {
    fn nothing_gated(&self, ours: &Measured, floor: &Measured) -> Vec<Goal> {
        let mut goals = Vec::new();
        if self.cell.kind == Kind::Streamed {
            let cpu = ours.cpu_us.first().zip(floor.cpu_us.first());
            goals.extend(cpu.map(|(ours, floor)| {
                self.goal("nothing gated: CPU of the data plane, × the relay's", ours / floor, NOTHING_GATED)
            }));
            goals.extend(self.added("nothing gated: added p50, × the relay's", [ours, floor], 0, NOTHING_GATED));
        }
        if self.is_paced(200) {
            goals.push(self.absolute("nothing gated: CPU, µs/chunk", ours.cpu(), 18.0, floor.cpu(), NOTHING_GATED));
        }
        goals
    }

    fn gated(&self, ours: &Measured, floor: &Measured) -> Vec<Goal> {
        let mut goals = Vec::new();
        let (cpu, floor_cpu) = (ours.cpu(), floor.cpu());
        if self.cell.kind == Kind::Streamed {
            goals.push(self.goal("gated: CPU of both planes, × the floor's", cpu / floor_cpu, GATED));
        }
        if self.is_paced(200) {
            goals.push(self.absolute("gated: CPU, µs/chunk", cpu, 30.0, floor_cpu, GATED));
            goals.extend(self.added("gated: added p99, × the floor's", [ours, floor], 1, GATED_P99));
        }
        if self.is_crowd_at_full_speed() && self.cell.kind == Kind::Streamed {
            goals.push(self.absolute("gated: CPU, µs/chunk", cpu, 6.5, floor_cpu, GATED));
            goals.push(self.goal("gated: the floor's chunks/s, × ours", floor.chunks / ours.chunks, GATED_SPEED));
        }
        if self.is_crowd_at_full_speed() && self.cell.kind == Kind::Whole {
            goals.push(self.absolute("a plain request: CPU, µs", cpu, 90.0, floor_cpu, GATED));
        }
        if self.is_paced(1000)
            && let Some((kib, floor)) = ours.memory().zip(floor.memory())
        {
            goals.push(self.goal("an open gated call: memory, × the floor's", kib / floor, MEMORY));
            goals.push(self.absolute("an open gated call: KiB", kib, 45.0, floor, MEMORY));
        }
        goals
    }

    fn goal(&self, what: &'static str, measured: f64, most: f64) -> Goal {
        Goal { what, load: self.cell.to_string(), measured, most }
    }

    /// Where what is to be reached lies below the floor of this run, the ratio decides.
    fn absolute(&self, what: &'static str, measured: f64, most: f64, floor: f64, ratio: f64) -> Goal {
        self.goal(what, measured, if most < floor { ratio * floor } else { most })
    }

    /// A percentile of the added time, as a ratio.
    fn added(&self, what: &'static str, [ours, floor]: [&Measured; 2], percentile: usize, most: f64) -> Option<Goal> {
        let straight = self.straight.filter(|_| self.cell.shows_time())?;
        let [ours, floor] = [ours, floor].map(|measured| added(measured, straight)[percentile]);
        // A floor that adds nothing is noise.
        (floor > 0.0).then(|| self.goal(what, ours / floor, most))
    }

    fn is_paced(&self, clients: usize) -> bool {
        let is_paced = matches!(self.cell.pace, Pace::PerSecond(_));
        self.cell.kind == Kind::Streamed && is_paced && self.cell.clients == clients
    }

    fn is_crowd_at_full_speed(&self) -> bool {
        self.cell.pace == Pace::Full && self.cell.clients == 64
    }
}
