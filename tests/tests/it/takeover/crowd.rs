//! Many calls on few connections: HTTP/2's windows are never what holds one.

use luthien_tests::{
    fixtures,
    harness::{Ask, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, sse},
};
use serde_json::json;

use super::{BEGUN, REPLACED, policies};

const CALLS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_of_tiny_chunks_share_one_connection_and_none_stalls() {
    let one = json!({"threads": 1, "limits": {"control_plane_connections": 1}, "timeouts": {"takeover": "0s"}});
    let gateway = Setup::noop().with_control_plane(policies()).with_data_plane(one).start().await;
    let gate = Gate::new();
    gateway.upstream.answer_by({
        let gate = gate.clone();
        move |exchange| {
            let dialect = Dialect::ALL.into_iter().find(|dialect| exchange.path == path(*dialect))?;
            let body = fixtures::streamed(dialect, "text");
            let (begun, rest) = sse::split_behind(&body, BEGUN);
            let tiny = |reply: Reply, bytes: &[u8]| sse::split(bytes).into_iter().fold(reply, Reply::send);
            Some(tiny(tiny(Reply::sse(), begun).wait(&gate), rest))
        }
    });
    let mut running = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let dialect = Dialect::ALL[number % Dialect::ALL.len()];
        running.push((dialect, gateway.ask(Ask::streamed(dialect)).await));
    }
    gate.open();
    for (dialect, answer) in running {
        assert_eq!(answer.stream(dialect).await.text(), REPLACED);
    }
    let page = gateway.ask(Ask::get("/metrics")).await.complete().await;
    let page = String::from_utf8(page).unwrap();
    let losses = page.lines().filter(|line| line.starts_with("luthien_data_plane_control_plane_losses_total{"));
    assert!(losses.into_iter().all(|line| line.ends_with(" 0")), "{page}");
}

fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "/v1/chat/completions",
        Dialect::Anthropic => "/v1/messages",
        Dialect::Responses => "/v1/responses",
    }
}
