//! The table, in Markdown.

use std::fmt::Write;

use super::{
    goals, machine,
    measure::{Measured, Times},
    path::Path,
    run::{NOISY, Row},
};

/// What stands above the rows.
const HEAD: &str = "\
| load | path | data plane: CPU µs/chunk | control plane: CPU µs/chunk | × floor | × passed | added p50 µs | p99 | p99.9 | chunks/s | calls/s | KiB per open call: data + control plane |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

/// What the columns mean.
const LEGEND: &str = "\
`straight` is the client at the upstream, its times in parentheses; all other times are what the path adds to them, \
percentile by percentile. The floors' processes stand in the planes' columns: the relay in the first, its peer in the \
second; behind a +, who serves a remote policy, and Postgres. *× floor*, *× passed*: the CPU of all of them, relative to \
the floor's, and to that of *gated, passed*, in the same load. A chunk is a delta; of whole responses, the response. No times at full speed with many clients: there they tell how long the queues are. \
`!`: others used more than 8 % of the machine meanwhile, also when it was tried again.
";

/// All of it, and which goals are reached.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!("{}; one thread per plane; SQLite.\n\n{HEAD}", machine::description());
    for row in rows {
        let find = |wanted: Path| {
            row.paths.iter().find(|(path, _)| *path == wanted).and_then(|(_, measured)| measured.as_ref().ok())
        };
        for (path, measured) in &row.paths {
            let line = match measured {
                Ok(measured) => {
                    let compared = [path.floor(), path.base()].map(|path| path.and_then(find));
                    cells(row, measured, find(Path::Straight).filter(|_| *path != Path::Straight), compared)
                }
                Err(error) => format!("failed: {error} | | | | | | | | |"),
            };
            let noise = if measured.as_ref().is_ok_and(|measured| measured.noise > NOISY) { " !" } else { "" };
            // Writing to a string does not fail.
            let _ = writeln!(out, "| {} | {}{noise} | {line} |", row.cell, path.name());
        }
    }
    let goals = goals::table(&goals::of_rows(rows));
    if !goals.is_empty() {
        let _ = write!(out, "\n{goals}");
    }
    out + "\n" + LEGEND
}

fn cells(row: &Row, measured: &Measured, straight: Option<&Measured>, compared: [Option<&Measured>; 2]) -> String {
    let (data, behind) = match measured.cpu_us.split_first() {
        Some((data, behind)) => (format!("{data:.1}"), sum(behind, 1)),
        None => (dash(), dash()),
    };
    let [floor, passed] =
        compared.map(|other| other.map_or_else(dash, |other| format!("{:.2}", measured.cpu() / other.cpu())));
    let [p50, p99, p999] = if row.cell.shows_time() { times(measured, straight) } else { [dash(), dash(), dash()] };
    let calls = if measured.calls > 0.0 { format!("{:.0}", measured.calls) } else { dash() };
    let (chunks, memory) = (measured.chunks, sum(&measured.open_call_kib, 0));
    format!("{data} | {behind} | {floor} | {passed} | {p50} | {p99} | {p999} | {chunks:.0} | {calls} | {memory}")
}

/// One behind the other.
fn sum(parts: &[f64], digits: usize) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("{part:.digits$}")).collect();
    if parts.is_empty() { dash() } else { parts.join(" + ") }
}

fn times(measured: &Measured, straight: Option<&Measured>) -> [String; 3] {
    match straight {
        None => percentiles(&measured.times).map(|us| format!("({us:.0})")),
        Some(straight) => added(measured, straight).map(|us| format!("{us:+.0}")),
    }
}

/// What a path adds to the times of none, percentile by percentile: 50, 99, 99.9.
pub(super) fn added(measured: &Measured, straight: &Measured) -> [f64; 3] {
    let (ours, base) = (percentiles(&measured.times), percentiles(&straight.times));
    [0, 1, 2].map(|i| ours[i] - base[i])
}

fn percentiles(times: &Times) -> [f64; 3] {
    [times.p50, times.p99, times.p999]
}

fn dash() -> String {
    "–".to_owned()
}
