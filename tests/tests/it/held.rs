//! Undecided is held: what the policy service has not judged does not reach the client, however long that takes.

use luthien_tests::{
    fixtures,
    harness::{Ask, Setup, Signal},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, sse},
};

#[tokio::test]
async fn while_the_control_plane_stands_still_nothing_more_reaches_the_client() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let pieces = sse::split(&body);
        let at = pieces.iter().position(|piece| String::from_utf8_lossy(piece).contains("re, the radi")).unwrap() + 1;
        let (before, behind) = (Gate::new(), Gate::new());
        let reply = Reply::sse().send(pieces[..at].concat()).wait(&before).send(pieces[at..].concat()).wait(&behind);
        gateway.upstream.answer(reply);
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        answer.until("re, the radi").await;
        answer.for_a_moment().await;
        let seen = answer.so_far();

        gateway.control.process.signal(Signal::Stop);
        before.open();
        behind.reached().await;
        answer.for_a_moment().await;
        assert_eq!(answer.so_far(), seen);

        gateway.control.process.signal(Signal::Cont);
        behind.open();
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn a_whole_response_waits_with_its_head_for_its_verdict() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let (head, behind) = (Gate::new(), Gate::new());
        let reply = Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text"));
        gateway.upstream.answer(reply.hold_head(&head).wait(&behind));
        let asking = gateway.begin(Ask::whole(dialect));
        head.reached().await;
        gateway.control.process.signal(Signal::Stop);
        head.open();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert!(!asking.is_finished(), "a head was sent before the verdict");
        gateway.control.process.signal(Signal::Cont);
        let turn = asking.await.unwrap().whole(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn the_upstream_is_not_called_before_the_call_is_admitted() {
    let gateway = Setup::noop().start().await;
    for (calls, dialect) in Dialect::ALL.into_iter().enumerate() {
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        gateway.control.process.signal(Signal::Stop);
        let asking = gateway.begin(Ask::streamed(dialect));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(gateway.upstream.exchanges().len(), calls);
        gateway.control.process.signal(Signal::Cont);
        asking.await.unwrap().stream(dialect).await;
        assert_eq!(gateway.upstream.exchanges().len(), calls + 1);
    }
}
