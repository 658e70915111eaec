//! The Python package (`clients/python`): its examples as policy services of real data planes and behind real control planes, its
//! harness over a real export, its client at a real control plane, and its own tests.

mod conformance;
mod remote;
mod service;

use luthien_tests::{
    environment::package::package,
    fixtures,
    harness::{Answer, Ask, DataPlane, Setup, data_plane_section},
    peers::{
        Gate,
        upstream::{Exchange, Reply, Upstream},
    },
    validate::{Dialect, Turn, sse},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::service::{Service, script};

/// A policy service in Python, and a data plane that asks it.
struct Judged {
    data: DataPlane,
    upstream: Upstream,
    service: Service,
    _folder: TempDir,
}

impl Judged {
    /// `None`: there is no Python to run it with.
    async fn by(example: &str) -> Option<Self> {
        Some(Self::of(Service::example(example).await?).await)
    }

    async fn of(service: Service) -> Self {
        let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
        let mut section = data_plane_section(&upstream, &[service.url()]);
        section["upstreams"]["openai"]["api_key"] = json!("upstream-key-openai");
        let data = DataPlane::start(folder.path(), "data-plane", &section).await;
        Self { data, upstream, service, _folder: folder }
    }

    async fn streamed(&self, dialect: Dialect) -> Turn {
        self.data.ask(Ask::streamed(dialect)).await.stream(dialect).await
    }

    async fn whole(&self, dialect: Dialect) -> Turn {
        self.data.ask(Ask::whole(dialect)).await.whole(dialect).await
    }

    /// Both turns of a case.
    async fn both(&self, dialect: Dialect, case: &str) -> [Turn; 2] {
        self.upstream.answer(Reply::stream(&fixtures::streamed(dialect, case)));
        let streamed = self.streamed(dialect).await;
        self.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, case)));
        [streamed, self.whole(dialect).await]
    }
}

#[tokio::test]
async fn the_monitor_scores_tool_calls_and_the_client_sees_no_difference() {
    let Some(judged) = Judged::by("score_tool_calls").await else { return };
    for dialect in Dialect::ALL {
        for (ask, body, reply) in [
            (Ask::streamed(dialect), fixtures::streamed(dialect, "tools_two"), Reply::stream as fn(&[u8]) -> Reply),
            (Ask::whole(dialect), fixtures::whole(dialect, "tools_two"), |body| {
                Reply::bytes(200, "application/json", body)
            }),
        ] {
            judged.upstream.answer(reply(&body));
            let answer: Answer = judged.data.ask(ask).await;
            let id = answer.call_id();
            assert_eq!(answer.complete().await, body, "{}", dialect.name());
            let line = judged.service.said(&id).await;
            for note in ["'tool': 'read_file', 'score': 0.0", "'tool': 'delete_file', 'score': 0.7", "'highest': 0.7"] {
                assert!(line.contains(note), "{note} in {line}");
            }
        }
    }
}

/// A secret in a stream, cut between two pieces of the text.
fn with_secret(dialect: Dialect) -> String {
    let body = String::from_utf8(fixtures::streamed(dialect, "text")).unwrap();
    body.replace("\"cally co\"", "\"cally sk-abcd\"").replace("\"ol answer\"", "\"1234EFGH answer\"")
}

const REDACTED: &str = "Hello there, the radically [redacted] answer is 42. Grüße 🦀!";

#[tokio::test]
async fn the_redactor_takes_a_secret_out_that_is_cut_into_chunks() {
    let Some(judged) = Judged::by("redact").await else { return };
    for dialect in Dialect::ALL {
        judged.upstream.answer(Reply::stream(with_secret(dialect).as_bytes()));
        assert_eq!(judged.streamed(dialect).await.text(), REDACTED);
        let body = String::from_utf8(fixtures::whole(dialect, "text")).unwrap().replace("cool", "sk-abcd1234EFGH");
        judged.upstream.answer(Reply::bytes(200, "application/json", body.as_bytes()));
        assert_eq!(judged.whole(dialect).await.text(), REDACTED);
    }
}

#[tokio::test]
async fn what_a_policy_in_python_holds_back_has_not_left() {
    let Some(judged) = Judged::by("redact").await else { return };
    for dialect in Dialect::ALL {
        let (body, gate) = (with_secret(dialect), Gate::new());
        let (begun, rest) = sse::split_behind(body.as_bytes(), "sk-abcd");
        judged.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = judged.data.ask(Ask::streamed(dialect)).await;
        answer.until("cally ").await;
        answer.for_a_moment().await;
        assert!(!answer.so_far().contains("sk-"), "{}", answer.so_far());
        gate.open();
        assert_eq!(answer.stream(dialect).await.text(), REDACTED);
    }
}

