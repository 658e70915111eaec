//! A call as one trace across both planes, at a collector; and the same ids in the log.

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Process, Setup},
    peers::{
        otlp::{Collector, attribute},
        upstream::Reply,
    },
    validate::Dialect,
};
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn policies() -> Setup {
    Setup::pipeline(&[
        json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}),
        json!({"name": "rules", "kind": "tool_call_rules", "config": {
            "deny": [{"tool": "delete_*", "reason": "it deletes"}],
            "message": "The call of {tool_name} was refused: {reason}",
        }}),
    ])
}

fn exporting(setup: Setup, collector: &Collector) -> Setup {
    setup.with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()).with_env("OTEL_BSP_SCHEDULE_DELAY", "20")
}

fn keys() -> serde_json::Value {
    json!({
        "auth": {"mode": "keys", "keys": [{"name": "ci", "key": "client-key-canary"}]},
        "upstreams": {
            "openai": {"api_key": "upstream-key-canary"},
            "anthropic": {"api_key": "upstream-key-canary", "forward_traceparent": true},
        },
    })
}

/// Makes a call, and gives its id when it is on record.
async fn call(gateway: &Gateway, ask: Ask, dialect: Dialect, case: &str) -> String {
    gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, case)));
    let answer = gateway.ask(ask).await;
    let id = answer.call_id();
    answer.stream(dialect).await;
    gateway.record(&id).await;
    id
}

fn with_trace(dialect: Dialect) -> Ask {
    Ask::streamed(dialect).header("traceparent", &format!("00-{TRACE}-{SPAN}-01"))
}

fn log(process: &Process) -> String {
    process.lines().into_iter().map(|line| line.text + "\n").collect()
}

#[tokio::test]
async fn a_call_is_one_trace_across_both_planes() {
    let collector = Collector::start().await;
    let gateway = exporting(policies(), &collector).start().await;
    for (dialect, name, upstream, provider, model) in [
        (Dialect::OpenAi, "openai-chat", "openai", "openai", "gpt-5-mini"),
        (Dialect::Anthropic, "anthropic-messages", "anthropic", "anthropic", "claude-haiku-4-5"),
    ] {
        let id = call(&gateway, Ask::streamed(dialect), dialect, "tools_two").await;
        let call = collector.span("luthien.call", &id).await;
        assert_eq!(call.service, "luthien-data-plane");
        assert!(call.span.parent_span_id.is_empty() && call.span.links.is_empty());
        let revision = gateway.record(&id).await.call["revision"].as_str().unwrap().to_owned();
        for (key, value) in [
            ("luthien.dialect", name),
            ("luthien.upstream", upstream),
            ("luthien.outcome", "delivered"),
            ("luthien.revision", &revision),
            ("luthien.stream", "true"),
            ("luthien.admission", "forward"),
            ("http.response.status_code", "200"),
            ("gen_ai.request.model", model),
        ] {
            assert_eq!(call.attribute(key), value, "{key} of {:?}", call.span);
        }
        assert_ne!(call.attribute("luthien.chunks.passed"), "0");
        assert_ne!(call.attribute("luthien.chunks.replaced"), "0");

        let exchange = collector.child("luthien.upstream", &call).await;
        let (host, port) = (gateway.upstream.address().ip().to_string(), gateway.upstream.address().port().to_string());
        for (key, value) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", provider),
            ("gen_ai.request.model", model),
            ("http.response.status_code", "200"),
            ("server.address", &host),
            ("server.port", &port),
        ] {
            assert_eq!(exchange.attribute(key), value, "{key} of {:?}", exchange.span);
        }
        for key in ["gen_ai.response.id", "gen_ai.response.model", "gen_ai.usage.output_tokens"] {
            assert_ne!(exchange.attribute(key), "", "{key} of {:?}", exchange.span);
        }
        assert!(exchange.attribute("gen_ai.response.finish_reasons").contains("tool_use"));

        let enforce = collector.child("luthien.enforce", &call).await;
        assert_eq!(enforce.service, "luthien-control-plane");
        assert_eq!(
            (enforce.attribute("luthien.call_id"), enforce.attribute("luthien.revision")),
            (id.clone(), revision)
        );
        let words = collector.child("luthien.policy.words", &enforce).await;
        let rules = collector.child("luthien.policy.rules", &enforce).await;
        assert_ne!(rules.attribute("luthien.chunks.replaced"), "", "{:?}", rules.span);
        assert_eq!(words.events("luthien.annotation").count(), 0);
        let notes: Vec<_> = rules.events("luthien.annotation").collect();
        assert_eq!(notes.len(), 1, "{:?}", rules.span);
        assert_eq!(attribute(&notes[0].attributes, "luthien.severity"), "warning");
        assert_eq!(attribute(&notes[0].attributes, "luthien.policy"), "rules");
        assert_eq!(attribute(&notes[0].attributes, "luthien.summary"), "refused a call of delete_file: it deletes");
        for span in [&exchange, &enforce, &words, &rules] {
            assert_eq!(span.trace_id(), call.trace_id(), "{}", span.span.name);
        }
    }
}

#[tokio::test]
async fn tokens_are_counted_with_those_of_the_cache() {
    let collector = Collector::start().await;
    let gateway = exporting(Setup::noop(), &collector).start().await;
    for (dialect, input, output) in [(Dialect::OpenAi, "31", "24"), (Dialect::Anthropic, "43", "87")] {
        let id = call(&gateway, Ask::streamed(dialect), dialect, "text").await;
        let call = collector.span("luthien.call", &id).await;
        let exchange = collector.child("luthien.upstream", &call).await;
        let tokens = ["input", "output"].map(|it| exchange.attribute(&format!("gen_ai.usage.{it}_tokens")));
        assert_eq!(tokens, [input, output], "{dialect:?}");
    }
}

