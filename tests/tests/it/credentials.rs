//! Keys go where they belong and nowhere else.

use std::fs;

use luthien_tests::{
    fixtures,
    harness::{ADMIN_TOKEN, Ask, Gateway, Setup},
    peers::upstream::{Exchange, Reply},
    validate::Dialect,
};
use serde_json::json;

async fn sent(gateway: &Gateway, dialect: Dialect, ask: Ask) -> Exchange {
    gateway.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text")));
    let answer = gateway.ask(ask).await;
    let id = answer.call_id();
    answer.whole(dialect).await;
    gateway.record(&id).await;
    gateway.upstream.exchanges().pop().unwrap()
}

/// Everything that the planes wrote down, anywhere.
fn written(gateway: &Gateway) -> Vec<(String, String)> {
    let mut written = vec![
        ("the data plane's log".to_owned(), log(&gateway.data.process)),
        ("the control plane's log".to_owned(), log(&gateway.control.process)),
    ];
    for entry in fs::read_dir(gateway.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            written.push((path.display().to_string(), text));
        }
    }
    assert!(written.len() > 2, "no database in {}", gateway.folder().display());
    written
}

fn log(process: &luthien_tests::harness::Process) -> String {
    process.lines().into_iter().map(|line| line.text + "\n").collect()
}

fn headers(exchange: &Exchange) -> String {
    format!("{:?}", exchange.headers)
}

#[tokio::test]
async fn in_passthrough_the_clients_own_key_goes_upstream_as_it_came() {
    let gateway = Setup::noop().start().await;
    let exchange = sent(&gateway, Dialect::OpenAi, Ask::whole(Dialect::OpenAi)).await;
    assert_eq!(exchange.header("authorization"), "Bearer client-key-canary");
    let exchange = sent(&gateway, Dialect::Anthropic, Ask::whole(Dialect::Anthropic)).await;
    assert_eq!(exchange.header("x-api-key"), "client-key-canary");
    assert_eq!(exchange.header("anthropic-version"), "2023-06-01");
    let bearer = Ask::whole(Dialect::Anthropic).without("x-api-key").header("authorization", "Bearer oauth-canary");
    let exchange = sent(&gateway, Dialect::Anthropic, bearer).await;
    assert_eq!((exchange.header("authorization"), exchange.header("x-api-key")), ("Bearer oauth-canary", ""));
    for (place, text) in written(&gateway) {
        assert!(!text.contains("key-canary") && !text.contains("oauth-canary"), "a key in {place}");
    }
}

#[tokio::test]
async fn in_mode_keys_the_upstreams_key_replaces_the_clients() {
    let section = json!({
        "auth": {"mode": "keys", "keys": ["luthien-key-one", {"name": "ci", "key": "luthien-key-two"}]},
        "upstreams": {
            "openai": {"api_key": "upstream-key-openai"},
            "anthropic": {"api_key": "upstream-key-anthropic"},
            "responses": {"api_key": "upstream-key-responses"},
        },
    });
    let gateway = Setup::replacing_cool().with_data_plane(section).start().await;
    for dialect in Dialect::ALL {
        for (name, value) in [("authorization", "Bearer luthien-key-one"), ("x-api-key", "luthien-key-two")] {
            let ask = Ask::whole(dialect).without("authorization").without("x-api-key").header(name, value);
            let exchange = sent(&gateway, dialect, ask).await;
            assert!(!headers(&exchange).contains("luthien-key"), "{exchange:?}");
            match dialect {
                Dialect::OpenAi => assert_eq!(exchange.header("authorization"), "Bearer upstream-key-openai"),
                Dialect::Anthropic => assert_eq!(exchange.header("x-api-key"), "upstream-key-anthropic"),
                Dialect::Responses => assert_eq!(exchange.header("authorization"), "Bearer upstream-key-responses"),
            }
            let record = gateway.control.last_record().await;
            let client = record.call["client"].as_str().unwrap_or_default();
            assert_eq!(client == "ci", name == "x-api-key", "{:?}", record.call);
        }
    }
    for (place, text) in written(&gateway) {
        assert!(!text.contains("luthien-key") && !text.contains("upstream-key"), "a key in {place}");
    }
}

#[tokio::test]
async fn logs_hold_no_text_of_a_call_and_no_token() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        sent(&gateway, dialect, Ask::whole(dialect)).await;
        gateway.upstream.answer(Reply::stream(b"data: {\"malformed-canary\n\n"));
        gateway.ask(Ask::streamed(dialect)).await.whatever_comes().await;
        gateway.ask(Ask::post(dialect, "{\"malformed-canary")).await.whatever_comes().await;
    }
    for (place, text) in written(&gateway).into_iter().take(2) {
        for secret in ["prompt-canary", "Grüße", "radical", "malformed-canary", ADMIN_TOKEN] {
            assert!(!text.contains(secret), "{secret:?} in {place}");
        }
    }
}

#[tokio::test]
async fn what_identifies_the_network_or_the_browser_stays_here() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        let kept = [("anthropic-beta", "a,b"), ("openai-organization", "org_1"), ("x-stainless-lang", "python")];
        let dropped = [
            ("cookie", "c=1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-luthien-session", "s"),
            ("proxy-authorization", "Basic eA=="),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ];
        let ask = kept.iter().chain(&dropped).fold(Ask::whole(dialect), |ask, (name, value)| ask.header(name, value));
        let exchange = sent(&gateway, dialect, ask).await;
        for (name, value) in kept {
            assert_eq!(exchange.header(name), value, "{name}");
        }
        for (name, _) in dropped {
            assert_eq!(exchange.header(name), "", "{name}");
        }
        assert_eq!(exchange.header("host"), gateway.upstream.address().to_string());
        assert_eq!(exchange.header("accept-encoding"), "identity");
    }
}
