//! Strict audit, with real processes: whatever any client got was on record before, also when its control plane is killed.

use std::{env, path::Path, time::Duration};

use luthien_tests::{
    fixtures,
    harness::{Answer, Ask, ControlPlane, DataPlane, Setup, data_plane_section},
    peers::{
        Gate,
        upstream::{Exchange, Reply, Upstream},
    },
    validate::{Dialect, Turn, sse},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const REPLACED: &str = "Hello there, the radically radical answer is 42. Grüße 🦀!";
/// Calls at once.
const STREAMS: usize = 24;
/// Between two pieces of an answer.
const PACE: Duration = Duration::from_millis(15);

/// Strict, with a policy that changes texts and one that refuses tool calls.
fn strict() -> Value {
    let delete = json!([{"tool": "delete_*", "reason": "it deletes"}]);
    json!({
        "audit": "strict",
        "policies": [
            {"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}},
            {"name": "rules", "kind": "tool_call_rules", "config": {"deny": delete}},
        ],
        "pipeline": ["words", "rules"],
    })
}

fn paced(body: &[u8]) -> Reply {
    sse::split(body).into_iter().fold(Reply::sse(), |reply, event| reply.pause(PACE).send(event))
}

/// What a client made of an answer, however it ended.
async fn understood(answer: Answer, dialect: Dialect) -> (String, Turn) {
    let id = answer.header("x-luthien-call-id").to_owned();
    match answer.status {
        200 => (id, answer.stream(dialect).await),
        _ => (id, Turn::default()),
    }
}

/// The blocks of a kind as they were settled, by what is on record: whole ones, and the parts of the others.
fn settled(entries: &[Value], field: &str) -> String {
    let is_whole = |block: &Value| entries.iter().any(|body| body["type"] == "block" && body["block"] == *block);
    let mut blocks: Vec<(u64, String)> = Vec::new();
    for body in entries {
        let counts = body["type"] == "block" || body["type"] == "part" && !is_whole(&body["block"]);
        let side = if body["unchanged"] == true { &body["original"] } else { &body["final"] };
        if let (true, Some(text)) = (counts, side[field].as_str()) {
            blocks.push((body["first"].as_u64().unwrap(), text.to_owned()));
        }
    }
    blocks.sort_by_key(|(first, _)| *first);
    blocks.into_iter().map(|(_, text)| text).collect()
}

/// Whatever the client understood is on record.
async fn covers(control: &ControlPlane, id: &str, turn: &Turn) -> Result<(), String> {
    let is_nothing = turn.text().is_empty() && turn.tool_calls().is_empty();
    if is_nothing {
        return Ok(());
    }
    let answer = control.ask(&format!("/api/calls/{id}")).send(control.admin).await;
    if answer.status != 200 {
        return Err(format!("{id} is not on record, and its client got {turn:?}"));
    }
    let record: Value = serde_json::from_slice(&answer.complete().await).unwrap();
    let entries: Vec<Value> = record["entries"].as_array().unwrap().iter().map(|entry| entry["body"].clone()).collect();
    let text = settled(&entries, "text");
    // Where a dialect has one text, several are joined so.
    let got = turn.text().replace("\n\n", "");
    if !text.contains(&got) {
        return Err(format!("{id}: the client got {got:?}, and on record is {text:?}"));
    }
    for call in turn.tool_calls() {
        if !settled(&entries, "name").contains(&call.name) || !settled(&entries, "arguments").contains(&call.arguments)
        {
            return Err(format!("{id}: {call:?} is not on record: {entries:#?}"));
        }
    }
    Ok(())
}

fn dialect(number: usize) -> Dialect {
    Dialect::ALL[number % Dialect::ALL.len()]
}

/// Which call an upstream was asked for.
fn numbered(exchange: &Exchange) -> Option<usize> {
    exchange.json()["metadata"]["user_id"].as_str()?.strip_prefix("number-")?.parse().ok()
}

fn rounds() -> usize {
    env::var("LUTHIEN_SOAK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

async fn start(folder: &Path, grpc: &str) -> ControlPlane {
    let mut section = strict();
    section["grpc_listen"] = json!(grpc);
    ControlPlane::start(folder, "control-plane", &section).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_clients_got_when_a_control_plane_is_killed_is_on_record() {
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    let mut control = start(folder.path(), "127.0.0.1:0").await;
    let data = DataPlane::start(folder.path(), "data-plane", &data_plane_section(&upstream, &[control.url()])).await;
    let (mut begun, mut cut) = (0, 0);
    for round in 0..rounds() {
        upstream.answer_by(|exchange| {
            let number = numbered(exchange)?;
            let fixture = if (number / Dialect::ALL.len()).is_multiple_of(2) { "text" } else { "tools_two" };
            Some(paced(&fixtures::streamed(dialect(number), fixture)))
        });
        let ask = |number| json!({"stream": true, "metadata": {"user_id": format!("number-{number}")}});
        let running: Vec<_> = (0..STREAMS)
            .map(|number| (dialect(number), data.begin(Ask::call(dialect(number), &ask(number)))))
            .collect();
        tokio::time::sleep(Duration::from_millis(60 + 47 * (round as u64 % 11))).await;
        control.process.kill();
        let mut understandings = Vec::new();
        for (dialect, answer) in running {
            understandings.push(understood(answer.await.unwrap(), dialect).await);
        }
        control = start(folder.path(), &control.grpc.to_string()).await;
        for (id, turn) in understandings {
            begun += usize::from(!turn.text().is_empty());
            cut += usize::from(turn.failure.is_some());
            if let Err(wrong) = covers(&control, &id, &turn).await {
                panic!("round {round}: {wrong}");
            }
        }
    }
    println!("{} kills: {begun} answers had begun, {cut} were cut off", rounds());
    assert!(begun > 0 && cut > 0, "{begun} answers had begun, {cut} were cut off");
}

#[tokio::test]
async fn what_strict_audit_lets_through_is_on_record_while_the_call_runs() {
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        let gateway = setup.with_control_plane(json!({"audit": "strict"})).start().await;
        for dialect in Dialect::ALL {
            let body = fixtures::streamed(dialect, "text");
            let (begun, rest) = sse::split_behind(&body, "re, the radi");
            let gate = Gate::new();
            gateway.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
            let mut answer = gateway.ask(Ask::streamed(dialect)).await;
            answer.until("re, the radi").await;
            let id = answer.call_id();
            let record = gateway.control.api(&format!("/api/calls/{id}")).await;
            assert_eq!(record["outcome"], Value::Null);
            let entries: Vec<Value> =
                record["entries"].as_array().unwrap().iter().map(|entry| entry["body"].clone()).collect();
            assert!(settled(&entries, "text").contains("Hello there, the radi"), "{entries:#?}");
            gate.open();
            answer.stream(dialect).await;
            assert_eq!(gateway.record(&id).await.outcome(), "delivered");
        }
    }
}

#[tokio::test]
async fn a_call_that_is_taken_over_under_strict_audit_loses_nothing() {
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    let mut control = start(folder.path(), "127.0.0.1:0").await;
    let mut section = data_plane_section(&upstream, &[control.url()]);
    section["timeouts"] = json!({"takeover": "20s"});
    let data = DataPlane::start(folder.path(), "data-plane", &section).await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let (begun, rest) = sse::split_behind(&body, "re, the radi");
        let gate = Gate::new();
        upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = data.ask(Ask::streamed(dialect)).await;
        answer.until("re, the radi").await;
        control.process.kill();
        control = start(folder.path(), &control.grpc.to_string()).await;
        gate.open();
        let id = answer.call_id();
        assert_eq!(answer.stream(dialect).await.text(), REPLACED);
        let record = control.record(&id).await;
        assert_eq!(record.outcome(), "delivered");
        assert!(record.call["epoch"].as_u64().unwrap() >= 1, "{:?}", record.call);
        assert_eq!(settled(&record.entries, "text"), REPLACED);
    }
}
