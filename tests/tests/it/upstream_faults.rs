//! Upstreams that refuse, break off, or say what can't be understood.

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, sse},
};
use serde_json::{Value, json};

fn asks(dialect: Dialect) -> [Ask; 2] {
    [Ask::streamed(dialect), Ask::whole(dialect)]
}

/// Errors as the providers tell them.
fn errors(dialect: Dialect) -> Vec<(u16, Value)> {
    let openai = |type_: &str, code: Value, message: &str| json!({"error": {"message": message, "type": type_, "param": null, "code": code}});
    let anthropic = |type_: &str, message: &str| json!({"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_011CSHoEeqs5"});
    match dialect {
        Dialect::OpenAi | Dialect::Responses => vec![
            (400, openai("invalid_request_error", json!("context_length_exceeded"), "Too long: 9 > 8 tokens.")),
            (401, openai("invalid_request_error", json!("invalid_api_key"), "Incorrect API key provided: sk-1***2.")),
            (429, openai("tokens", json!("rate_limit_exceeded"), "Rate limit reached. Please try again in 1.2s.")),
            (500, openai("server_error", Value::Null, "The server had an error.")),
            (503, openai("server_error", json!("server_is_overloaded"), "Overloaded.")),
        ],
        Dialect::Anthropic => vec![
            (400, anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")),
            (401, anthropic("authentication_error", "invalid x-api-key")),
            (429, anthropic("rate_limit_error", "Number of requests has exceeded your rate limit")),
            (500, anthropic("api_error", "Internal server error")),
            (529, anthropic("overloaded_error", "Overloaded")),
        ],
    }
}

#[tokio::test]
async fn errors_of_the_upstream_pass_with_status_body_and_headers() {
    for setup in [Setup::noop(), Setup::replacing_cool(), Setup::denying_deletes()] {
        let gateway = setup.start().await;
        for dialect in Dialect::ALL {
            for (status, body) in errors(dialect) {
                for ask in asks(dialect) {
                    let reply = Reply::json(status, &body).header("retry-after", "7").header("x-should-retry", "true");
                    gateway.upstream.answer(reply.header("request-id", "req_1"));
                    let answer = gateway.ask(ask).await;
                    assert_eq!(answer.status, status);
                    assert_eq!(answer.header("content-type"), "application/json");
                    assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), ("7", "true"));
                    assert_eq!(answer.header("request-id"), "req_1");
                    let id = answer.call_id();
                    assert_eq!(String::from_utf8_lossy(&answer.complete().await), body.to_string());
                    let record = gateway.record(&id).await;
                    assert_eq!(record.outcome(), "failed");
                    assert_eq!(
                        (&record.call["status"], &record.call["upstream_status"]),
                        (&json!(status), &json!(status))
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn an_error_that_is_no_json_keeps_its_status() {
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        let gateway = setup.start().await;
        for dialect in Dialect::ALL {
            for ask in asks(dialect) {
                gateway.upstream.answer(Reply::bytes(502, "text/html", b"<html>Bad gateway</html>"));
                let answer = gateway.ask(ask).await;
                assert_eq!(answer.status, 502);
                answer.complete().await;
            }
        }
    }
}

#[tokio::test]
async fn an_error_within_a_stream_ends_the_clients() {
    for setup in [Setup::replacing_cool(), Setup::denying_deletes()] {
        let gateway = setup.start().await;
        for dialect in Dialect::ALL {
            let body = fixtures::streamed(dialect, "error_in_stream");
            gateway.upstream.answer(Reply::stream(&body));
            let answer = gateway.ask(Ask::streamed(dialect)).await;
            let id = answer.call_id();
            let (turn, failure) = answer.failed_stream(dialect).await;
            assert_eq!(turn.text(), "Half an ans");
            assert_eq!(failure, dialect.stream(&body).unwrap().failure.unwrap());
            assert_eq!(gateway.record(&id).await.outcome(), "failed");
        }
    }
}

/// Where a stream may be cut, with the bytes that are sent before.
fn cuts(dialect: Dialect) -> Vec<Vec<u8>> {
    let body = fixtures::streamed(dialect, "text");
    let (whole, rest) = sse::split_behind(&body, "lo the");
    let next = sse::split(rest)[0];
    let within = [whole, &next[..next.len() / 2]].concat();
    let unterminated = [whole, &next[..next.len() - 1]].concat();
    vec![whole.to_vec(), within, unterminated]
}

#[tokio::test]
async fn a_gated_stream_that_is_cut_ends_with_an_error() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        for (number, sent) in cuts(dialect).into_iter().enumerate() {
            for reply in [Reply::sse().send(&sent).cut(), Reply::sse().send(&sent)] {
                gateway.upstream.answer(reply);
                let answer = gateway.ask(Ask::streamed(dialect)).await;
                let id = answer.call_id();
                let body = answer.complete().await;
                let text = String::from_utf8_lossy(&body);
                let turn = dialect.stream(&body).unwrap_or_else(|error| panic!("cut {number}: {error}\n{text}"));
                assert!(turn.failure.is_some(), "cut {number}: {text}");
                assert_eq!(gateway.record(&id).await.outcome(), "failed", "cut {number}");
            }
        }
    }
}

#[tokio::test]
async fn a_relayed_stream_whose_connection_breaks_ends_with_an_error() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        for sent in cuts(dialect) {
            gateway.upstream.answer(Reply::sse().send(&sent).cut());
            let answer = gateway.ask(Ask::streamed(dialect)).await;
            let id = answer.call_id();
            let (turn, _) = answer.failed_stream(dialect).await;
            assert!(turn.text().starts_with("Hello the"), "{turn:?}");
            assert_eq!(gateway.record(&id).await.outcome(), "failed");
        }
    }
}

