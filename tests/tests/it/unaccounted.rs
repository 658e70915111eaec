//! What can't be accounted for is never forwarded in a gated call.

use luthien_tests::{
    fixtures,
    harness::{Ask, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Dialect, sse},
};
use serde_json::json;

/// SSE events that no reader may be shown, to stand in a stream that is good otherwise.
fn malformed(dialect: Dialect) -> Vec<Vec<u8>> {
    match dialect {
        Dialect::OpenAi => vec![
            b"data: {\"evil\":\n\n".to_vec(),
            b"data: {\"evil\":1,\"evil\":2}\n\n".to_vec(),
            b"data: [\"evil\"]\n\n".to_vec(),
            b"data: \"evil\"\n\n".to_vec(),
            b"data: evil\n\n".to_vec(),
            b"data: {\"id\":\"evil\xff\"}\n\n".to_vec(),
            b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":{\"evil\":7}}}]}\n\n".to_vec(),
            b"data: {\"id\":\"evil\",\"choices\":[{\"index\":\"0\",\"delta\":{\"content\":\"evil\"}}]}\n\n".to_vec(),
            b"data: {\"id\":\"evil\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":3,\"function\":{\"arguments\":\"evil\"}}]}}]}\n\n".to_vec(),
            b"data: {\"id\":\"evil\",\"choices\":{\"evil\":1}}\n\n".to_vec(),
        ],
        Dialect::Anthropic => [
            ("content_block_delta", "{\"evil\":"),
            ("content_block_delta", r#"{"type":"content_block_delta","index":0,"index":0,"delta":{"type":"text_delta","text":"evil"}}"#),
            ("content_block_delta", r#"["evil"]"#),
            ("content_block_delta", r#"{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"evil"}}"#),
            ("content_block_delta", r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":{"evil":1}}}"#),
            ("content_block_delta", r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"evil"}}"#),
            ("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"evil"}}"#),
            ("content_block_stop", r#"{"type":"content_block_stop","index":9,"evil":1}"#),
            ("message_start", r#"{"type":"message_start","message":{"id":"evil","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#),
            ("ping", r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"evil"}}"#),
        ]
        .into_iter()
        .map(|(name, data)| format!("event: {name}\ndata: {data}\n\n").into_bytes())
        .collect(),
        Dialect::Responses => [
            ("response.output_text.delta", "{\"evil\":"),
            ("response.output_text.delta", r#"{"type":"response.output_text.delta","delta":"evil","delta":"evil"}"#),
            ("response.output_text.delta", r#"["evil"]"#),
            ("response.output_text.delta", r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"evil","output_index":7,"content_index":0,"delta":"evil"}"#),
            ("response.output_text.delta", r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_68f1c2a1","output_index":0,"content_index":5,"delta":"evil"}"#),
            ("response.output_text.delta", r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_68f1c2a1","output_index":0,"content_index":0,"delta":{"evil":1}}"#),
            ("response.function_call_arguments.delta", r#"{"type":"response.function_call_arguments.delta","sequence_number":4,"item_id":"msg_68f1c2a1","output_index":0,"delta":"evil"}"#),
            ("response.output_item.done", r#"{"type":"response.output_item.done","sequence_number":4,"output_index":"9","item":{"type":"evil"}}"#),
            ("response.output_item.done", r#"{"type":"response.output_item.done","sequence_number":4,"output_index":9,"evil":1}"#),
            ("response.created", r#"{"type":"response.created","sequence_number":4,"response":{"id":"evil","object":"response","created_at":1,"model":"m","status":"in_progress","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[]}}"#),
        ]
        .into_iter()
        .map(|(name, data)| format!("event: {name}\ndata: {data}\n\n").into_bytes())
        .collect(),
    }
}

#[tokio::test]
async fn what_breaks_the_grammar_is_never_forwarded_in_a_gated_call() {
    let gateway = Setup::replacing_cool().start().await;
    let mut wrong = String::new();
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let (first, rest) = sse::split_behind(&body, "re, the radi");
        for bad in malformed(dialect) {
            let sent = [first, &bad, rest].concat();
            gateway.upstream.answer(Reply::stream(&sent));
            let answer = gateway.ask(Ask::streamed(dialect)).await.complete().await;
            let reason = match dialect.stream(&answer) {
                Err(error) => error,
                Ok(_) if String::from_utf8_lossy(&answer).contains("evil") => "it was forwarded".to_owned(),
                Ok(turn) if turn.failure.is_none() => "it did not end the response".to_owned(),
                Ok(_) => continue,
            };
            wrong += &format!("{}{reason}\n\n", String::from_utf8_lossy(&bad));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn whole_bodies_that_no_reader_understands_are_never_forwarded_in_a_gated_call() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let good = String::from_utf8(fixtures::whole(dialect, "text")).unwrap();
        for (type_, body) in [
            ("application/json", "{\"evil\":".to_owned()),
            ("application/json", "[\"evil\"]".to_owned()),
            ("application/json", format!("{good}{{\"evil\":1}}")),
            ("application/json", good.replacen('{', "{\"model\":\"evil\",\"model\":\"evil\",", 1)),
            ("application/json", "{\"evil\":1}".to_owned()),
            ("text/html", "<html>evil</html>".to_owned()),
        ] {
            gateway.upstream.answer(Reply::bytes(200, type_, body.as_bytes()));
            let answer = gateway.ask(Ask::whole(dialect)).await;
            assert!(answer.status >= 500, "{}: {body}", answer.status);
            let failure = answer.error(dialect).await;
            assert!(!failure.body.to_string().contains("evil"), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn comments_and_ids_are_not_forwarded_in_a_gated_call() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let body = String::from_utf8(fixtures::streamed(dialect, "text")).unwrap();
        let sent = body.replacen("data:", "id: evil\nretry: 1\n: evil\ndata:", 3);
        gateway.upstream.answer(Reply::sse().send(format!("\u{feff}: evil\n\n{sent}")));
        let answer = gateway.ask(Ask::streamed(dialect)).await.complete().await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("evil") && !text.contains("retry"), "{text}");
        let turn = dialect.stream(&answer).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn headers_that_are_not_on_the_list_are_not_forwarded_in_a_gated_call() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let reply = Reply::stream(&fixtures::streamed(dialect, "text")).header("x-note", "evil");
        gateway.upstream.answer(reply.header("set-cookie", "evil=1").header("x-request-id", "req_1"));
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        assert_eq!((answer.header("x-note"), answer.header("set-cookie")), ("", ""));
        assert_eq!(answer.header("x-request-id"), "req_1");
        answer.stream(dialect).await;
    }
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_never_forwarded_in_a_gated_call() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        for ask in [Ask::streamed(dialect), Ask::whole(dialect)] {
            gateway.upstream.answer(Reply::sse().header("content-encoding", "gzip").send(b"\x1f\x8bevil"));
            let answer = gateway.ask(ask).await;
            assert!(answer.status >= 500, "{}", answer.status);
            assert!(!answer.error(dialect).await.message.contains("evil"));
        }
    }
}

#[tokio::test]
async fn a_json_answer_to_a_call_that_asked_for_a_stream_is_judged_as_one() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        gateway.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, "text")));
        let turn = gateway.ask(Ask::streamed(dialect)).await.whole(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn an_sse_event_over_the_limit_ends_a_gated_call() {
    let limits = json!({"limits": {"sse_event": "64KiB"}});
    let gateway = Setup::replacing_cool().with_data_plane(limits).start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let (first, _) = sse::split_behind(&body, "re, the radi");
        let huge = format!("data: {}", "x".repeat(100_000));
        gateway.upstream.answer(Reply::sse().send(first).send(huge).wait(&Gate::new()));
        let (turn, _) = gateway.ask(Ask::streamed(dialect)).await.failed_stream(dialect).await;
        assert!(turn.text().starts_with("Hello there"), "{turn:?}");
        gateway.upstream.cancelled().await;
    }
}
