//! Policies for one purpose. Of rules that read commands and paths: a refused call leaves the turn usable, and the others of the turn stay.

use luthien_tests::{
    fixtures,
    harness::{Ask, Setup},
    peers::upstream::Reply,
    validate::{Block, Dialect},
};
use serde_json::json;

/// A response with the same calls, of which the second is about a file with secrets.
fn about_secrets(body: &[u8]) -> Vec<u8> {
    String::from_utf8(body.to_vec()).unwrap().replace("/home/me", "/home/me/.env").into_bytes()
}

#[tokio::test]
async fn dashes_become_plain_across_chunks() {
    let gateway = Setup::pipeline(&[json!({"name": "dashes", "kind": "plain_dashes"})]).start().await;
    for dialect in Dialect::ALL {
        let stream = String::from_utf8(fixtures::streamed(dialect, "tools_two")).unwrap();
        gateway.upstream.answer(Reply::stream(stream.replace(" and then", " \u{2014} then").as_bytes()));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.text(), "I will read - then delete.");
        assert_eq!(turn.tool_names(), ["read_file", "delete_file"], "{turn:?}");
        dialect.next_turn(&turn).unwrap();
    }
}

#[tokio::test]
async fn a_write_to_a_file_with_secrets_is_refused_and_the_rest_of_the_turn_stays() {
    let policy = json!({"name": "files", "kind": "block_sensitive_file_writes"});
    let gateway = Setup::pipeline(&[policy]).start().await;
    for dialect in Dialect::ALL {
        let stream = about_secrets(&fixtures::streamed(dialect, "tools_two"));
        gateway.upstream.answer(Reply::stream(&stream));
        let streamed = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        let whole = about_secrets(&fixtures::whole(dialect, "tools_two"));
        gateway.upstream.answer(Reply::bytes(200, "application/json", &whole));
        let whole = gateway.ask(Ask::whole(dialect)).await.whole(dialect).await;
        for turn in [streamed, whole] {
            assert_eq!(turn.tool_names(), ["read_file"], "{turn:?}");
            let refusal = "The call of delete_file was refused: it writes to /home/me/.env: it holds secrets";
            assert!(turn.text().ends_with(refusal), "{turn:?}");
            assert!(matches!(turn.choices[0].blocks.last(), Some(Block::ToolCall(_))), "{turn:?}");
            dialect.next_turn(&turn).unwrap();
        }
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "tools_two")));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.tool_names(), ["read_file", "delete_file"], "{turn:?}");
    }
}
