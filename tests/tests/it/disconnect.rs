//! The client goes away: the upstream is let go of, and the record says so.

use luthien_tests::{
    fixtures,
    harness::{Ask, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, sse},
};

#[tokio::test]
async fn a_client_that_leaves_a_stream_cancels_the_upstream() {
    for setup in [Setup::noop(), Setup::replacing_cool(), Setup::denying_deletes()] {
        for dialect in Dialect::ALL {
            let gateway = setup.clone().start().await;
            let body = fixtures::streamed(dialect, "text");
            let (sent, _) = sse::split_behind(&body, "re, the radi");
            let gate = Gate::new();
            gateway.upstream.answer(Reply::sse().send(sent).wait(&gate));
            let mut answer = gateway.ask(Ask::streamed(dialect)).await;
            answer.until("re, the radi").await;
            let id = answer.call_id();
            drop(answer);
            gateway.upstream.cancelled().await;
            let record = gateway.record(&id).await;
            assert_eq!(record.outcome(), "cut_by_client");
            assert!(record.text("text", "original").starts_with("Hello there, the radi"), "{record:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_cancels_the_upstream() {
    for setup in [Setup::noop(), Setup::replacing_cool()] {
        for dialect in Dialect::ALL {
            for ask in [Ask::streamed(dialect), Ask::whole(dialect)] {
                let gateway = setup.clone().start().await;
                let head = Gate::new();
                gateway.upstream.answer(Reply::sse().hold_head(&head));
                let asking = gateway.begin(ask);
                head.reached().await;
                asking.abort();
                let record = gateway.control.last_record().await;
                assert_eq!(record.outcome(), "cut_by_client");
                assert_eq!(record.call["status"], serde_json::Value::Null);
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_chunks_are_held_cancels_the_upstream() {
    for dialect in Dialect::ALL {
        let gateway = Setup::denying_deletes().start().await;
        let body = fixtures::streamed(dialect, "tools_two");
        let pieces = sse::split(&body);
        let gate = Gate::new();
        gateway.upstream.answer(Reply::sse().send(pieces[..pieces.len() - 4].concat()).wait(&gate));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until("and then delete.").await;
        gate.reached().await;
        let id = answer.call_id();
        drop(answer);
        gateway.upstream.cancelled().await;
        assert_eq!(gateway.record(&id).await.outcome(), "cut_by_client");
    }
}

#[tokio::test]
async fn the_next_call_is_not_disturbed() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let gate = Gate::new();
        let body = fixtures::streamed(dialect, "text");
        let (sent, _) = sse::split_behind(&body, "re, the radi");
        gateway.upstream.answer(Reply::sse().send(sent).wait(&gate));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until("re, the radi").await;
        drop(answer);
        gateway.upstream.answer(Reply::stream(&body));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
}
