//! Requests that can't be taken: refused in the dialect of their endpoint, before anything is sent anywhere.

use http::Method;
use luthien_tests::{
    harness::{Ask, Gateway, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, Failure},
};
use serde_json::json;

async fn refused(gateway: &Gateway, ask: Ask, dialect: Dialect, status: u16) -> Failure {
    let answer = gateway.ask(ask.clone()).await;
    assert_eq!(answer.status, status, "{ask:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(!answer.call_id().is_empty());
    let failure = answer.error(dialect).await;
    assert!(gateway.upstream.exchanges().is_empty(), "something was sent upstream: {ask:?}");
    failure
}

/// The same of another dialect's request: the place of all else stays.
fn of(dialect: Dialect, body: &[u8]) -> Vec<u8> {
    let messages = b"\"messages\"";
    let at = body.windows(messages.len()).position(|window| window == messages);
    match at.filter(|_| dialect == Dialect::Responses) {
        None => body.to_vec(),
        Some(at) => [&body[..at], b"\"input\"   ", &body[at + messages.len()..]].concat(),
    }
}

#[tokio::test]
async fn malformed_bodies_are_refused_with_the_place_of_the_fault() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        for (body, place) in [
            (&b"{\"model\": \"m\",\n  \"messages\": [}"[..], "line 2 column 16"),
            (b"", "line 1 column 0"),
            (b"[]", ""),
            (b"\"model\"", ""),
            (b"{\"model\": \"m\", \"messages\": []} x", "column"),
            (b"{\"model\": \"\xff\", \"messages\": []}", ""),
            (b"{\"model\":\"m\",\"model\":\"n\",\"messages\":[]}", "model"),
            (b"{\"messages\": []}", "model"),
            (b"{\"model\": 7, \"messages\": []}", "model"),
        ] {
            let body = of(dialect, body);
            let failure = refused(&gateway, Ask::post(dialect, body.clone()), dialect, 400).await;
            assert_eq!(failure.type_, "invalid_request_error");
            let body = String::from_utf8_lossy(&body);
            assert!(failure.message.contains(place), "{body}: {place:?} is not in {:?}", failure.message);
        }
    }
}

#[tokio::test]
async fn bodies_without_messages_are_refused() {
    let gateway = Setup::noop().start().await;
    // Of a request of OpenAI Responses only the model has to be there: the provider may know the rest.
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        for body in ["{\"model\": \"m\"}", "{\"model\": \"m\", \"messages\": 7}"] {
            let failure = refused(&gateway, Ask::post(dialect, body), dialect, 400).await;
            assert_eq!(failure.type_, "invalid_request_error");
            assert!(failure.message.contains("messages"), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        for type_ in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let ask = Ask::whole(dialect).header("content-type", type_);
            let failure = refused(&gateway, ask, dialect, 415).await;
            assert!(failure.message.contains(type_.split(';').next().unwrap()), "{}", failure.message);
        }
        refused(&gateway, Ask::whole(dialect).header("content-encoding", "gzip"), dialect, 415).await;
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused() {
    let gateway = Setup::noop().with_data_plane(json!({"limits": {"body": 2000}})).start().await;
    for dialect in Dialect::ALL {
        let ask = Ask::call(dialect, &json!({"metadata": {"long": "x".repeat(2000)}}));
        let failure = refused(&gateway, ask, dialect, 413).await;
        assert!(failure.message.contains("2000"), "{}", failure.message);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let gateway = Setup::noop().start().await;
    for (path, dialect) in [
        ("/v1/completions", Dialect::OpenAi),
        ("/v1/chat/completions/", Dialect::OpenAi),
        ("/chat/completions", Dialect::OpenAi),
        ("/v1/messages/batches", Dialect::Anthropic),
        ("/nothing", Dialect::OpenAi),
    ] {
        let failure = refused(&gateway, Ask::whole(dialect).to(path), dialect, 404).await;
        assert!(failure.message.contains(path), "{}", failure.message);
    }
    for (path, dialect) in [("/v1/chat/completions", Dialect::OpenAi), ("/v1/messages", Dialect::Anthropic)] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            refused(&gateway, Ask::new(method, path, Vec::new()), dialect, 405).await;
        }
    }
}

#[tokio::test]
async fn wrong_and_missing_keys_are_refused() {
    let auth = json!({"auth": {"mode": "keys", "keys": ["luthien-key-one", {"name": "ci", "key": "luthien-key-two"}]}});
    let gateway = Setup::noop().with_data_plane(auth).start().await;
    for dialect in Dialect::ALL {
        let bare = Ask::whole(dialect).without("authorization").without("x-api-key");
        for ask in [
            bare.clone(),
            bare.clone().header("authorization", "Bearer luthien-key-on"),
            bare.clone().header("authorization", "Bearer luthien-key-one-and-more"),
            bare.clone().header("authorization", "luthien-key-one"),
            bare.clone().header("authorization", "Basic bHV0aGllbi1rZXktb25l"),
            bare.clone().header("x-api-key", ""),
            bare.clone().header("x-api-key", "wrong"),
        ] {
            let failure = refused(&gateway, ask, dialect, 401).await;
            let type_ = if dialect == Dialect::Anthropic { "authentication_error" } else { "invalid_request_error" };
            assert_eq!(failure.type_, type_);
            assert!(!failure.message.contains("luthien-key"), "{}", failure.message);
        }
    }
}

#[tokio::test]
async fn models_that_no_route_leads_anywhere_are_not_found() {
    let routes = json!({"routes": [{"model": "known-*", "upstream": "openai"}]});
    let gateway = Setup::noop().with_data_plane(routes).start().await;
    for dialect in Dialect::ALL {
        let ask = Ask::call(dialect, &json!({"model": "stranger"}));
        let failure = refused(&gateway, ask, dialect, 404).await;
        assert!(failure.message.contains("stranger"), "{}", failure.message);
    }
}

#[tokio::test]
async fn more_calls_than_may_be_open_are_refused_for_now() {
    let gateway = Setup::noop().with_data_plane(json!({"limits": {"open_calls": 1}})).start().await;
    let head = Gate::new();
    gateway.upstream.answer(Reply::sse().hold_head(&head));
    let running = gateway.begin(Ask::streamed(Dialect::OpenAi));
    head.reached().await;
    for dialect in Dialect::ALL {
        let answer = gateway.ask(Ask::whole(dialect)).await;
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
        answer.error(dialect).await;
    }
    head.open();
    running.await.unwrap();
    assert_eq!(gateway.upstream.exchanges().len(), 1);
}

#[tokio::test]
async fn somebody_is_there() {
    let gateway = Setup::noop().start().await;
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(gateway.ask(Ask::new(method, "/", Vec::new())).await.status, 200);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(gateway.ask(Ask::get(path)).await.status, 200);
        assert_eq!(Ask::get(path).send(gateway.control.admin).await.status, 200);
    }
}