#[tokio::test]
async fn a_stream_that_lacks_only_its_terminator_is_whole_or_an_error() {
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        let gateway = setup.start().await;
        for dialect in Dialect::ALL {
            let body = fixtures::streamed(dialect, "text");
            let pieces = sse::split(&body);
            let sent = pieces[..pieces.len() - 1].concat();
            gateway.upstream.answer(Reply::sse().send(&sent).cut());
            let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
            assert!(turn.text().ends_with("answer is 42. Grüße 🦀!"), "{turn:?}");
            assert!(turn.failure.is_some() || !turn.finish().is_empty(), "{turn:?}");
        }
    }
}

#[tokio::test]
async fn a_whole_response_that_is_cut_never_looks_complete() {
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        let gateway = setup.start().await;
        for dialect in Dialect::ALL {
            let body = fixtures::whole(dialect, "text");
            let half = &body[..body.len() / 2];
            let length = body.len().to_string();
            let reply = Reply::bytes(200, "application/json", half).cut();
            gateway.upstream.answer(reply.replace_header("content-length", &length));
            let answer = gateway.ask(Ask::whole(dialect)).await;
            match answer.status {
                200 => drop(answer.broken_off().await),
                status => {
                    assert!(status >= 500, "{status}");
                    answer.error(dialect).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        let gateway = setup.start().await;
        for (calls, dialect) in Dialect::ALL.into_iter().enumerate() {
            let elsewhere = format!("http://{}/elsewhere", gateway.upstream.address());
            gateway.upstream.answer(Reply::text(307, "elsewhere").header("location", &elsewhere));
            let answer = gateway.ask(Ask::whole(dialect)).await;
            assert_ne!(answer.status, 200);
            answer.complete().await;
            assert_eq!(gateway.upstream.exchanges().len(), calls + 1);
        }
    }
}

#[tokio::test]
async fn an_upstream_that_can_not_be_reached_is_an_error_of_the_dialect() {
    let nobody = "http://127.0.0.1:1";
    let upstreams = json!({"upstreams": {
        "openai": {"base_url": format!("{nobody}/v1")},
        "anthropic": {"base_url": nobody},
        "responses": {"base_url": format!("{nobody}/v1")},
    }});
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        let gateway = setup.with_data_plane(upstreams.clone()).start().await;
        for dialect in Dialect::ALL {
            for ask in asks(dialect) {
                let answer = gateway.ask(ask).await;
                assert_eq!(answer.status, 502);
                let id = answer.call_id();
                answer.error(dialect).await;
                assert_eq!(gateway.record(&id).await.outcome(), "failed");
            }
        }
    }
}

async fn late(gateway: &Gateway, reply: Reply, ask: Ask, dialect: Dialect) {
    gateway.upstream.answer(reply);
    let answer = gateway.ask(ask).await;
    assert_eq!(answer.status, 504);
    answer.error(dialect).await;
}

#[tokio::test]
async fn an_upstream_that_is_silent_too_long_is_given_up() {
    let timeouts = json!({"timeouts": {"first_byte": "200ms", "idle": "300ms"}});
    let gateway = Setup::replacing_cool().with_data_plane(timeouts).start().await;
    for dialect in Dialect::ALL {
        let never = Gate::new();
        for ask in asks(dialect) {
            late(&gateway, Reply::sse().hold_head(&never), ask, dialect).await;
        }
        let body = fixtures::streamed(dialect, "text");
        let (sent, _) = sse::split_behind(&body, "re, the radi");
        gateway.upstream.answer(Reply::sse().send(sent).wait(&never));
        let (turn, _) = gateway.ask(Ask::streamed(dialect)).await.failed_stream(dialect).await;
        assert!(turn.text().starts_with("Hello there"), "{turn:?}");
    }
}
