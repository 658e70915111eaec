//! Secrets that are planted wherever one can come in, and looked for wherever anything is written or told: the record's
//! bytes and what the API makes of them, logs, spans, metrics, and what clients are told of errors.

use std::fs;

use luthien_tests::{
    fixtures,
    harness::{ADMIN_TOKEN, Ask, Gateway, Process, Setup},
    peers::{otlp::Collector, upstream::Reply},
    validate::Dialect,
};
use serde_json::{Value, json};

const CLIENT_KEY: &str = "luthien-key-PlantedOne";
const UPSTREAM_KEY: &str = "upstream-key-PlantedTwo";
/// In headers that are sent on, that are not, and that policies may be told of.
const IN_HEADERS: &str = "header-PlantedThree";
/// What patterns match, in what a client asks and a model answers.
const IN_PROMPT: &str = "sk-proj-PlantedFour0123456789";
const IN_ANSWER: &str = "sk-ant-PlantedFive0123456789";
const IN_ARGUMENTS: &str = "-----BEGIN PRIVATE KEY-----\nPlantedSix\n-----END PRIVATE KEY-----";
const IN_ERROR: &str = "sk-PlantedSeven0123456789";
const EMPLOYEE: &str = "E-314159";
/// Credentials: they are nowhere but where they were sent.
const CREDENTIALS: [&str; 4] = ["PlantedOne", "PlantedTwo", "PlantedThree", ADMIN_TOKEN];
/// What is masked: it reaches the model and the client, and nobody else.
const MASKED: [&str; 5] = ["PlantedFour", "PlantedFive", "PlantedSix", "PlantedSeven", "314159"];
/// What was said: it is on record, and nowhere else.
const SAID: [&str; 3] = ["prompt-canary", "answer-canary", "argument-canary"];

fn setup(audit: &str, collector: &Collector) -> Setup {
    let upstream = json!({"api_key": UPSTREAM_KEY});
    let names = ["openai", "anthropic", "responses", "gemini"];
    let upstreams = names.map(|name| (name.to_owned(), upstream.clone()));
    Setup::pipeline(&[
        json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}),
        json!({"name": "rules", "kind": "tool_call_rules", "config": {"deny": [{"tool": "delete_*", "reason": "it deletes"}]}}),
        json!({"name": "log", "kind": "debug_logging"}),
    ])
    .with_control_plane(json!({"audit": audit, "redact": [
        {"name": "api_keys"},
        {"name": "private_keys"},
        {"name": "employee", "pattern": "E-\\d{6}"},
    ]}))
    .with_data_plane(json!({
        "auth": {"mode": "keys", "keys": [{"name": "ci", "key": CLIENT_KEY}]},
        "upstreams": serde_json::Map::from_iter(upstreams),
    }))
    .with_env("RUST_LOG", "debug")
    .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
    .with_env("OTEL_BSP_SCHEDULE_DELAY", "20")
}

fn with_secrets(dialect: Dialect, stream: bool) -> Ask {
    let conversation = if dialect == Dialect::Responses { "input" } else { "messages" };
    let text = format!("prompt-canary: {EMPLOYEE} has {IN_PROMPT}");
    let fields = json!({"stream": stream, conversation: [{"role": "user", "content": text}]});
    let ask = Ask::call(dialect, &fields).without("authorization").without("x-api-key");
    let names = ["x-planted", "x-api-version", "cookie", "openai-organization", "anthropic-beta", "x-goog-api-client"];
    let ask = names.iter().fold(ask, |ask, name| ask.header(name, IN_HEADERS));
    ask.header("authorization", &format!("Bearer {CLIENT_KEY}"))
}

/// A streamed answer, with secrets in its text, cut in pieces, and in the arguments of a tool.
fn answer(dialect: Dialect, case: &str) -> Vec<u8> {
    let body = String::from_utf8(fixtures::streamed(dialect, case)).unwrap();
    let planted = [
        ("Hello there, the radi", format!("answer-canary {IN_ANSWER} and the radi")),
        ("\"Hel\"", format!("\"answer-canary {}\"", &IN_ANSWER[..12])),
        ("\"lo the\"", format!("\"{}\"", &IN_ANSWER[12..20])),
        ("\"re, the radi\"", format!("\"{} and the radi\"", &IN_ANSWER[20..])),
        // JSON in a text in JSON.
        ("/tmp", format!("argument-canary {} /tmp", IN_ARGUMENTS.replace('\n', "\\\\n"))),
    ];
    planted.iter().fold(body, |body, (at, secret)| body.replace(at, secret)).into_bytes()
}

fn is_free_of(place: &str, text: &str, secrets: &[&str]) {
    let text = text.to_lowercase();
    for secret in secrets {
        assert!(!text.contains(&secret.to_lowercase()), "{secret} is in {place}");
    }
}

fn log(process: &Process) -> String {
    process.lines().into_iter().map(|line| line.text + "\n").collect()
}

