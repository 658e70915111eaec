//! Policies in Python behind control planes, as the `remote` stage of a pipeline: they hold, replace, end, watch and ask as they
//! do alone; they go on when control planes are killed, and their own death is that stage's failure and no more.

mod kills;

use luthien_tests::{
    fixtures,
    harness::{Answer, Ask, Gateway, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, Turn, sse},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{REDACTED, of_the_readme, opinion, service::Service, shown, with_secret};
use crate::remote::policy;

/// A control plane of which one stage is served in Python.
struct Behind {
    gateway: Gateway,
    service: Service,
}

impl Behind {
    /// `None`: there is no Python to serve it with.
    async fn start(example: &str, on_failure: &str, more: Value) -> Option<Self> {
        Some(Self::of(Service::example(example).await?, on_failure, more).await)
    }

    async fn of(service: Service, on_failure: &str, more: Value) -> Self {
        let theirs = policy(&service.url(), on_failure, more);
        let gateway = Setup::pipeline(&[theirs]).with_upstream_keys().start().await;
        Self { gateway, service }
    }

    /// The upstream says a fixture, streamed or whole, and somebody asks for it.
    async fn asked(&self, dialect: Dialect, case: &str, streamed: bool) -> Answer {
        let reply = fixture(dialect, case, streamed);
        self.gateway.upstream.answer_by(move |exchange| Some(opinion(exchange).unwrap_or_else(|| reply.clone())));
        self.gateway.ask(if streamed { Ask::streamed(dialect) } else { Ask::whole(dialect) }).await
    }

    async fn turn(&self, dialect: Dialect, case: &str, streamed: bool) -> Turn {
        read(self.asked(dialect, case, streamed).await, dialect, streamed).await
    }
}

fn fixture(dialect: Dialect, case: &str, streamed: bool) -> Reply {
    match streamed {
        true => Reply::stream(&fixtures::streamed(dialect, case)),
        false => Reply::bytes(200, "application/json", &fixtures::whole(dialect, case)),
    }
}

async fn read(answer: Answer, dialect: Dialect, streamed: bool) -> Turn {
    match streamed {
        true => answer.stream(dialect).await,
        false => answer.whole(dialect).await,
    }
}

/// Every dialect, streamed and whole.
fn all() -> impl Iterator<Item = (Dialect, bool)> {
    Dialect::ALL.into_iter().flat_map(|dialect| [(dialect, true), (dialect, false)])
}

/// Takes one tool out, and stops the response where it stood.
const ENDS: &str = r#"
from luthien import Interest, Level, Policy, serve

class Ends(Policy):
    name = "ends"
    interest = Interest.only(tool_call=Level.GATE)

    def on_tool_call_chunk(self, seen, out):
        if seen.tool.startswith("delete"):
            out.drop()

    def on_tool_call_completed(self, arguments, seen, out):
        if seen.tool.startswith("delete"):
            out.end(out.text(f"I stop at {seen.tool}."))

serve(Ends)
"#;

/// It serves [`ENDS`].
async fn one_that_ends(folder: &TempDir) -> Option<Service> {
    let path = folder.path().join("ends.py");
    std::fs::write(&path, ENDS).unwrap();
    Service::start(&path).await
}

fn check_ended(turn: &Turn, dialect: Dialect) {
    assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
    let text = turn.text();
    assert!(text.starts_with("I will read and then delete.") && text.ends_with("I stop at delete_file."), "{text}");
    dialect.next_turn(turn).unwrap();
}

#[tokio::test]
async fn what_it_holds_has_not_left_and_what_it_replaces_is_replaced() {
    let Some(behind) = Behind::start("redact", "closed", json!({})).await else { return };
    for dialect in Dialect::ALL {
        let (body, gate) = (with_secret(dialect), Gate::new());
        let (begun, rest) = sse::split_behind(body.as_bytes(), "sk-abcd");
        behind.gateway.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = behind.gateway.ask(Ask::streamed(dialect)).await;
        answer.until("cally ").await;
        answer.for_a_moment().await;
        assert!(!answer.so_far().contains("sk-"), "{}", answer.so_far());
        gate.open();
        let id = answer.call_id();
        assert_eq!(answer.stream(dialect).await.text(), REDACTED);
        let record = behind.gateway.record(&id).await;
        assert_eq!(record.text("text", "final"), REDACTED);
        assert!(record.text("text", "original").contains("sk-abcd1234EFGH"), "{record:?}");
        assert_eq!(record.of_type("coverage").next().unwrap()["policies"][0]["policy"], "theirs");

        let whole = String::from_utf8(fixtures::whole(dialect, "text")).unwrap().replace("cool", "sk-abcd1234EFGH");
        behind.gateway.upstream.answer(Reply::bytes(200, "application/json", whole.as_bytes()));
        assert_eq!(behind.gateway.ask(Ask::whole(dialect)).await.whole(dialect).await.text(), REDACTED);
    }
}

#[tokio::test]
async fn what_it_ends_is_ended_where_it_says() {
    let folder = TempDir::new().unwrap();
    let Some(service) = one_that_ends(&folder).await else { return };
    let behind = Behind::of(service, "closed", json!({})).await;
    for (dialect, streamed) in all() {
        check_ended(&behind.turn(dialect, "tools_two", streamed).await, dialect);
        let text = behind.turn(dialect, "text", streamed).await;
        assert_eq!(text.text(), "Hello there, the radically cool answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn what_it_watches_is_untouched_and_its_notes_are_on_record() {
    let Some(behind) = Behind::start("score_tool_calls", "closed", json!({})).await else { return };
    for (dialect, streamed) in all() {
        let answer = behind.asked(dialect, "tools_two", streamed).await;
        let id = answer.call_id();
        let (body, expected) = (answer.complete().await, if streamed { fixtures::streamed } else { fixtures::whole });
        assert_eq!(body, expected(dialect, "tools_two"), "{dialect:?}");
        behind.service.said(&id).await;
        let record = behind.gateway.record(&id).await;
        let with_verdicts =
            record.entries.iter().flat_map(|entry| entry["annotations"].as_array().into_iter().flatten());
        let notes: Vec<&Value> = with_verdicts.chain(record.of_type("note")).collect();
        let of = |tool: &str| {
            notes.iter().find(|note| note["details"]["tool"] == tool).unwrap_or_else(|| panic!("{notes:?}"))
        };
        assert_eq!(of("read_file")["details"]["score"], 0.0);
        assert_eq!(of("delete_file")["details"]["score"], 0.7);
        assert!(notes.iter().all(|note| note["policy"] == "theirs"), "{notes:?}");
    }
}

#[tokio::test]
async fn the_judge_that_it_asks_is_asked_through_the_data_plane() {
    let Some(behind) = Behind::start("ask_a_judge", "closed", json!({"consult": [""]})).await else { return };
    for (dialect, streamed) in all() {
        let turn = behind.turn(dialect, "tools_two", streamed).await;
        assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
        assert!(turn.text().ends_with("The call of delete_file was refused: it deletes"), "{turn:?}");
        dialect.next_turn(&turn).unwrap();
    }
}

#[tokio::test]
async fn the_policy_of_the_readme_is_a_stage_as_the_readme_says() {
    let folder = TempDir::new().unwrap();
    let Some(service) = of_the_readme(&folder).await else { return };
    let mut config: Value = serde_saphyr::from_str(&shown("yaml", 1)).unwrap();
    config["control_plane"]["policies"][0]["config"]["address"] = json!(service.url());
    let gateway = Setup::noop().with_control_plane(config["control_plane"].take()).start().await;
    let behind = Behind { gateway, service };
    for (dialect, streamed) in all() {
        let turn = behind.turn(dialect, "tools_two", streamed).await;
        assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
        assert!(turn.text().ends_with("I may not call delete_file."), "{turn:?}");
    }
}
