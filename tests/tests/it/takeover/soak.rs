//! Many calls through several planes, while control planes, and the database, are killed one after the other.

use std::{
    env,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, data_plane_section},
    peers::upstream::{Exchange, Reply, Upstream},
    validate::{Dialect, sse},
};
use luthien_tests_postgres::Cluster;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{Going, back_with, patient, policies};
use crate::postgres::wrong_entries;

const DATA_PLANES: usize = 3;
/// The control planes.
const NAMES: [&str; 2] = ["first", "second"];
/// How long the database is away.
const DOWN: Duration = Duration::from_millis(900);
/// Between two pieces of an answer: it takes about two seconds, so that most see a control plane die.
const PACE: Duration = Duration::from_millis(120);

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Text,
    Tools,
    Whole,
}

const SORTS: [Sort; 3] = [Sort::Text, Sort::Tools, Sort::Whole];

/// Which call it is: what it asks for, and what it has to get, follow from that.
#[derive(Clone, Copy, Debug)]
struct Call(usize);

impl Call {
    fn dialect(self) -> Dialect {
        Dialect::ALL[self.0 % Dialect::ALL.len()]
    }

    fn sort(self) -> Sort {
        SORTS[self.0 / Dialect::ALL.len() % SORTS.len()]
    }

    fn ask(self) -> Ask {
        let stream = !matches!(self.sort(), Sort::Whole);
        Ask::call(self.dialect(), &json!({"stream": stream, "metadata": {"user_id": format!("number-{}", self.0)}}))
    }

    fn of(exchange: &Exchange) -> Option<Self> {
        exchange.json()["metadata"]["user_id"].as_str()?.strip_prefix("number-")?.parse().ok().map(Self)
    }

    fn reply(self) -> Reply {
        let numbered = |body: Vec<u8>| {
            let text = String::from_utf8(body).unwrap();
            text.replace(" is 4", &format!(" is number {} 4", self.0)).into_bytes()
        };
        match self.sort() {
            Sort::Text => paced(&numbered(fixtures::streamed(self.dialect(), "text"))),
            Sort::Tools => paced(&fixtures::streamed(self.dialect(), "tools_two")),
            Sort::Whole => {
                let body = numbered(fixtures::whole(self.dialect(), "text"));
                let (half, rest) = body.split_at(body.len() / 2);
                let head = Reply::bytes(200, "application/json", b"");
                let head = head.replace_header("content-length", &body.len().to_string());
                head.pause(PACE * 6).send(half).pause(PACE * 6).send(rest)
            }
        }
    }

    /// Makes the call, and says what is wrong with what it got; its id.
    async fn make(self, data: &DataPlane) -> Result<String, String> {
        let answer = self.ask().try_send(data.address).await.map_err(|error| error.to_string())?;
        let id = answer.call_id();
        if answer.status != 200 {
            let status = answer.status;
            return Err(format!("{id}: status {status}: {}", String::from_utf8_lossy(&answer.whatever_comes().await)));
        }
        let turn = match self.sort() {
            Sort::Text | Sort::Tools => answer.stream(self.dialect()).await,
            Sort::Whole => answer.whole(self.dialect()).await,
        };
        let (text, tools) = (turn.text(), turn.tool_names().join(" "));
        let is_right = match self.sort() {
            Sort::Text | Sort::Whole => {
                text == format!("Hello there, the radically radical answer is number {} 42. Grüße 🦀!", self.0)
            }
            Sort::Tools => text.contains("it deletes") && !tools.contains("delete_"),
        };
        if is_right { Ok(id) } else { Err(format!("{id}: {text:?}, tools {tools:?}")) }
    }

    /// What is wrong with the record of it.
    async fn check(self, id: &str, control: &ControlPlane) -> Option<String> {
        let record = control.record(id).await;
        let covered = record.of_type("coverage").count();
        let original = record.text("text", "original");
        let has_text = match self.sort() {
            Sort::Text | Sort::Whole => original.contains(&format!("number {} 42", self.0)),
            Sort::Tools => !original.is_empty(),
        };
        let is_whole = record.outcome() == "delivered" && covered == 1 && has_text;
        (!is_whole).then(|| format!("{id}: outcome {:?}, {covered} coverages, {original:?}", record.outcome()))
    }
}

