//! A pipeline that judges nothing: what the upstream says is what the client gets.

use luthien_tests::{
    fixtures,
    harness::{Ask, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, sse},
};
use serde_json::json;

#[tokio::test]
async fn every_streamed_body_is_the_upstreams_byte_for_byte() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        for fixture in fixtures::all_streamed(dialect) {
            gateway.upstream.answer(Reply::stream(&fixture.body));
            let answer = gateway.ask(Ask::streamed(dialect)).await;
            assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8", "{}", fixture.case);
            let body = answer.complete().await;
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&fixture.body), "{}", fixture.case);
        }
    }
}

#[tokio::test]
async fn every_whole_body_is_the_upstreams_byte_for_byte() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        for fixture in fixtures::all_whole(dialect) {
            gateway.upstream.answer(Reply::bytes(200, "application/json", &fixture.body));
            let answer = gateway.ask(Ask::whole(dialect)).await;
            assert_eq!(answer.header("content-length"), fixture.body.len().to_string(), "{}", fixture.case);
            let body = answer.complete().await;
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&fixture.body), "{}", fixture.case);
        }
    }
}

#[tokio::test]
async fn an_sse_event_is_passed_on_as_soon_as_it_is_complete() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let pieces = sse::split(&body);
        for at in [1, 2, pieces.len() - 1] {
            let gate = Gate::new();
            let (first, second) = (pieces[..at].concat(), pieces[at..].concat());
            gateway.upstream.answer(Reply::sse().send(&first).wait(&gate).send(second));
            let mut answer = gateway.ask(Ask::streamed(dialect)).await;
            answer.until(&String::from_utf8_lossy(&first)).await;
            gate.open();
            assert_eq!(answer.complete().await, body);
        }
    }
}

#[tokio::test]
async fn what_no_reader_understands_is_passed_on_as_well() {
    let gateway = Setup::noop().start().await;
    for (dialect, body) in [
        (Dialect::OpenAi, &b"data: {\"id\":\r\ndata: \xff\n\nnonsense"[..]),
        (Dialect::Anthropic, b"event: message_start\ndata: {}\n\n:::\n\ndata: [1,"),
    ] {
        gateway.upstream.answer(Reply::sse().send(body));
        assert_eq!(gateway.ask(Ask::streamed(dialect)).await.complete().await, body);
        gateway.upstream.answer(Reply::bytes(200, "application/json", body));
        assert_eq!(gateway.ask(Ask::whole(dialect)).await.complete().await, body);
    }
}

#[tokio::test]
async fn a_request_goes_upstream_as_it_came() {
    let gateway = Setup::noop().start().await;
    for (dialect, path, bodies) in [
        (
            Dialect::OpenAi,
            "/v1/chat/completions",
            [
                r#"{ "messages":[{"role":"user","content":"hi"}], "temperature":1.0,"model":"gpt-5-mini" ,"zz":[1e3]}"#,
                "{\"model\":\"gpt-5-mini\",\r\n\"messages\":[{\"content\":\"\\u0068i\",\"role\":\"user\",\"x\":{}}]}",
            ],
        ),
        (
            Dialect::Anthropic,
            "/v1/messages?beta=true",
            [
                r#"{"max_tokens":1, "messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}],"model":"claude-x"}"#,
                r#"{"model":"claude-x","max_tokens":9,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"hi"}],"unknown":[0.10]}"#,
            ],
        ),
    ] {
        for body in bodies {
            let before = gateway.upstream.exchanges().len();
            gateway.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text")));
            gateway.ask(Ask::post(dialect, body).to(path)).await.whole(dialect).await;
            let exchange = gateway.upstream.exchanges().pop().unwrap();
            assert_eq!(gateway.upstream.exchanges().len(), before + 1);
            assert_eq!(String::from_utf8_lossy(&exchange.body), body);
            assert_eq!((exchange.method.as_str(), exchange.path.as_str()), ("POST", path));
        }
    }
}

#[tokio::test]
async fn a_route_that_renames_the_model_changes_nothing_else_of_the_request() {
    let routes = json!({"routes": [{"model": "fast", "upstream": "openai", "as": "gpt-5-mini"}]});
    let gateway = Setup::noop().with_data_plane(routes).start().await;
    let body = fixtures::whole(Dialect::OpenAi, "text");
    gateway.upstream.answer(Reply::bytes(200, "application/json", &body));
    let asked = r#"{ "messages":[{"role":"user","content":"model: \"fast\""}],"model" : "fast", "n":1 }"#;
    let answer = gateway.ask(Ask::post(Dialect::OpenAi, asked)).await;
    assert_eq!(answer.complete().await, body);
    let sent = gateway.upstream.only_exchange().body;
    assert_eq!(String::from_utf8_lossy(&sent), asked.replace(r#""model" : "fast""#, r#""model" : "gpt-5-mini""#));
}

#[tokio::test]
async fn headers_of_the_provider_reach_the_client_and_those_of_the_connection_do_not() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        let told = [
            ("x-request-id", "req_1"),
            ("request-id", "req_2"),
            ("openai-processing-ms", "12"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-organization-id", "org_1"),
        ];
        let reply = Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text"));
        let reply = told.iter().fold(reply, |reply, (name, value)| reply.header(name, value));
        gateway.upstream.answer(reply.header("connection", "x-hop").header("x-hop", "1").header("keep-alive", "5"));
        let answer = gateway.ask(Ask::whole(dialect)).await;
        for (name, value) in told {
            assert_eq!(answer.header(name), value, "{name}");
        }
        for name in ["x-hop", "keep-alive"] {
            assert_eq!(answer.header(name), "", "{name}");
        }
        assert!(!answer.call_id().is_empty());
    }
}

#[tokio::test]
async fn what_was_only_relayed_is_on_record_too() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        let id = answer.call_id();
        let text = answer.stream(dialect).await.text();
        let record = gateway.record(&id).await;
        assert_eq!(record.outcome(), "delivered");
        assert_eq!(record.text("text", "original"), text);
        assert_eq!(record.text("text", "final"), text);
        assert_eq!(record.call["dialect"], dialect.name());
        assert_eq!(record.call["status"], 200);
    }
}
