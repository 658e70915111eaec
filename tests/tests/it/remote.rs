//! A policy that somebody else serves: it holds, replaces, ends and rejects like any other, and what it does wrong is its own
//! failure and nobody else's.

use luthien_proto::wire::{
    self, Admission, Annotation, Chunk, Consult, EnforceResponse, Forward, Interest, Level, Reject, Verdict, Working,
    admission, enforce_request, enforce_response, event, verdict,
};
use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Gateway, Setup, data_plane_section},
    peers::{
        Gate, eventually,
        policy::{Conversation, PolicyService, text_block},
        upstream::{Reply, Upstream},
    },
    validate::{Dialect, sse},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Status;

const TEXT: &str = "Hello there, the radically cool answer is 42. Grüße 🦀!";

const BEGUN: &str = "re, the radi";

/// A stage that is served there.
pub fn policy(address: &str, on_failure: &str, more: Value) -> Value {
    let mut config = json!({"address": address, "connect_timeout": "1s"});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    json!({"name": "theirs", "kind": "remote", "on_failure": on_failure, "config": config})
}

async fn served(on_failure: &str, more: Value) -> (Gateway, PolicyService) {
    let service = PolicyService::start().await;
    let gateway = Setup::pipeline(&[policy(&service.url(), on_failure, more)]).start().await;
    (gateway, service)
}

/// A call of which the upstream says the fixture `text`, and the service's side of it.
async fn call(
    gateway: &Gateway,
    service: &mut PolicyService,
    dialect: Dialect,
) -> (tokio::task::JoinHandle<luthien_tests::harness::Answer>, Conversation) {
    gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
    let answer = gateway.begin(Ask::streamed(dialect));
    let (call, started) = service.call().await;
    assert!(started.headers.is_empty(), "{:?}", started.headers);
    (answer, call)
}

fn last_seq(chunks: &[wire::Chunk]) -> u64 {
    chunks.last().unwrap().seq
}

