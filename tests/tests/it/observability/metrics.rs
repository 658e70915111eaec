//! `/metrics` of both planes.

use std::net::SocketAddr;

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::{Gate, eventually, upstream::Reply},
    validate::Dialect,
};
use serde_json::json;

/// A page of metrics.
struct Page(String);

impl Page {
    async fn of(address: SocketAddr) -> Self {
        let answer = Ask::get("/metrics").send(address).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        Self(String::from_utf8(answer.complete().await).unwrap())
    }

    /// The value of a series; 0 if there is none.
    fn value(&self, series: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The sum of all series that contain these texts.
    fn sum(&self, texts: &[&str]) -> f64 {
        let lines = self.0.lines().filter(|line| texts.iter().all(|text| line.contains(text)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

async fn data(gateway: &Gateway) -> Page {
    Page::of(gateway.data.address).await
}

async fn control(gateway: &Gateway) -> Page {
    Page::of(gateway.control.admin).await
}

/// Waits until the data plane has counted so many calls as over.
async fn after_calls(gateway: &Gateway, calls: f64) -> Page {
    eventually("the data plane to count a call", async || {
        let page = data(gateway).await;
        (page.sum(&["luthien_data_plane_calls_total{"]) >= calls).then_some(page)
    })
    .await
}

#[tokio::test]
async fn a_call_shows_in_the_metrics_of_both_planes() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        let id = answer.call_id();
        answer.stream(dialect).await;
        gateway.record(&id).await;
    }
    let page = after_calls(&gateway, 3.0).await;
    for (dialect, upstream) in
        [("openai-chat", "openai"), ("anthropic-messages", "anthropic"), ("openai-responses", "responses")]
    {
        let call = format!("luthien_data_plane_calls_total{{dialect=\"{dialect}\",outcome=\"delivered\"}}");
        assert_eq!(page.value(&call), 1.0, "{}", page.0);
        for name in ["luthien_data_plane_call_seconds", "luthien_data_plane_first_byte_seconds"] {
            assert_eq!(page.value(&format!("{name}_count{{dialect=\"{dialect}\"}}")), 1.0, "{name}: {}", page.0);
        }
        for name in ["luthien_data_plane_upstream_head_seconds", "luthien_data_plane_upstream_seconds"] {
            assert_eq!(page.value(&format!("{name}_count{{upstream=\"{upstream}\"}}")), 1.0, "{name}: {}", page.0);
        }
    }
    let text = |decision| page.sum(&["luthien_data_plane_chunks_total{", "kind=\"text\"", decision]);
    assert!(text("passed") > 0.0 && text("replaced") > 0.0, "{}", page.0);
    let judged = ["\"passed\"", "\"replaced\"", "\"dropped\""].map(|it| page.sum(&["data_plane_chunks_total{", it]));
    assert_eq!(page.value("luthien_data_plane_held_seconds_count"), judged.iter().sum::<f64>());
    assert_eq!(page.value("luthien_data_plane_open_calls"), 0.0);
    assert_eq!(page.value("luthien_data_plane_held_bytes"), 0.0);
    assert_eq!(page.sum(&["luthien_data_plane_control_plane_losses_total{"]), 0.0);
    assert_eq!(page.sum(&["luthien_data_plane_upstream_errors_total{"]), 0.0);

    let page = control(&gateway).await;
    assert_eq!(page.sum(&["luthien_control_plane_calls_total{", "delivered"]), 3.0, "{}", page.0);
    assert_eq!(page.value("luthien_control_plane_open_calls"), 0.0);
    assert!(page.value("luthien_control_plane_chunks_total{decision=\"replaced\"}") > 0.0);
    assert!(page.sum(&["policy_chunks_total{policy=\"words\",kind=\"text\"", "replaced"]) > 0.0);
    assert!(page.value("luthien_control_plane_record_entries_total") > 0.0);
    assert!(page.value("luthien_control_plane_record_lag_seconds_count") > 0.0);
    for zero in ["entries_lost_total", "queue_bytes", "failing"] {
        assert_eq!(page.value(&format!("luthien_control_plane_record_{zero}")), 0.0, "{zero}");
    }
}

#[tokio::test]
async fn what_is_open_and_held_shows_while_it_is() {
    let gateway = Setup::replacing_cool().start().await;
    let gate = Gate::new();
    let stream = fixtures::streamed(Dialect::Anthropic, "tools_two");
    let text = String::from_utf8(stream).unwrap();
    let (most, rest) = text.split_at(text.find("event: message_delta").unwrap());
    gateway.upstream.answer(Reply::sse().send(most).wait(&gate).send(rest));
    let call = gateway.begin(Ask::streamed(Dialect::Anthropic));
    eventually("a call that holds", async || {
        let page = data(&gateway).await;
        let held = page.value("luthien_data_plane_held_bytes") > 0.0;
        (held && page.value("luthien_data_plane_open_calls") == 1.0).then_some(())
    })
    .await;
    assert_eq!(control(&gateway).await.value("luthien_control_plane_open_calls"), 1.0);
    gate.open();
    call.await.unwrap().stream(Dialect::Anthropic).await;
    let page = after_calls(&gateway, 1.0).await;
    assert_eq!(page.value("luthien_data_plane_held_bytes"), 0.0);
}

#[tokio::test]
async fn what_fails_is_counted_by_its_cause() {
    let mut gateway = Setup::noop().start().await;
    gateway.upstream.answer(Reply::json(429, &json!({"error": {"message": "slow down", "type": "rate_limit"}})));
    gateway.ask(Ask::whole(Dialect::OpenAi)).await.complete().await;
    gateway.upstream.answer(Reply::sse().send(": begun\n\n").cut());
    let _ = gateway.ask(Ask::streamed(Dialect::OpenAi)).await.whatever_comes().await;
    let refused = gateway.ask(Ask::post(Dialect::OpenAi, "{")).await;
    assert_eq!(refused.status, 400);
    let page = after_calls(&gateway, 2.0).await;
    let error = |error| {
        page.value(&format!("luthien_data_plane_upstream_errors_total{{upstream=\"openai\",error=\"{error}\"}}"))
    };
    assert_eq!((error("status_4xx"), error("broken_off"), error("status_5xx")), (1.0, 1.0, 0.0), "{}", page.0);
    let refused = "luthien_data_plane_requests_refused_total{reason=\"unreadable_request\"}";
    assert_eq!(page.value(refused), 1.0, "{}", page.0);

    gateway.control.process.kill();
    assert_eq!(gateway.ask(Ask::whole(Dialect::OpenAi)).await.status, 503);
    let page = after_calls(&gateway, 3.0).await;
    assert_eq!(page.value("luthien_data_plane_control_plane_losses_total{cause=\"not_admitted\"}"), 1.0, "{}", page.0);
}
