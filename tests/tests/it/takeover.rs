//! A control plane dies, or is restarted, in the middle of calls: another one, or the same, takes them over. No client
//! notices; nothing leaks, nothing is doubled, and all is on record.

mod crowd;
mod soak;

use std::env;

use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Signal, data_plane_section},
    peers::{Gate, upstream::Reply, upstream::Upstream},
    validate::{Dialect, sse},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const REPLACED: &str = "Hello there, the radically radical answer is 42. Grüße 🦀!";
const BEGUN: &str = "re, the radi";

/// How a control plane goes.
#[derive(Clone, Copy, Debug)]
pub enum Going {
    Killed,
    Stopped,
}

/// Two control planes that share a record, and a data plane that knows both.
pub struct Pair {
    folder: TempDir,
    section: Value,
    pub upstream: Upstream,
    pub controls: [ControlPlane; 2],
    pub data: DataPlane,
}

fn policies() -> Value {
    let delete = json!([{"tool": "delete_*", "reason": "it deletes"}]);
    json!({
        "policies": [
            {"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}},
            {"name": "rules", "kind": "tool_call_rules", "config": {"deny": delete}},
        ],
        "pipeline": ["words", "rules"],
        // For those who want it otherwise: `cargo xtask soak --audit strict`.
        "audit": env::var("LUTHIEN_SOAK_AUDIT").unwrap_or_else(|_| "relaxed".to_owned()),
    })
}

fn patient(section: &mut Value) {
    section["timeouts"] = json!({"takeover": "20s"});
}

impl Pair {
    async fn start() -> Self {
        Self::with(policies()).await
    }

    /// With that `control_plane:` section.
    pub async fn with(section: Value) -> Self {
        let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
        let first = ControlPlane::start(folder.path(), "first", &section).await;
        let second = ControlPlane::start(folder.path(), "second", &section).await;
        let mut plane = data_plane_section(&upstream, &[first.url(), second.url()]);
        patient(&mut plane);
        let data = DataPlane::start(folder.path(), "data-plane", &plane).await;
        Self { folder, section, upstream, controls: [first, second], data }
    }

    /// Both go and come back, one after the other: whoever has a call has lost it once.
    pub async fn roll(&mut self, going: Going) {
        for (control, name) in self.controls.iter_mut().zip(["first", "second"]) {
            *control = back_with(control, self.folder.path(), name, going, self.section.clone()).await;
        }
    }

    pub async fn check_record(&self, id: &str) {
        let [one, other] = [self.controls[0].record(id).await, self.controls[1].record(id).await];
        assert_eq!(one.outcome(), "delivered");
        assert_eq!(one.entries, other.entries);
        let covered = one.entries.iter().filter(|entry| entry["type"] == "coverage").count();
        assert_eq!(covered, 1, "one epoch is read: {:?}", one.entries);
    }
}

/// A control plane goes, and another comes to its place.
async fn back(control: &mut ControlPlane, folder: &std::path::Path, name: &str, going: Going) -> ControlPlane {
    back_with(control, folder, name, going, policies()).await
}

/// The same, with its section.
async fn back_with(
    control: &mut ControlPlane,
    folder: &std::path::Path,
    name: &str,
    going: Going,
    mut section: Value,
) -> ControlPlane {
    match going {
        Going::Killed => control.process.kill(),
        Going::Stopped => {
            control.process.signal(Signal::Term);
            control.process.exit().await;
        }
    }
    section["grpc_listen"] = json!(control.grpc.to_string());
    ControlPlane::start(folder, name, &section).await
}

#[tokio::test]
async fn a_client_does_not_notice_that_control_planes_die_or_are_restarted() {
    for going in [Going::Killed, Going::Stopped] {
        for dialect in Dialect::ALL {
            let mut pair = Pair::start().await;
            let body = fixtures::streamed(dialect, "text");
            let (begun, rest) = sse::split_behind(&body, BEGUN);
            let gate = Gate::new();
            pair.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
            let mut answer = pair.data.ask(Ask::streamed(dialect)).await;
            answer.until(BEGUN).await;
            pair.roll(going).await;
            gate.open();
            let turn = answer.stream(dialect).await;
            assert_eq!(turn.text(), REPLACED, "{going:?} {dialect:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_was_taken_over_is_on_record_once_and_whole() {
    for dialect in Dialect::ALL {
        let mut pair = Pair::start().await;
        let body = fixtures::streamed(dialect, "text");
        let (begun, rest) = sse::split_behind(&body, BEGUN);
        let gate = Gate::new();
        pair.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = pair.data.ask(Ask::streamed(dialect)).await;
        answer.until(BEGUN).await;
        pair.roll(Going::Killed).await;
        gate.open();
        let id = answer.call_id();
        assert_eq!(answer.stream(dialect).await.text(), REPLACED);
        pair.check_record(&id).await;
    }
}

#[tokio::test]
async fn a_tool_call_that_was_half_received_is_judged_whole_by_the_next() {
    for dialect in Dialect::ALL {
        let mut pair = Pair::start().await;
        let body = fixtures::streamed(dialect, "tools_two");
        let (begun, rest) = sse::split_behind(&body, "/tmp");
        let gate = Gate::new();
        pair.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = pair.data.ask(Ask::streamed(dialect)).await;
        answer.until("and then delete.").await;
        gate.reached().await;
        pair.roll(Going::Killed).await;
        gate.open();
        let turn = answer.stream(dialect).await;
        assert!(!turn.tool_names().iter().any(|name| name.starts_with("delete_")), "{:?}", turn.tool_names());
        assert!(turn.text().contains("it deletes"), "{}", turn.text());
    }
}

#[tokio::test]
async fn a_whole_response_and_an_admission_that_is_owed_wait_for_the_next() {
    for dialect in Dialect::ALL {
        let mut pair = Pair::start().await;
        let head = Gate::new();
        let body = fixtures::whole(dialect, "text");
        pair.upstream.answer(Reply::bytes(200, "application/json", &body).hold_head(&head));
        let asking = pair.data.begin(Ask::whole(dialect));
        head.reached().await;
        pair.roll(Going::Killed).await;
        head.open();
        let answer = asking.await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.whole(dialect).await.text(), REPLACED);

        // Nobody is there when the next call begins.
        pair.controls.iter_mut().for_each(|control| control.process.kill());
        pair.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let asking = pair.data.begin(Ask::streamed(dialect));
        pair.roll(Going::Killed).await;
        assert_eq!(asking.await.unwrap().stream(dialect).await.text(), REPLACED);
    }
}

#[tokio::test]
async fn one_control_plane_alone_takes_its_calls_over_when_it_is_back() {
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    let mut control = ControlPlane::start(folder.path(), "only", &policies()).await;
    let mut section = data_plane_section(&upstream, &[control.url()]);
    patient(&mut section);
    let data = DataPlane::start(folder.path(), "data-plane", &section).await;
    let gate = Gate::new();
    let mut running = Vec::new();
    for number in 0..30 {
        let dialect = Dialect::ALL[number % Dialect::ALL.len()];
        let body = fixtures::streamed(dialect, "text");
        let (begun, rest) = sse::split_behind(&body, BEGUN);
        upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = data.ask(Ask::streamed(dialect)).await;
        answer.until(BEGUN).await;
        running.push((dialect, answer));
    }
    control = back(&mut control, folder.path(), "only", Going::Killed).await;
    gate.open();
    for (dialect, answer) in running {
        let id = answer.call_id();
        assert_eq!(answer.stream(dialect).await.text(), REPLACED);
        assert_eq!(control.record(&id).await.outcome(), "delivered");
    }
}