#[tokio::test]
async fn only_a_client_with_a_key_continues_its_own_trace() {
    let collector = Collector::start().await;
    let gateway = exporting(Setup::noop(), &collector).start().await;
    let id = call(&gateway, with_trace(Dialect::OpenAi), Dialect::OpenAi, "text").await;
    let span = collector.span("luthien.call", &id).await;
    assert_ne!(span.trace_id(), TRACE);
    let links: Vec<u8> = span.span.links.iter().flat_map(|link| link.trace_id.clone()).collect();
    assert_eq!(links.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), TRACE);
    assert_eq!(gateway.upstream.only_exchange().header("traceparent"), "");

    let gateway = exporting(Setup::noop().with_data_plane(keys()), &collector).start().await;
    let id = call(&gateway, with_trace(Dialect::OpenAi), Dialect::OpenAi, "text").await;
    let span = collector.span("luthien.call", &id).await;
    assert_eq!(span.trace_id(), TRACE);
    assert!(span.span.links.is_empty() && !span.span.parent_span_id.is_empty());
    assert_eq!(span.attribute("luthien.client"), "ci");
    assert_eq!(collector.child("luthien.enforce", &span).await.trace_id(), TRACE);
    assert_eq!(gateway.upstream.only_exchange().header("traceparent"), "");

    let id = call(&gateway, with_trace(Dialect::Anthropic), Dialect::Anthropic, "text").await;
    let span = collector.span("luthien.call", &id).await;
    let sent = gateway.upstream.exchanges().pop().unwrap();
    assert_eq!(sent.header("traceparent"), format!("00-{TRACE}-{}-01", span.span_id()));
}

#[tokio::test]
async fn every_line_of_a_call_has_its_ids_with_and_without_an_exporter() {
    let collector = Collector::start().await;
    let exported = exporting(Setup::noop(), &collector).start().await;
    let plain = Setup::noop().start().await;
    for gateway in [&exported, &plain] {
        let dialect = Dialect::OpenAi;
        let id = call(gateway, Ask::streamed(dialect), dialect, "text").await;
        let refused = gateway.ask(Ask::post(dialect, "{")).await.call_id();
        let ended = gateway.data.process.line("the end", |line| line.field("message") == "call ended").await;
        let refusal = gateway.data.process.line("the refusal", |line| line.field("call_id") == refused).await;
        assert_eq!(ended.field("call_id"), id);
        for line in [&ended, &refusal] {
            assert_eq!((line.field("trace_id").len(), line.field("span_id").len()), (32, 16), "{}", line.text);
        }
        for process in [&gateway.data.process, &gateway.control.process] {
            for line in process.lines().iter().filter(|line| line.field("call_id") == id) {
                assert_eq!(line.field("trace_id"), ended.field("trace_id"), "{}", line.text);
                assert_eq!(line.field("span_id").len(), 16, "{}", line.text);
            }
        }
    }
    let id = call(&exported, Ask::streamed(Dialect::OpenAi), Dialect::OpenAi, "text").await;
    let is_end =
        |line: &luthien_tests::harness::Line| line.field("call_id") == id && line.field("message") == "call ended";
    let line = exported.data.process.line("the end", is_end).await;
    let span = collector.span("luthien.call", &id).await;
    assert_eq!((line.field("trace_id"), line.field("span_id")), (&*span.trace_id(), &*span.span_id()));
}

#[tokio::test]
async fn what_cannot_be_judged_is_a_failed_span_and_a_shutdown_flushes() {
    let collector = Collector::start().await;
    let setup = exporting(Setup::noop(), &collector).with_env("OTEL_BSP_SCHEDULE_DELAY", "60000");
    let mut gateway = setup.start().await;
    gateway.control.process.kill();
    let answer = gateway.ask(Ask::whole(Dialect::OpenAi)).await;
    assert_eq!(answer.status, 503);
    let id = answer.call_id();
    answer.complete().await;
    assert!(collector.spans().is_empty(), "exported too early for this test");
    gateway.data.process.signal(luthien_tests::harness::Signal::Term);
    assert_eq!(gateway.data.process.exit().await.code, Some(0));
    let span = collector.span("luthien.call", &id).await;
    assert_eq!(span.attribute("error.type"), "not_admitted");
    assert_eq!(span.attribute("luthien.outcome"), "failed");
}

#[tokio::test]
async fn nothing_has_content_or_keys() {
    let collector = Collector::start().await;
    let setup = Setup::pipeline(&[
        json!({"name": "log", "kind": "debug_logging"}),
        json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}),
    ]);
    let gateway = exporting(setup.with_data_plane(keys()), &collector).start().await;
    for dialect in Dialect::ALL {
        let id = call(&gateway, with_trace(dialect), dialect, "text").await;
        let call = collector.span("luthien.call", &id).await;
        let enforce = collector.child("luthien.enforce", &call).await;
        collector.child("luthien.policy.log", &enforce).await;
    }
    let mut places = vec![
        ("spans", format!("{:?}", collector.spans())),
        ("the data plane's log", log(&gateway.data.process)),
        ("the control plane's log", log(&gateway.control.process)),
    ];
    for (place, address) in
        [("the data plane's metrics", gateway.data.address), ("the control plane's", gateway.control.admin)]
    {
        let page = Ask::get("/metrics").send(address).await.complete().await;
        places.push((place, String::from_utf8(page).unwrap()));
    }
    for (place, text) in places {
        for canary in
            ["prompt-canary", "key-canary", "token-canary", "lo the", "radical", "ol answer", "🦀", "gpt-5-mini-2025"]
        {
            let is_model = canary.starts_with("gpt") && place == "spans";
            assert!(is_model || !text.contains(canary), "{canary} in {place}: {text}");
        }
    }
}