#[tokio::test]
async fn a_call_goes_on_when_the_policys_server_is_killed() {
    let Some(first) = Service::example("redact").await else { return };
    let second = Service::example("redact").await.unwrap();
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    let mut section = data_plane_section(&upstream, &[first.url(), second.url()]);
    section["timeouts"] = json!({"takeover": "20s"});
    let data = DataPlane::start(folder.path(), "data-plane", &section).await;
    let mut services = [first, second];
    for dialect in Dialect::ALL {
        let (body, gate) = (with_secret(dialect), Gate::new());
        let (begun, rest) = sse::split_behind(body.as_bytes(), "sk-abcd");
        upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = data.ask(Ask::streamed(dialect)).await;
        answer.until("cally ").await;
        // Both go and come back, one after the other: whoever has the call has lost it once.
        for service in &mut services {
            service.restart().await;
        }
        gate.open();
        assert_eq!(answer.stream(dialect).await.text(), REDACTED, "{}", dialect.name());
    }
}

/// What the judge says.
fn opinion(exchange: &Exchange) -> Option<Reply> {
    let is_question = exchange.json()["model"] == "judge";
    let deletes = exchange.json().to_string().contains("delete_file");
    let said = json!({"allow": !deletes, "why": if deletes { "it deletes" } else { "it reads" }}).to_string();
    let message = json!({"role": "assistant", "content": said, "refusal": null});
    let completion = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "judge-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": null}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    });
    is_question.then(|| Reply::json(200, &completion))
}

#[tokio::test]
async fn of_two_calls_the_one_that_the_judge_dislikes_is_refused() {
    let Some(judged) = Judged::by("ask_a_judge").await else { return };
    for dialect in Dialect::ALL {
        for streamed in [true, false] {
            let body =
                if streamed { fixtures::streamed(dialect, "tools_two") } else { fixtures::whole(dialect, "tools_two") };
            judged.upstream.answer_by(move |exchange| {
                let reply =
                    || if streamed { Reply::stream(&body) } else { Reply::bytes(200, "application/json", &body) };
                Some(opinion(exchange).unwrap_or_else(reply))
            });
            let turn = if streamed { judged.streamed(dialect).await } else { judged.whole(dialect).await };
            assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
            assert!(turn.text().ends_with("The call of delete_file was refused: it deletes"), "{turn:?}");
            dialect.next_turn(&turn).unwrap();
        }
    }
}

/// A policy that fails when it has seen a tool call whole, and one that answers what it is asked.
const ODD: &str = r#"
from luthien import Interest, Level, Policy, serve

class Odd(Policy):
    name = "odd"
    interest = Interest.only(tool_call=Level.GATE)

    def on_request(self, call, out):
        if "closed" in call.request.model:
            out.answer(out.text("I am closed today."))

    def on_tool_call_completed(self, arguments, seen, out):
        raise ValueError("oh")

serve(Odd)
"#;

async fn odd(folder: &TempDir) -> Option<Judged> {
    let path = folder.path().join("odd.py");
    std::fs::write(&path, ODD).unwrap();
    Some(Judged::of(Service::start(&path).await?).await)
}

#[tokio::test]
async fn a_hook_that_raises_fails_the_response_at_once() {
    let folder = TempDir::new().unwrap();
    let Some(judged) = odd(&folder).await else { return };
    for dialect in Dialect::ALL {
        judged.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "tools_two")));
        let (turn, failure) = judged.data.ask(Ask::streamed(dialect)).await.failed_stream(dialect).await;
        assert_eq!(turn.text(), "I will read and then delete.");
        assert_eq!(failure.message, "policy odd failed");
        judged.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, "tools_two")));
        let answer = judged.data.ask(Ask::whole(dialect)).await;
        assert_eq!(answer.status, 500);
        assert_eq!(answer.error(dialect).await.message, "policy odd failed");
    }
}

#[tokio::test]
async fn a_policy_in_python_answers_a_call_itself() {
    let folder = TempDir::new().unwrap();
    let Some(judged) = odd(&folder).await else { return };
    for (dialect, model) in Dialect::ALL.into_iter().zip(["gpt-closed", "claude-closed", "codex-closed"]) {
        let asked = |stream: bool| Ask::call(dialect, &json!({"model": model, "stream": stream}));
        let streamed = judged.data.ask(asked(true)).await.stream(dialect).await;
        let whole = judged.data.ask(asked(false)).await.whole(dialect).await;
        assert_eq!([streamed.text(), whole.text()], ["I am closed today."; 2]);
    }
    assert!(judged.upstream.exchanges().is_empty());
}

/// The code block of a language in the README, the first being 0.
fn shown(language: &str, number: usize) -> String {
    let readme = std::fs::read_to_string(package().join("README.md")).unwrap();
    let begin = format!("```{language}\n");
    readme.split(&begin).nth(number + 1).unwrap().split_once("```").unwrap().0.to_owned()
}

