//! The control plane is lost: before a call, and in the middle of one.

use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Gateway, Setup, Signal, data_plane_section},
    peers::{Gate, eventually, upstream::Reply, upstream::Upstream},
    validate::{Dialect, sse},
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn asks(dialect: Dialect) -> [Ask; 2] {
    [Ask::streamed(dialect), Ask::whole(dialect)]
}

async fn refused_for_now(gateway: &Gateway) {
    for dialect in Dialect::ALL {
        for ask in asks(dialect) {
            let answer = gateway.ask(ask).await;
            assert_eq!(answer.status, 503);
            assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
            answer.error(dialect).await;
        }
    }
    assert!(gateway.upstream.exchanges().is_empty(), "something was sent upstream");
}

#[tokio::test]
async fn without_a_control_plane_calls_are_refused_and_nothing_goes_upstream() {
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        let mut gateway = setup.start().await;
        gateway.control.process.kill();
        refused_for_now(&gateway).await;
    }
}

#[tokio::test]
async fn a_control_plane_that_says_nothing_is_as_good_as_none() {
    let gateway = Setup::noop().with_data_plane(json!({"timeouts": {"lease": "100ms"}})).start().await;
    gateway.control.process.signal(Signal::Stop);
    refused_for_now(&gateway).await;
}

#[tokio::test]
async fn calls_go_on_when_the_control_plane_is_back() {
    let mut gateway = Setup::noop().start().await;
    gateway.control.process.kill();
    refused_for_now(&gateway).await;
    let section = json!({"grpc_listen": gateway.control.grpc.to_string()});
    let _back = ControlPlane::start(gateway.folder(), "back", &section).await;
    let dialect = Dialect::Anthropic;
    gateway.upstream.answer_always(Reply::stream(&fixtures::streamed(dialect, "text")));
    let answer = eventually("a call that is taken", async || {
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        (answer.status == 200).then_some(answer)
    });
    answer.await.stream(dialect).await;
}

/// The same control plane, started again.
async fn back(gateway: &Gateway) -> ControlPlane {
    let section = json!({"grpc_listen": gateway.control.grpc.to_string()});
    ControlPlane::start(gateway.folder(), "back", &section).await
}

/// What the report says that is on record of a call.
async fn reported(control: &ControlPlane, call_id: &str) -> (String, Value) {
    let record = control.record(call_id).await;
    let mut report = record.call["report"].clone();
    (record.outcome().to_owned(), report["body"].take())
}

#[tokio::test]
async fn a_refused_call_is_on_record_when_the_control_plane_is_back() {
    let mut gateway = Setup::noop().start().await;
    gateway.control.process.kill();
    let answer = gateway.ask(Ask::streamed(Dialect::Anthropic)).await;
    assert_eq!(answer.status, 503);
    let (outcome, report) = reported(&back(&gateway).await, answer.header("x-luthien-call-id")).await;
    assert_eq!(
        (outcome.as_str(), &report["cause"], &report["status"]),
        ("failed", &json!("not_admitted"), &json!(503))
    );
    assert_eq!(report["opened"], Value::Null);
    let metrics = Ask::get("/metrics").send(gateway.data.address).await.complete().await;
    let page = String::from_utf8(metrics).unwrap();
    assert!(page.contains("luthien_data_plane_reports_total{outcome=\"told\"} 1\n"), "{page}");
    assert!(page.contains("luthien_data_plane_reports_waiting 0\n"), "{page}");
}

