//! What happens in the calls, as those see it who watch.

use std::path::Path;

use luthien_tests::{
    fixtures,
    harness::{Answer, Ask, ControlPlane, DataPlane, Setup, data_plane_section},
    peers::{
        Gate,
        upstream::{Reply, Upstream},
        within,
    },
    validate::{Dialect, sse},
};
use luthien_tests_postgres::Cluster;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::postgres;

const DIALECT: Dialect = Dialect::OpenAi;

/// An SSE event.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    id: String,
    data: Value,
}

impl Seen {
    fn type_(&self) -> &str {
        self.data["type"].as_str().unwrap()
    }
}

/// One who watches.
struct Viewer(Answer, usize);

impl Viewer {
    async fn watch(control: &ControlPlane) -> Self {
        Self::begin(control.ask("/api/activity"), control).await
    }

    async fn behind(control: &ControlPlane, id: &str) -> Self {
        Self::begin(control.ask("/api/activity").header("last-event-id", id), control).await
    }

    async fn begin(ask: Ask, control: &ControlPlane) -> Self {
        let answer = ask.send(control.admin).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
        Self(answer, 0)
    }

    /// Everything new up to the first event of that type.
    async fn until(&mut self, type_: &str) -> Vec<Seen> {
        let event = format!("event: {type_}\n");
        let read = async {
            loop {
                let all = events(&self.0.so_far());
                if let Some(at) = all.iter().skip(self.1).position(|seen| seen.type_() == type_) {
                    let news = all[self.1..][..=at].to_vec();
                    self.1 += news.len();
                    return news;
                }
                self.0.more().await;
            }
        };
        within(&event, read).await
    }
}

/// Those that are whole.
fn events(text: &str) -> Vec<Seen> {
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let field = |frame: &str, name| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let frames = whole.split("\n\n").filter_map(|frame| Some((field(frame, "id: ")?, field(frame, "data: ")?)));
    frames.map(|(id, data)| Seen { id, data: serde_json::from_str(&data).unwrap() }).collect()
}

async fn call(upstream: &Upstream, data: &DataPlane) -> String {
    upstream.answer(Reply::stream(&fixtures::streamed(DIALECT, "text")));
    let answer = data.ask(Ask::streamed(DIALECT)).await;
    let id = answer.call_id();
    answer.stream(DIALECT).await;
    id
}

fn calls(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.data["call_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_call_is_seen_with_its_verdicts_before_it_ends() {
    let gateway = Setup::replacing_cool().start().await;
    let mut viewer = Viewer::watch(&gateway.control).await;
    // Up to the end of the text, and not of the response.
    let dialect = Dialect::Anthropic;
    let body = fixtures::streamed(dialect, "text");
    let (begun, rest) = sse::split_behind(&body, "content_block_stop");
    let gate = Gate::new();
    gateway.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
    let mut answer = gateway.ask(Ask::streamed(dialect)).await;
    answer.until("radical").await;
    let id = answer.call_id();

    let seen = viewer.until("verdict").await;
    assert!(calls(&seen).iter().all(|call| **call == id), "{seen:?}");
    let types: Vec<&str> = seen.iter().map(Seen::type_).collect();
    assert_eq!(types[..2], ["request", "admission"]);
    let verdict = &seen.last().unwrap().data;
    assert_eq!((&verdict["decision"], &verdict["policies"]), (&json!("replace"), &json!(["words"])));
    let text = format!("{seen:?}");
    assert!(!text.contains("prompt-canary") && !text.contains("radical"), "what was said is not told: {text}");

    gate.open();
    answer.stream(dialect).await;
    let end = viewer.until("outcome").await.pop().unwrap();
    assert_eq!((&end.data["outcome"], &end.data["status"]), (&json!("delivered"), &json!(200)));
}

/// Two control planes that share a database, each with a data plane of its own.
struct Pair {
    upstream: Upstream,
    controls: [ControlPlane; 2],
    datas: [DataPlane; 2],
    _folder: TempDir,
}

impl Pair {
    async fn start(section: impl Fn(&Path, &str) -> Value) -> Self {
        let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
        let plane = async |name| {
            let control = ControlPlane::start(folder.path(), name, &section(folder.path(), name)).await;
            let planes = data_plane_section(&upstream, &[control.url()]);
            let data = DataPlane::start(folder.path(), &format!("{name}-data"), &planes).await;
            (control, data)
        };
        let ((one, its), (other, others)) = (plane("one").await, plane("other").await);
        Self { upstream, controls: [one, other], datas: [its, others], _folder: folder }
    }

    /// A call here (0) or there (1).
    async fn call(&self, at: usize) -> String {
        call(&self.upstream, &self.datas[at]).await
    }
}

async fn who_comes_back_has_lost_and_doubled_nothing(pair: &Pair) {
    let mut whole = Viewer::watch(&pair.controls[0]).await;
    let mut parted = Viewer::watch(&pair.controls[0]).await;
    let (mut all, mut parts): (Vec<Seen>, Vec<Seen>) = (Vec::new(), Vec::new());
    for n in 0..6 {
        let id = pair.call(n % 2).await;
        let seen = whole.until("outcome").await;
        assert!(calls(&seen).iter().all(|call| *call == id), "{seen:?}");
        all.extend(seen);
        if n == 0 {
            // In the midst of a call.
            parts = parted.until("admission").await;
        } else if n % 2 == 1 {
            // It was away for the rest of one call and for a whole one, and comes back elsewhere.
            parted = Viewer::behind(&pair.controls[n / 2 % 2], &parts.last().unwrap().id).await;
            parts.extend(parted.until("outcome").await);
            parts.extend(parted.until("outcome").await);
        }
    }
    assert_eq!(parts, all);
}

#[tokio::test]
async fn who_comes_back_has_lost_and_doubled_nothing_on_whichever_control_plane() {
    let sqlite = |_: &Path, _: &str| {
        json!({
            "policies": [{"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}],
            "pipeline": ["words"],
        })
    };
    who_comes_back_has_lost_and_doubled_nothing(&Pair::start(sqlite).await).await;
}

#[tokio::test]
async fn who_comes_back_has_lost_and_doubled_nothing_with_journals_before_postgres() {
    let database = Cluster::shared().database();
    let postgres = |folder: &Path, name: &str| postgres::section(&database, folder, name);
    who_comes_back_has_lost_and_doubled_nothing(&Pair::start(postgres).await).await;
}

#[tokio::test]
async fn one_who_does_not_read_is_in_nobodys_way() {
    let gateway = Setup::replacing_cool().start().await;
    let mut stuck = Viewer::watch(&gateway.control).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(call(&gateway.upstream, &gateway.data).await);
    }
    for id in &ids {
        assert_eq!(gateway.record(id).await.outcome(), "delivered");
    }
    let mut seen = Vec::new();
    for _ in &ids {
        seen.extend(stuck.until("outcome").await);
    }
    let ended: Vec<_> = seen.into_iter().filter(|seen| seen.type_() == "outcome").collect();
    assert_eq!(calls(&ended), ids);
}