fn paced(body: &[u8]) -> Reply {
    sse::split(body).into_iter().fold(Reply::sse(), |reply, event| reply.pause(PACE).send(event))
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What the callers share.
struct Shared {
    data: Vec<DataPlane>,
    next: AtomicUsize,
    over: AtomicBool,
    made: Mutex<Vec<(Call, String)>>,
    wrong: Mutex<Vec<String>>,
}

/// Makes one call after the other.
async fn caller(shared: Arc<Shared>, lane: usize) {
    while !shared.over.load(Ordering::Relaxed) {
        let call = Call(shared.next.fetch_add(1, Ordering::Relaxed));
        let data = shared.clone();
        // What can't be read panics.
        let made = tokio::spawn(async move { call.make(&data.data[lane % DATA_PLANES]).await });
        match made.await.unwrap_or_else(|panic| Err(panic.to_string())) {
            Ok(id) => shared.made.lock().unwrap().push((call, id)),
            Err(why) => {
                let what = (call.sort(), call.dialect());
                shared.wrong.lock().unwrap().push(format!("{call:?} {what:?}: {why}"));
            }
        }
    }
}

/// Where the record is.
enum Database {
    /// In the file that a control plane takes by itself.
    Sqlite,
    /// On a server, which is killed too.
    Postgres { cluster: Cluster, url: String },
}

impl Database {
    fn postgres() -> Self {
        let cluster = Cluster::start();
        let url = cluster.database();
        Self::Postgres { cluster, url }
    }

    /// What a control plane of that name is told.
    fn section(&self, folder: &Path, name: &str) -> Value {
        let mut section = policies();
        if let Self::Postgres { url, .. } = self {
            section["database"] = json!(url);
            section["journal"] = json!(folder.join(format!("{name}-journal")));
        }
        section
    }

    /// Kills the server, if there is one, and lets calls go on without it for a while.
    async fn kill(&self) -> bool {
        let Self::Postgres { cluster, .. } = self else { return false };
        tokio::task::block_in_place(|| cluster.kill());
        tokio::time::sleep(DOWN).await;
        tokio::task::block_in_place(|| cluster.start_again());
        true
    }

    /// What is wrong with all that is on record.
    fn check(&self) {
        if let Self::Postgres { cluster, url } = self {
            assert_eq!(wrong_entries(cluster, url), "0 doubled, 0 missing");
        }
    }
}

/// Who is killed next: each control plane, then the database.
fn victim(kills: usize, database: &Database) -> Option<usize> {
    match database {
        Database::Sqlite => Some(kills % NAMES.len()),
        Database::Postgres { .. } => Some(kills % (NAMES.len() + 1)).filter(|at| *at < NAMES.len()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_control_planes_are_killed_no_call_loses_anything() {
    soak(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_killed_too_no_call_loses_anything() {
    soak(Database::postgres()).await;
}

async fn soak(database: Database) {
    let (seconds, streams) = (number("LUTHIEN_SOAK_SECONDS", 8), number("LUTHIEN_SOAK_STREAMS", 45));
    let rounds = number("LUTHIEN_SOAK_ROUNDS", 0);
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    upstream.answer_by(|exchange| Call::of(exchange).map(Call::reply));
    let mut controls = Vec::new();
    for name in NAMES {
        controls.push(ControlPlane::start(folder.path(), name, &database.section(folder.path(), name)).await);
    }
    let urls: Vec<String> = controls.iter().map(ControlPlane::url).collect();
    let mut section = data_plane_section(&upstream, &urls);
    patient(&mut section);
    let mut data = Vec::new();
    for name in ["data-1", "data-2", "data-3"] {
        data.push(DataPlane::start(folder.path(), name, &section).await);
    }
    let begun = Instant::now();
    let (made, wrong) = (Mutex::default(), Mutex::default());
    let shared = Arc::new(Shared { data, next: AtomicUsize::new(0), over: AtomicBool::new(false), made, wrong });
    let mut callers: JoinSet<()> = (0..streams).map(|lane| caller(shared.clone(), lane)).collect();

    let (mut kills, mut servers) = (0, 0);
    while if rounds > 0 { kills < rounds } else { begun.elapsed() < Duration::from_secs(seconds as u64) } {
        tokio::time::sleep(Duration::from_millis(700)).await;
        match victim(kills, &database) {
            Some(at) => {
                let section = database.section(folder.path(), NAMES[at]);
                controls[at] = back_with(&mut controls[at], folder.path(), NAMES[at], Going::Killed, section).await;
            }
            None => servers += usize::from(database.kill().await),
        }
        kills += 1;
    }
    shared.over.store(true, Ordering::Relaxed);
    while callers.join_next().await.is_some() {}

    let made = std::mem::take(&mut *shared.made.lock().unwrap());
    let control = &controls[0];
    let lost: Vec<String> = stream::iter(&made)
        .map(|(call, id)| call.check(id, control))
        .buffer_unordered(16)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let wrong = std::mem::take(&mut *shared.wrong.lock().unwrap());
    let taken = metrics(&shared.data).await;
    println!(
        "{} calls, {kills} kills ({servers} of the database), {taken} takeovers; {} wrong, {} not whole on record",
        made.len(),
        wrong.len(),
        lost.len()
    );
    assert!(wrong.is_empty() && lost.is_empty(), "{wrong:#?}\n{lost:#?}");
    assert!(kills >= 2 && taken > 0, "nothing was taken over");
    database.check();
}

/// How often a control plane took a call over.
async fn metrics(data: &[DataPlane]) -> u64 {
    let mut taken = 0;
    for plane in data {
        let page = plane.ask(Ask::get("/metrics")).await.complete().await;
        let page = String::from_utf8(page).unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix("luthien_data_plane_calls_resumed_total "));
        taken += value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    }
    taken
}