#[tokio::test]
async fn a_call_that_ended_closed_is_on_record_when_the_control_plane_is_back() {
    let mut gateway = Setup::replacing_cool().start().await;
    let dialect = Dialect::OpenAi;
    let body = fixtures::streamed(dialect, "text");
    let (first, rest) = sse::split_behind(&body, "re, the radi");
    let gate = Gate::new();
    gateway.upstream.answer(Reply::sse().send(first).wait(&gate).send(rest));
    let mut answer = gateway.ask(Ask::streamed(dialect)).await;
    answer.until("re, the radi").await;
    gateway.control.process.kill();
    gate.open();
    let call_id = answer.header("x-luthien-call-id").to_owned();
    answer.failed_stream(dialect).await;
    let (outcome, report) = reported(&back(&gateway).await, &call_id).await;
    assert_eq!((outcome.as_str(), &report["cause"]), ("failed", &json!("lost")));
    assert_eq!((&report["pipeline"], &report["opened"]), (&json!(["words"]), &Value::Null));
}

#[tokio::test]
async fn what_passed_unjudged_is_on_record_when_the_control_plane_is_back() {
    let config = json!({"replacements": [["cool", "radical"]]});
    let policy = json!({"name": "words", "kind": "string_replacement", "on_failure": "open", "config": config});
    let mut gateway = Setup::pipeline(&[policy]).start().await;
    let dialect = Dialect::Anthropic;
    let body = fixtures::streamed(dialect, "text");
    let (first, rest) = sse::split_behind(&body, "re, the radi");
    let gate = Gate::new();
    gateway.upstream.answer(Reply::sse().send(first).wait(&gate).send(rest));
    let mut answer = gateway.ask(Ask::streamed(dialect)).await;
    answer.until("re, the radi").await;
    gateway.control.process.kill();
    gate.open();
    let call_id = answer.header("x-luthien-call-id").to_owned();
    answer.stream(dialect).await;
    let (outcome, report) = reported(&back(&gateway).await, &call_id).await;
    assert_eq!((outcome.as_str(), &report["cause"]), ("delivered", &json!("lost")));
    let opened = &report["opened"];
    assert_eq!(opened["cause"], "lost");
    let count = |field: &str| opened[field].as_u64().unwrap();
    assert_eq!(
        (count("chunks"), count("last")),
        (count("last") - count("first") + 1, report["written"].as_u64().unwrap())
    );
}

#[tokio::test]
async fn every_control_plane_on_the_list_is_tried() {
    let folder = TempDir::new().unwrap();
    let upstream = Upstream::start().await;
    let mut first = ControlPlane::start(folder.path(), "first", &json!({})).await;
    let second = ControlPlane::start(folder.path(), "second", &json!({})).await;
    let section = data_plane_section(&upstream, &[first.url(), second.url()]);
    let data = DataPlane::start(folder.path(), "data-plane", &section).await;
    first.process.kill();
    for dialect in Dialect::ALL {
        for _ in 0..4 {
            upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
            data.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        }
    }
    let look =
        async || (second.api("/api/calls").await["calls"].as_array()?.len() == 4 * Dialect::ALL.len()).then_some(());
    eventually("all calls to be on record", look).await;
}

#[tokio::test]
async fn what_was_held_when_the_control_plane_died_is_never_released() {
    for dialect in Dialect::ALL {
        let mut gateway = Setup::replacing_cool().start().await;
        let body = fixtures::streamed(dialect, "text");
        let pieces = sse::split(&body);
        let at = pieces.iter().position(|piece| String::from_utf8_lossy(piece).contains("cally co")).unwrap() + 1;
        let gate = Gate::new();
        gateway.upstream.answer(Reply::sse().send(pieces[..at].concat()).wait(&gate).send(pieces[at..].concat()));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until("cally ").await;
        gateway.control.process.kill();
        gate.open();
        let (turn, _) = answer.failed_stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically ");
    }
}