/// The policy of the README, served.
async fn of_the_readme(folder: &TempDir) -> Option<Service> {
    let path = folder.path().join("no_deletes.py");
    std::fs::write(&path, shown("python", 0)).unwrap();
    Service::start(&path).await
}

#[tokio::test]
async fn the_policy_of_the_readme_is_served_as_the_readme_says() {
    let folder = TempDir::new().unwrap();
    let Some(service) = of_the_readme(&folder).await else { return };
    let config: Value = serde_saphyr::from_str(&shown("yaml", 0)).unwrap();
    assert_eq!(config["data_plane"]["control_plane"], "http://127.0.0.1:50061");
    let upstream = Upstream::start().await;
    let mut section = config["data_plane"].clone();
    section["control_plane"] = json!(service.url());
    section["upstreams"]["anthropic"]["base_url"] = json!(format!("http://{}", upstream.address()));
    let shown = DataPlane::start(folder.path(), "data-plane", &section).await;
    upstream.answer(Reply::stream(&fixtures::streamed(Dialect::Anthropic, "tools_two")));
    let turn = shown.ask(Ask::streamed(Dialect::Anthropic)).await.stream(Dialect::Anthropic).await;
    assert_eq!(turn.tool_names(), ["read_file"]);

    let judged = Judged::of(service).await;
    for dialect in Dialect::ALL {
        for turn in judged.both(dialect, "tools_two").await {
            assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
            assert!(turn.text().ends_with("I may not call delete_file."), "{turn:?}");
            dialect.next_turn(&turn).unwrap();
        }
        for turn in judged.both(dialect, "text").await {
            assert_eq!(turn.text(), "Hello there, the radically cool answer is 42. Grüße 🦀!");
        }
    }
}

const OVER_AN_EXPORT: &str = r#"
import json
from luthien import read_export, run
from luthien.events import TextDelta
from score_tool_calls import ScoreToolCalls

for call in read_export("calls.jsonl"):
    decided = run(ScoreToolCalls, call)
    pieces = [event.step.text for _, event in call.chunks if isinstance(event.step, TextDelta)]
    print(json.dumps([decided.annotations[-1].details["highest"], decided.text, len(pieces), decided.has_failed]))
"#;

#[tokio::test]
async fn a_policy_in_python_runs_over_what_a_control_plane_exports() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        for case in ["text", "tools_two"] {
            gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, case)));
            let answer = gateway.ask(Ask::streamed(dialect)).await;
            let id = answer.call_id();
            answer.stream(dialect).await;
            gateway.record(&id).await;
        }
    }
    let export = gateway.control.ask("/api/export").send(gateway.control.admin).await.complete().await;
    std::fs::write(gateway.folder().join("calls.jsonl"), export).unwrap();
    let Some(said) = script(OVER_AN_EXPORT, gateway.folder(), &[]).await else { return };
    let decided: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(decided.len(), 6, "{decided:?}");
    // The newest is first.
    for pair in decided.chunks(2) {
        assert_eq!(pair[0][0], 0.7);
        assert_eq!(pair[1][0], 0.0);
        assert_eq!(pair[1][1], "Hello there, the radically cool answer is 42. Grüße 🦀!");
        assert!(pair[1][2].as_u64().unwrap() > 5, "in the pieces that it came in: {pair:?}");
        assert!(pair.iter().all(|it| it[3] == false));
    }
}

const A_PROXY: &str = r#"
import asyncio, sys
from luthien import Gate, Rejected, Request, ToolCall, connect, message, response, text_block, tool_call_block
from luthien.events import TextDelta

async def upstream():
    for event in response(text_block(0, "It is cool."), tool_call_block(2, ToolCall("ls", "c"), "{}")):
        yield event

async def main():
    async with connect(sys.argv[1]) as channel:
        async with Gate(channel, Request(model="m", stream=True, messages=[message("user", "Hi")])) as gate:
            async for event in gate.pass_(upstream()):
                print(event.step)
        print("call", gate.call_id)

asyncio.run(main())
"#;

#[tokio::test]
async fn a_proxy_in_python_gets_its_verdicts_from_a_control_plane() {
    let gateway = Setup::replacing_cool().start().await;
    let address = gateway.control.grpc.to_string();
    let Some(said) = script(A_PROXY, gateway.folder(), &[&address]).await else { return };
    assert!(said.contains("radical") && !said.contains("cool"), "{said}");
    assert!(said.contains("ToolCall(name='ls'"), "{said}");
    let (_, id) = said.trim().rsplit_once("call ").unwrap();
    let record = gateway.record(id).await;
    assert_eq!(record.outcome(), "delivered");
    assert!(record.of_type("verdict").any(|verdict| verdict["policies"] == json!(["words"])), "{record:?}");
}

/// With `mypy --strict`, and a wheel built from an sdist.
#[tokio::test]
async fn the_packages_own_tests_pass() {
    service::own_tests().await;
}
