//! `debug_logging`: everything is noted on the record, nothing is changed, and nothing of it is said in a log.

use luthien_tests::{
    fixtures,
    harness::{Ask, Process, Record, Setup},
    peers::upstream::Reply,
    validate::Dialect,
};
use serde_json::{Value, json};

fn setup() -> Setup {
    Setup::pipeline(&[json!({"name": "log", "kind": "debug_logging", "config": {"max_chars": 100_000}})])
}

fn notes(record: &Record) -> Vec<Value> {
    record.of_type("note").filter(|note| note["policy"] == "log").cloned().collect()
}

/// The texts that are content, and long enough not to be in a log by accident.
fn is_silent(process: &Process, said: &[String]) {
    let log: String = process.lines().into_iter().map(|line| line.text).collect();
    for text in said.iter().filter(|text| text.len() > 12).chain([&"prompt-canary".to_owned()]) {
        assert!(!log.contains(text.as_str()), "{text:?} is in a log:\n{log}");
    }
}

#[tokio::test]
async fn every_chunk_is_noted_on_the_record_and_in_no_log() {
    let gateway = setup().start().await;
    for dialect in Dialect::ALL {
        for case in ["text", "tools_two", "refusal"] {
            let body = fixtures::streamed(dialect, case);
            gateway.upstream.answer(Reply::stream(&body));
            let answer = gateway.ask(Ask::streamed(dialect)).await;
            let id = answer.call_id();
            assert_eq!(answer.complete().await, body, "{case}");
            let record = gateway.record(&id).await;
            let notes = notes(&record);
            for block in record.of_type("block") {
                let said = ["text", "arguments"].map(|field| block["original"][field].as_str().unwrap_or_default());
                assert_eq!(pieces_of(&notes, &block["block"]), said.concat(), "{case}: {notes:#?}");
            }
            assert!(notes.iter().all(|note| note["severity"] == "debug"), "{notes:#?}");
            let pieces: Vec<String> =
                notes.iter().filter_map(|note| note["details"]["content"].as_str().map(str::to_owned)).collect();
            is_silent(&gateway.control.process, &pieces);
            is_silent(&gateway.data.process, &pieces);
        }
    }
}

/// What the notes of a block's pieces say.
fn pieces_of(notes: &[Value], block: &Value) -> String {
    let details = notes.iter().map(|note| &note["details"]);
    let pieces = details.filter(|details| details["step"] == "block_delta" && details["block"] == *block);
    pieces.filter_map(|details| details["content"].as_str()).collect()
}

#[tokio::test]
async fn a_whole_response_is_noted_like_a_streamed_one() {
    let gateway = setup().start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::whole(dialect, "text");
        gateway.upstream.answer(Reply::bytes(200, "application/json", &body));
        let answer = gateway.ask(Ask::whole(dialect)).await;
        let id = answer.call_id();
        assert_eq!(answer.complete().await, body);
        let record = gateway.record(&id).await;
        let (text, notes) = (record.text("text", "original"), notes(&record));
        assert!(notes.iter().any(|note| note["details"]["content"] == text.as_str()), "{notes:#?}");
        assert_eq!(record.call["severity"], "debug");
    }
}