#[tokio::test]
async fn a_tool_call_that_was_held_when_the_control_plane_died_is_never_released() {
    for dialect in Dialect::ALL {
        let mut gateway = Setup::denying_deletes().start().await;
        let body = fixtures::streamed(dialect, "tools_two");
        let pieces = sse::split(&body);
        let at = pieces.iter().position(|piece| String::from_utf8_lossy(piece).contains("/tmp")).unwrap() + 1;
        let gate = Gate::new();
        gateway.upstream.answer(Reply::sse().send(pieces[..at].concat()).wait(&gate).send(pieces[at..].concat()));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until("and then delete.").await;
        gate.reached().await;
        gateway.control.process.kill();
        gate.open();
        let (turn, _) = answer.failed_stream(dialect).await;
        assert_eq!(turn.tool_names(), [""; 0]);
        assert_eq!(turn.text(), "I will read and then delete.");
    }
}

#[tokio::test]
async fn a_response_of_which_nothing_was_sent_fails_with_a_status() {
    for dialect in Dialect::ALL {
        for ask in asks(dialect) {
            let mut gateway = Setup::replacing_cool().start().await;
            let head = Gate::new();
            gateway
                .upstream
                .answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text")).hold_head(&head));
            let asking = gateway.begin(ask);
            head.reached().await;
            gateway.control.process.kill();
            head.open();
            let answer = asking.await.unwrap();
            assert!(answer.status >= 500, "{}", answer.status);
            let failure = answer.error(dialect).await;
            assert!(!failure.body.to_string().contains("answer is"), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn a_control_plane_that_falls_silent_in_a_call_is_lost() {
    for dialect in Dialect::ALL {
        let setup = Setup::replacing_cool().with_data_plane(json!({"timeouts": {"lease": "200ms"}}));
        let gateway = setup.start().await;
        let body = fixtures::streamed(dialect, "text");
        let pieces = sse::split(&body);
        let at = pieces.iter().position(|piece| String::from_utf8_lossy(piece).contains("re, the radi")).unwrap() + 1;
        let gate = Gate::new();
        gateway.upstream.answer(Reply::sse().send(pieces[..at].concat()).wait(&gate).send(pieces[at..].concat()));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until("re, the radi").await;
        gateway.control.process.signal(Signal::Stop);
        gate.open();
        let (turn, _) = answer.failed_stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radi");
    }
}

#[tokio::test]
async fn an_operator_who_wrote_open_gets_calls_without_a_control_plane() {
    let setup = Setup::replacing_cool().with_data_plane(json!({"on_control_plane_loss": "open"}));
    let mut gateway = setup.start().await;
    gateway.control.process.kill();
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        gateway.upstream.answer(Reply::stream(&body));
        assert_eq!(gateway.ask(Ask::streamed(dialect)).await.complete().await, body);
        let body = fixtures::whole(dialect, "text");
        gateway.upstream.answer(Reply::bytes(200, "application/json", &body));
        assert_eq!(gateway.ask(Ask::whole(dialect)).await.complete().await, body);
    }
}

#[tokio::test]
async fn an_open_policy_lets_the_rest_pass_when_its_control_plane_dies() {
    let policy = |on_failure: &str| {
        let config = json!({"replacements": [["cool", "radical"]]});
        json!({"name": on_failure, "kind": "string_replacement", "on_failure": on_failure, "config": config})
    };
    for (policies, passes) in [(vec![policy("open")], true), (vec![policy("open"), policy("closed")], false)] {
        for dialect in Dialect::ALL {
            let mut gateway = Setup::pipeline(&policies).start().await;
            let body = fixtures::streamed(dialect, "text");
            let (first, rest) = sse::split_behind(&body, "re, the radi");
            let gate = Gate::new();
            gateway.upstream.answer(Reply::sse().send(first).wait(&gate).send(rest));
            let mut answer = gateway.ask(Ask::streamed(dialect)).await;
            answer.until("re, the radi").await;
            gateway.control.process.kill();
            gate.open();
            let turn = answer.stream(dialect).await;
            assert_eq!(turn.failure.is_none(), passes, "{turn:?}");
            if passes {
                assert!(turn.text().ends_with("answer is 42. Grüße 🦀!"), "{turn:?}");
            }
        }
    }
}
