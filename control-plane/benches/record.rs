//! What the record costs: entries per second, and this process's CPU per call, in SQLite and in Postgres behind its
//! journal. `cargo xtask bench --record`. What the Postgres server itself uses is not counted.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use luthien_control_plane::record::{
    Journal, Journaled, Postgres, Recorder, Shipper, Sqlite, Store, Summary, Waiting, Writer,
};
use luthien_policy::{Audit, Entry, EntryBody, NoteEntry};
use luthien_proto::{
    message::CallStarted,
    request::{Dialect, Request},
};
use luthien_tests_postgres::Cluster;
use tempfile::TempDir;
use tokio::{runtime::Builder, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const CALLS: usize = 6_000;
const ENTRIES: u64 = 12;
/// Calls at once.
const LANES: usize = 64;
/// The bytes of an entry, about.
const ENTRY_BYTES: usize = 700;
/// A tick of the CPU's count of a process: Linux has 100 of them in a second, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// What was measured.
struct Cost {
    /// Until the last call was durable, and until it could be read.
    durable: Duration,
    readable: Duration,
    cpu: Duration,
}

fn main() {
    println!("{CALLS} calls of {ENTRIES} entries of {ENTRY_BYTES} bytes, {LANES} at once\n");
    println!("| database | audit | entries/s, durable | entries/s, readable | CPU µs/call | × SQLite |");
    println!("|---|---|--:|--:|--:|--:|");
    for audit in [Audit::Relaxed, Audit::Strict] {
        let sqlite = measure(audit, None);
        let cluster = Cluster::start();
        let postgres = measure(audit, Some(&cluster.database()));
        for (name, cost) in [("SQLite", &sqlite), ("Postgres, with its journal", &postgres)] {
            let entries = CALLS as f64 * ENTRIES as f64;
            println!(
                "| {name} | {audit:?} | {:.0} | {:.0} | {:.0} | {:.2} |",
                entries / cost.durable.as_secs_f64(),
                entries / cost.readable.as_secs_f64(),
                cost.cpu.as_secs_f64() * 1e6 / CALLS as f64,
                cost.cpu.as_secs_f64() / sqlite.cpu.as_secs_f64(),
            );
        }
    }
}

fn measure(audit: Audit, postgres: Option<&str>) -> Cost {
    // As in a control plane: all of the record on one thread.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = TempDir::new().unwrap();
        let (finish, give_up) = (CancellationToken::new(), CancellationToken::new());
        let Some(url) = postgres else {
            let store = Sqlite::open_for(audit, &folder.path().join("luthien.db")).await.unwrap();
            let recorder = begin(audit, Arc::new(store), &finish, &give_up);
            let (begun, before) = (Instant::now(), cpu());
            calls(&recorder).await;
            let durable = begun.elapsed();
            return Cost { durable, readable: durable, cpu: cpu() - before };
        };
        let journal = Arc::new(Journal::open(&folder.path().join("journal"), audit, 1 << 33).await.unwrap());
        let postgres = Arc::new(Postgres::open(url.parse().unwrap()).await.unwrap());
        let store = Arc::new(Journaled::new(Arc::clone(&journal), Arc::clone(&postgres)));
        let recorder = begin(audit, store, &finish, &give_up);
        let shipper = Shipper::new(Arc::clone(&journal), postgres, recorder.clone());
        tokio::spawn(shipper.run(finish.clone(), give_up));
        let (begun, before) = (Instant::now(), cpu());
        calls(&recorder).await;
        let durable = begun.elapsed();
        while journal.waiting() != Waiting::default() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Cost { durable, readable: begun.elapsed(), cpu: cpu() - before }
    })
}

fn begin(audit: Audit, store: Arc<dyn Store>, finish: &CancellationToken, give_up: &CancellationToken) -> Recorder {
    let (writer, recorder) = Writer::new(store);
    let writer = if audit == Audit::Strict { writer.at_once() } else { writer };
    tokio::spawn(writer.run(finish.clone(), give_up.clone()));
    recorder
}

/// Makes all calls, and waits until each is durable.
async fn calls(recorder: &Recorder) {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let recorder = recorder.clone();
        lanes.spawn(async move {
            for n in (lane..CALLS).step_by(LANES) {
                let mut record = recorder.call(summary(n));
                for seq in 0..ENTRIES {
                    record.push(entry(n as u64, seq));
                    if seq % 4 == 0 {
                        record.flush().await;
                    }
                }
                record.close().await.unwrap();
            }
        });
    }
    while let Some(done) = lanes.join_next().await {
        done.unwrap();
    }
}

fn summary(n: usize) -> Summary {
    Summary::new(&CallStarted {
        call_id: Uuid::now_v7(),
        started_at_us: 1_700_000_000_000_000 + n as i64,
        dialect: Dialect::OpenAiChat,
        upstream_dialect: Dialect::OpenAiChat,
        upstream: "openai".into(),
        route: "*".into(),
        upstream_model: "m".into(),
        client: "ci".into(),
        session: String::new(),
        dropped: Vec::new(),
        omitted: Vec::new(),
        capabilities: Vec::new(),
        headers: Vec::new(),
        request: Request { model: "m".into(), choices: 1, ..Request::default() },
    })
}

/// Words that are not the same twice, so that compressing them is work.
fn entry(call: u64, seq: u64) -> Entry {
    let mut state = call * ENTRIES + seq + 1;
    let mut text = String::with_capacity(ENTRY_BYTES + 8);
    while text.len() < ENTRY_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:x} ", (state >> 40) & 0xfff));
    }
    let note = NoteEntry { policy: "p".into(), seq, severity: "info", summary: text, details: None };
    Entry { at_us: seq, body: EntryBody::Note(note) }
}

/// What this process has used.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}