/// What the record says, as bytes and to operators.
async fn record(gateway: &Gateway, ids: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(gateway.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            found.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
        }
    }
    assert!(found.iter().any(|(path, _)| path.ends_with("-wal")), "{found:?}");
    let mut paths = vec!["/api/calls".to_owned(), "/api/policies".to_owned(), "/api/sessions".to_owned()];
    for id in ids {
        paths.extend(["", "/diff"].map(|what| format!("/api/calls/{id}{what}")));
    }
    let export = gateway.control.ask("/api/export").send(gateway.control.admin).await.complete().await;
    found.push(("/api/export".to_owned(), String::from_utf8(export).unwrap()));
    for path in paths {
        found.push((path.clone(), gateway.control.api(&path).await.to_string()));
    }
    found
}

async fn pages(gateway: &Gateway) -> Vec<(String, String)> {
    let page = async |address, path: &str| {
        let answer = Ask::get(path).send(address).await;
        (format!("{path} of {address}"), String::from_utf8(answer.whatever_comes().await).unwrap())
    };
    let mut found = Vec::new();
    for address in [gateway.data.address, gateway.control.admin] {
        for path in ["/metrics", "/readyz", "/healthz"] {
            found.push(page(address, path).await);
        }
    }
    found
}

#[tokio::test]
async fn no_secret_is_written_or_told_anywhere() {
    for audit in ["relaxed", "strict"] {
        let collector = Collector::start().await;
        let gateway = setup(audit, &collector).start().await;
        let (mut ids, mut errors) = (Vec::new(), Vec::new());
        for dialect in Dialect::ALL {
            for case in ["text", "tools_two"] {
                gateway.upstream.answer(Reply::stream(&answer(dialect, case)));
                let got = gateway.ask(with_secrets(dialect, true)).await;
                ids.push(got.call_id());
                got.stream(dialect).await;
            }
            let body = json!({"error": {"type": "authentication_error", "message": format!("no such key: {IN_ERROR} {UPSTREAM_KEY}")}});
            gateway.upstream.answer(Reply::bytes(401, "application/json", body.to_string().as_bytes()));
            let got = gateway.ask(with_secrets(dialect, false)).await;
            ids.push(got.call_id());
            let told = String::from_utf8(got.whatever_comes().await).unwrap();
            assert!(told.contains(IN_ERROR), "{told}");
            is_free_of("an error of the upstream", &told, &CREDENTIALS);
            gateway.upstream.answer(Reply::stream(format!("data: {{\"malformed {IN_ERROR}\n\n").as_bytes()));
            let got = gateway.ask(with_secrets(dialect, true)).await;
            ids.push(got.call_id());
            errors.push(got.whatever_comes().await);
            for refused in [
                Ask::post(dialect, format!("{{\"prompt-canary {IN_PROMPT}")),
                with_secrets(dialect, true).header("authorization", "Bearer wrong-PlantedThree"),
                with_secrets(dialect, true).to("/v1/nothing"),
            ] {
                errors.push(gateway.ask(refused).await.whatever_comes().await);
            }
        }
        for id in &ids {
            gateway.record(id).await;
        }
        let all = [&CREDENTIALS[..], &MASKED].concat();
        let record = record(&gateway, &ids).await;
        assert!(record.iter().any(|(_, text)| text.contains("[redacted:api_keys]")));
        for said in SAID.iter().chain(&["[redacted:private_keys]", "[redacted:employee]"]) {
            assert!(record.iter().any(|(_, text)| text.contains(said)), "{said} is not on record");
        }
        record.iter().for_each(|(place, text)| is_free_of(place, text, &all));

        let last = ids.last().unwrap();
        for name in ["luthien.call", "luthien.enforce"] {
            collector.span(name, last).await;
        }
        let everywhere = [&all[..], &SAID].concat();
        is_free_of("spans", &format!("{:?}", collector.spans()), &everywhere);
        for (place, text) in pages(&gateway).await {
            is_free_of(&place, &text, &everywhere);
        }
        is_free_of("the data plane's log", &log(&gateway.data.process), &everywhere);
        // A policy that logs requests says so of itself: not what is in them.
        is_free_of("the control plane's log", &log(&gateway.control.process), &everywhere);
        for error in errors {
            is_free_of("an error that a client was told", &String::from_utf8_lossy(&error), &everywhere);
        }
    }
}

#[tokio::test]
async fn a_secret_of_the_answer_reaches_the_client_and_only_a_mask_the_record() {
    let collector = Collector::start().await;
    for audit in ["relaxed", "strict"] {
        let gateway = setup(audit, &collector).start().await;
        for dialect in Dialect::ALL {
            gateway.upstream.answer(Reply::stream(&answer(dialect, "text")));
            let got = gateway.ask(with_secrets(dialect, true)).await;
            let id = got.call_id();
            let text = got.stream(dialect).await.text();
            assert!(text.contains(IN_ANSWER), "{text}");
            let asked = gateway.upstream.exchanges().pop().unwrap();
            assert!(
                String::from_utf8_lossy(&asked.body).contains(IN_PROMPT),
                "the model is asked what the client asked"
            );
            let record = gateway.record(&id).await;
            assert!(record.text("text", "original").contains("answer-canary [redacted:api_keys]"), "{record:?}");
            let request: &Value = record.of_type("request").next().unwrap();
            assert!(
                request.to_string().contains("prompt-canary: [redacted:employee] has [redacted:api_keys]"),
                "{request}"
            );
        }
    }
}
