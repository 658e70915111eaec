//! The table, in Markdown.

use std::fmt::Write;

use super::{
    machine,
    measure::{Measured, Times},
    path::Path,
    run::{NOISY, Row},
};

/// What stands above the rows.
const HEAD: &str = "\
| load | path | data plane: CPU µs/chunk | control plane: CPU µs/chunk | × floor | added p50 µs | p99 | p99.9 | chunks/s | calls/s | KiB per open call: data + control plane |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

/// What the columns mean.
const LEGEND: &str = "\
`straight` is the client at the upstream, its times in parentheses; all other times are what the path adds to them, \
percentile by percentile. The floors' processes stand in the planes' columns: the relay in the first, its peer in the \
second. *× floor*: the CPU of both, relative to the floor's above it in the same load. A chunk is a delta; of whole \
responses, the response. No times at full speed with many clients: there they tell how long the queues are. \
`!`: others used more than 8 % of the machine meanwhile, also when it was tried again.
";

/// All of it.
pub fn table(rows: &[Row]) -> String {
    let mut out = format!("{}; one thread per plane; SQLite.\n\n{HEAD}", machine::description());
    for row in rows {
        let find = |wanted: Path| {
            row.paths.iter().find(|(path, _)| *path == wanted).and_then(|(_, measured)| measured.as_ref().ok())
        };
        for (path, measured) in &row.paths {
            let line = match measured {
                Ok(measured) => {
                    let floor = path.floor().and_then(find);
                    cells(row, measured, find(Path::Straight).filter(|_| *path != Path::Straight), floor)
                }
                Err(error) => format!("failed: {error} | | | | | | | |"),
            };
            let noise = if measured.as_ref().is_ok_and(|measured| measured.noise > NOISY) { " !" } else { "" };
            // Writing to a string does not fail.
            let _ = writeln!(out, "| {} | {}{noise} | {line} |", row.cell, path.name());
        }
    }
    out + "\n" + LEGEND
}

fn cells(row: &Row, measured: &Measured, straight: Option<&Measured>, floor: Option<&Measured>) -> String {
    let [data, control] = measured.cpu_us.map(|us| us.map_or(dash(), |us| format!("{us:.1}")));
    let ratio = floor.map_or(dash(), |floor| format!("{:.2}", total(measured) / total(floor)));
    let [p50, p99, p999] = if row.cell.shows_time() { times(measured, straight) } else { [dash(), dash(), dash()] };
    let calls = if measured.calls > 0.0 { format!("{:.0}", measured.calls) } else { dash() };
    let memory = match measured.open_call_kib {
        [Some(data), Some(control)] => format!("{data:.0} + {control:.0}"),
        [Some(data), None] => format!("{data:.0}"),
        [None, _] => dash(),
    };
    let chunks = measured.chunks;
    format!("{data} | {control} | {ratio} | {p50} | {p99} | {p999} | {chunks:.0} | {calls} | {memory}")
}

fn times(measured: &Measured, straight: Option<&Measured>) -> [String; 3] {
    let all = |times: &Times| [times.p50, times.p99, times.p999];
    let ours = all(&measured.times);
    match straight {
        None => ours.map(|us| format!("({us:.0})")),
        Some(straight) => {
            let base = all(&straight.times);
            [0, 1, 2].map(|i| format!("{:+.0}", ours[i] - base[i]))
        }
    }
}

fn total(measured: &Measured) -> f64 {
    measured.cpu_us.into_iter().flatten().sum()
}

fn dash() -> String {
    "–".to_owned()
}