async fn metric(gateway: &Gateway, line: &str) {
    eventually(line, async || {
        let page = Ask::get("/metrics").send(gateway.control.admin).await.complete().await;
        String::from_utf8(page).unwrap().lines().any(|it| it == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_holds_and_replaces_and_is_on_record_under_its_own_name() {
    let (gateway, mut service) = served("closed", json!({})).await;
    for dialect in Dialect::ALL {
        let (answer, mut call) = call(&gateway, &mut service, dialect).await;
        call.admit().await;
        let last = last_seq(&call.all_chunks().await);
        assert!(!answer.is_finished(), "nothing of it may have been sent");
        call.pass(last - 1).await;
        let note =
            Annotation { policy: "somebody else".to_owned(), summary: "a note".to_owned(), ..Annotation::default() };
        let decision = Some(verdict::Decision::Pass(wire::Pass {}));
        let verdict = Verdict { through: last - 1, decision, annotations: vec![note], cancel_upstream: false };
        call.say(enforce_response::Message::Verdict(verdict)).await;
        call.pass(last).await;
        let answer = answer.await.unwrap();
        let id = answer.call_id();
        assert_eq!(answer.stream(dialect).await.text(), TEXT, "{dialect:?}");
        call.ended().await;
        call.close();
        let record = gateway.record(&id).await;
        let covered = record.of_type("coverage").next().unwrap();
        assert_eq!(covered["policies"][0]["policy"], "theirs");
        assert_eq!(covered["policies"][0]["revision"], "ab".repeat(32));
        let notes = record.entries.iter().flat_map(|entry| entry["annotations"].as_array().into_iter().flatten());
        let notes: Vec<&Value> =
            notes.chain(record.of_type("note")).filter(|note| note["summary"] == "a note").collect();
        assert!(!notes.is_empty() && notes.iter().all(|note| note["policy"] == "theirs"), "{:?}", record.entries);
    }
    metric(&gateway, r#"luthien_control_plane_remote_calls_total{policy="theirs"} 3"#).await;
}

#[tokio::test]
async fn what_it_makes_reaches_the_client() {
    let (gateway, mut service) = served("closed", json!({})).await;
    for dialect in Dialect::ALL {
        let (answer, mut call) = call(&gateway, &mut service, dialect).await;
        call.admit().await;
        let chunks = call.all_chunks().await;
        let finished = |chunk: &&wire::Chunk| {
            let event = chunk.event.as_ref().and_then(|event| event.event.as_ref());
            matches!(event, Some(wire::event::Event::Finished(_)))
        };
        let finished = chunks.iter().find(finished).unwrap().seq;
        call.pass(finished - 1).await;
        call.replace(finished - 1, text_block(1 << 31, " And theirs.")).await;
        call.pass(last_seq(&chunks)).await;
        let turn = answer.await.unwrap().stream(dialect).await;
        assert!(turn.text().starts_with(TEXT) && turn.text().ends_with(" And theirs."), "{turn:?}");

        let (answer, mut call) = self::call(&gateway, &mut service, dialect).await;
        call.admit().await;
        let chunks = call.all_chunks().await;
        call.pass(1).await;
        call.end(2, text_block(1 << 31, "No.")).await;
        assert_eq!(answer.await.unwrap().stream(dialect).await.text(), "No.", "{dialect:?}");
        assert!(last_seq(&chunks) > 2);
    }
}

#[tokio::test]
async fn it_rejects_and_edits_requests() {
    let (gateway, mut service) = served("closed", json!({})).await;
    let dialect = Dialect::OpenAi;
    let answer = gateway.begin(Ask::streamed(dialect));
    let (mut call, _) = service.call().await;
    let reject = Reject { status: 451, r#type: String::new(), message: "not here".to_owned() };
    call.say(admission(admission::Decision::Reject(reject))).await;
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 451);
    assert_eq!(answer.error(dialect).await.message, "not here");

    let (answer, mut call) = self::call(&gateway, &mut service, dialect).await;
    let content = wire::Content {
        content: Some(wire::content::Content::Text(wire::TextContent { text: "Be brief.".to_owned() })),
        ..Default::default()
    };
    let edit = wire::Edit { edit: Some(wire::edit::Edit::System(wire::SystemContent { content: vec![content] })) };
    let gate = Level::Record as i32;
    let interest = Interest { text: gate, thinking: gate, refusal: gate, tool_call: gate, opaque: gate };
    let forward = Forward { interest: Some(interest), edits: vec![edit], ..Forward::default() };
    call.say(admission(admission::Decision::Forward(forward))).await;
    assert_eq!(answer.await.unwrap().stream(dialect).await.text(), TEXT);
    assert!(gateway.upstream.only_exchange().json().to_string().contains("Be brief."));
}

fn admission(decision: admission::Decision) -> enforce_response::Message {
    enforce_response::Message::Admission(Admission { decision: Some(decision), ..Admission::default() })
}

/// What a service may do wrong.
const WRONGS: [&str; 6] = ["closes the stream", "breaks the stream", "says nothing", "is only at it", "floods", "lies"];

async fn do_wrong(call: &mut Conversation, wrong: &str) {
    match wrong {
        "closes the stream" => call.close(),
        "breaks the stream" => call.fail(Status::internal("a canary of theirs")).await,
        "says nothing" => {}
        "is only at it" => {
            for _ in 0..200 {
                call.working().await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        "floods" => {
            for _ in 0..3_000 {
                let message = Some(enforce_response::Message::Working(Working {}));
                call.say_raw(EnforceResponse { message, seen: 0 }).await;
            }
        }
        "lies" => call.pass(999).await,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn whatever_it_does_wrong_is_its_own_failure() {
    let times = json!({"lease": "400ms", "hold_time": "2s"});
    let dialect = Dialect::OpenAi;
    for on_failure in ["closed", "open"] {
        let (gateway, mut service) = served(on_failure, times.clone()).await;
        for wrong in WRONGS {
            let (answer, mut call) = call(&gateway, &mut service, dialect).await;
            call.admit().await;
            match wrong {
                // It has taken everything, and the rest is over: it is waited for.
                "is only at it" => drop(call.all_chunks().await),
                _ => drop(call.hear().await),
            }
            tokio::join!(do_wrong(&mut call, wrong), async {
                let answer = answer.await.unwrap();
                match on_failure {
                    "open" => assert_eq!(answer.stream(dialect).await.text(), TEXT, "{wrong}"),
                    _ => assert_eq!(answer.error(dialect).await.message, "policy theirs failed", "{wrong}"),
                }
            });
            let record = gateway.control.last_record().await;
            assert!(record.entries.iter().any(|entry| entry.to_string().contains("policy theirs failed")), "{wrong}");
        }
        for (cause, times) in [("lost", 2), ("silent", 1), ("late", 1), ("flood", 1), ("fault", 1)] {
            let line = format!(r#"luthien_control_plane_remote_lost_total{{policy="theirs",cause="{cause}"}} {times}"#);
            metric(&gateway, &line).await;
        }
    }
}

#[tokio::test]
async fn whatever_it_does_wrong_before_it_admits_a_call_is_too() {
    let times = json!({"lease": "400ms", "hold_time": "2s"});
    let dialect = Dialect::OpenAi;
    for on_failure in ["closed", "open"] {
        let (gateway, mut service) = served(on_failure, times.clone()).await;
        for wrong in WRONGS {
            let (answer, mut call) = call(&gateway, &mut service, dialect).await;
            tokio::join!(do_wrong(&mut call, wrong), async {
                let answer = answer.await.unwrap();
                match on_failure {
                    "open" => assert_eq!(answer.stream(dialect).await.text(), TEXT, "{wrong}"),
                    _ => {
                        assert_eq!(answer.status, 500, "{wrong}");
                        assert_eq!(answer.error(dialect).await.message, "policy theirs failed", "{wrong}");
                    }
                }
            });
        }
    }
}

#[tokio::test]
async fn where_nobody_listens_the_failure_mode_decides() {
    let dialect = Dialect::Anthropic;
    for (on_failure, status) in [("closed", 500), ("open", 200)] {
        let gateway = Setup::pipeline(&[policy("http://127.0.0.1:1", on_failure, json!({}))]).start().await;
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        assert_eq!(answer.status, status);
        match on_failure {
            "open" => assert_eq!(answer.stream(dialect).await.text(), TEXT),
            _ => drop(answer.error(dialect).await),
        }
    }
}

#[tokio::test]
async fn a_call_that_it_fails_leaves_the_others_alone() {
    let (gateway, mut service) = served("closed", json!({})).await;
    let dialect = Dialect::OpenAi;
    let (first, mut one) = call(&gateway, &mut service, dialect).await;
    let (second, mut other) = call(&gateway, &mut service, dialect).await;
    one.admit().await;
    other.admit().await;
    let last = last_seq(&other.all_chunks().await);
    one.hear().await;
    one.pass(999).await;
    first.await.unwrap().error(dialect).await;
    other.pass(last).await;
    assert_eq!(second.await.unwrap().stream(dialect).await.text(), TEXT);
}

#[tokio::test]
async fn it_asks_the_models_that_it_may_ask() {
    let service = PolicyService::start().await;
    let theirs = policy(&service.url(), "closed", json!({"consult": ["openai"]}));
    let gateway = Setup::pipeline(&[theirs]).with_upstream_keys().start().await;
    let mut service = service;
    let dialect = Dialect::OpenAi;
    let (answer, mut call) = call(&gateway, &mut service, dialect).await;
    call.admit().await;
    let last = last_seq(&call.all_chunks().await);
    gateway.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text")));
    for upstream in ["openai", "anthropic"] {
        let request = wire::Request { model: "judge".to_owned(), choices: 1, ..wire::Request::default() };
        let credentials = wire::Credentials::Configured.into();
        let (id, upstream) = (upstream.to_owned(), upstream.to_owned());
        let request = Some(request);
        call.say(enforce_response::Message::Consult(Consult {
            id,
            request,
            upstream,
            credentials,
            ..Consult::default()
        }))
        .await;
    }
    let mut texts = std::collections::BTreeMap::new();
    while texts.len() < 2 {
        match call.hear().await {
            Some(enforce_request::Message::Consultation(answer)) => {
                texts.insert(answer.id, format!("{:?}", answer.events));
            }
            other => panic!("{other:?}"),
        }
        call.working().await;
    }
    assert!(texts["openai"].contains("42"), "{texts:?}");
    assert!(texts["anthropic"].contains("may not ask this upstream"), "{texts:?}");
    let question =
        gateway.upstream.exchanges().into_iter().find(|exchange| exchange.json()["model"] == "judge").unwrap();
    assert!(question.header("authorization").ends_with("upstream-key-openai"));
    call.pass(last).await;
    assert_eq!(answer.await.unwrap().stream(dialect).await.text(), TEXT);
}

/// The next stream that is told chunks. A control plane that dies has streams for nothing: one of an attempt to take a call
/// over that came to nothing itself.
async fn told(service: &mut PolicyService, last: impl Fn(&event::Event) -> bool) -> (Conversation, Vec<Chunk>) {
    loop {
        let (mut call, _) = service.call().await;
        call.admit().await;
        if let Some(chunks) = call.chunks_if_any(&last).await {
            return (call, chunks);
        }
    }
}

#[tokio::test]
async fn a_call_whose_control_plane_dies_goes_on_with_it() {
    let mut service = PolicyService::start().await;
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
    let words =
        json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}});
    let theirs = policy(&service.url(), "closed", json!({}));
    let section = json!({"policies": [words, theirs], "pipeline": ["words", "theirs"]});
    let mut first = ControlPlane::start(folder.path(), "first", &section).await;
    let mut plane = data_plane_section(&upstream, &[first.url()]);
    plane["timeouts"] = json!({"takeover": "20s"});
    let data = DataPlane::start(folder.path(), "data-plane", &plane).await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let (said, rest) = sse::split_behind(&body, BEGUN);
        let gate = Gate::new();
        upstream.answer(Reply::sse().send(said).wait(&gate).send(rest));
        let answer = data.begin(Ask::streamed(dialect));
        let (mut lost, begun) = told(&mut service, |event| format!("{event:?}").contains("radi")).await;
        lost.pass(last_seq(&begun)).await;
        let mut answer = answer.await.unwrap();
        answer.until(BEGUN).await;

        let mut section = section.clone();
        section["grpc_listen"] = json!(first.grpc.to_string());
        first.process.kill();
        first = ControlPlane::start(folder.path(), "first", &section).await;
        gate.open();
        let is_last = |event: &event::Event| matches!(event, event::Event::Ended(_) | event::Event::Failed(_));
        let (mut call, all) = told(&mut service, is_last).await;
        call.pass(last_seq(&all)).await;
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.text(), TEXT.replace("cool", "radical"), "{dialect:?}");
        drop(lost);
    }
}

/// A certificate of an authority, and its key, in PEM.
fn certificate(name: &str, authority: &CertifiedIssuer<'_, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn both_ends_know_each_other_by_their_certificates() {
    let (folder, ours, other) = (TempDir::new().unwrap(), authority(), authority());
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate_of_theirs, key_of_theirs) = certificate("policies.test", &ours);
    let mut service = PolicyService::start_tls(&certificate_of_theirs, &key_of_theirs, &ours.pem()).await;
    let (certificate, key) = certificate("luthien.test", &ours);
    let (ca, certificate, key) = (write("ca.pem", &ours.pem()), write("me.pem", &certificate), write("me.key", &key));
    let foreign = write("foreign.pem", &other.pem());
    let dialect = Dialect::OpenAi;
    let tls = json!({"ca_file": ca, "cert_file": certificate, "key_file": key, "server_name": "policies.test"});
    let gateway = Setup::pipeline(&[policy(&service.url(), "closed", json!({"tls": tls}))]).start().await;
    let (answer, mut call) = call(&gateway, &mut service, dialect).await;
    call.admit().await;
    let last = last_seq(&call.all_chunks().await);
    call.pass(last).await;
    assert_eq!(answer.await.unwrap().stream(dialect).await.text(), TEXT);

    let none = json!({"ca_file": ca, "server_name": "policies.test"});
    let (mut stranger, mut unnamed, mut missing) = (tls.clone(), tls.clone(), tls.clone());
    stranger["ca_file"] = json!(foreign);
    unnamed["server_name"] = json!("somebody.else.test");
    missing["ca_file"] = json!("/nowhere/ca.pem");
    for tls in [none, stranger, unnamed, missing] {
        let gateway = Setup::pipeline(&[policy(&service.url(), "closed", json!({"tls": tls}))]).start().await;
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        assert_eq!(answer.error(dialect).await.message, "policy theirs failed", "{tls}");
    }
}
