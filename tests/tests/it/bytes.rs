//! Neither the upstream's way of cutting its bytes nor the length of a response changes what the client gets.

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::upstream::Reply,
    validate::{Dialect, sse},
};
use serde_json::json;

fn pieces_of(body: &[u8], size: usize) -> Reply {
    body.chunks(size).fold(Reply::sse(), Reply::send)
}

#[tokio::test]
async fn cutting_the_upstreams_bytes_anywhere_else_changes_nothing() {
    let policies = [
        json!({"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}),
        json!({"name": "rules", "kind": "tool_call_rules", "config": {"deny": [{"tool": "delete_*", "reason": "no"}]}}),
    ];
    let gateway = Setup::pipeline(&policies).start().await;
    for dialect in Dialect::ALL {
        for case in ["text", "odd_framing", "tools_two", "tools_interleaved"] {
            let body = fixtures::streamed(dialect, case);
            gateway.upstream.answer(Reply::stream(&body));
            let wanted = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
            for size in [1, 2, 3, 7, 64, 1000, body.len()] {
                gateway.upstream.answer(pieces_of(&body, size));
                let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
                assert_eq!(turn, wanted, "{} {case} in pieces of {size}", dialect.name());
            }
        }
    }
}

#[tokio::test]
async fn data_over_several_lines_is_one_sse_event() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let body = String::from_utf8(fixtures::streamed(dialect, "text")).unwrap();
        let body = body.replace(",\"delta\":", ",\ndata: \"delta\":\ndata:");
        gateway.upstream.answer(Reply::stream(body.as_bytes()));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn cutting_the_bytes_of_a_whole_response_changes_nothing() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::whole(dialect, "text");
        for size in [1, 10, 100] {
            let reply =
                Reply::bytes(200, "application/json", b"").replace_header("content-length", &body.len().to_string());
            gateway.upstream.answer(body.chunks(size).fold(reply, Reply::send));
            let turn = gateway.ask(Ask::whole(dialect)).await.whole(dialect).await;
            assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
        }
    }
}

/// The text fixture with one of its pieces many times over.
fn long(dialect: Dialect, times: usize) -> Vec<u8> {
    let body = fixtures::streamed(dialect, "text");
    let pieces = sse::split(&body);
    let at = pieces.iter().position(|piece| String::from_utf8_lossy(piece).contains("ol answer")).unwrap();
    let again = pieces[at - 1..=at].concat().repeat(times);
    let rest = String::from_utf8(pieces[at + 1..].concat()).unwrap();
    let said = "cally cool answer";
    fixtures::renumbered(&[pieces[..at - 1].concat(), again, rest.replace(said, &said.repeat(times)).into()].concat())
}

async fn long_text(gateway: &Gateway, dialect: Dialect) -> String {
    gateway.upstream.answer(Reply::sse().send(long(dialect, 2000)));
    gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await.text()
}

#[tokio::test]
async fn a_long_response_passes_whole() {
    for (setup, word) in
        [(Setup::noop(), "cool"), (Setup::replacing_cool(), "radical"), (Setup::denying_deletes(), "cool")]
    {
        let gateway = setup.start().await;
        for dialect in Dialect::ALL {
            let middle = format!("cally {word} answer").repeat(2000);
            let wanted = format!("Hello there, the radi{middle} is 42. Grüße 🦀!");
            assert!(long_text(&gateway, dialect).await == wanted);
        }
    }
}

#[tokio::test]
async fn what_can_not_be_held_ends_the_call_and_hangs_nothing() {
    let limits = json!({"limits": {"unsettled": "64KiB"}});
    let gateway = Setup::denying_deletes().with_data_plane(limits).start().await;
    for dialect in Dialect::ALL {
        let body = String::from_utf8(fixtures::streamed(dialect, "tools_two")).unwrap();
        let body = body.replace("/notes", &"/notes".repeat(40_000));
        gateway.upstream.answer(Reply::stream(body.as_bytes()));
        let (turn, _) = gateway.ask(Ask::streamed(dialect)).await.failed_stream(dialect).await;
        assert_eq!(turn.tool_names(), [""; 0]);
        assert_eq!(turn.text(), "I will read and then delete.");
    }
}
