//! `string_replacement`: across chunks, over every kind, and without holding more than it must.

use luthien_tests::{
    fixtures::{self, Fixture},
    harness::{Ask, Gateway, Setup},
    peers::{Gate, upstream::Reply},
    validate::{Choice, Dialect, Turn, sse},
};
use serde_json::{Value, json};

async fn streamed(gateway: &Gateway, dialect: Dialect, case: &str) -> Turn {
    gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, case)));
    gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await
}

async fn whole(gateway: &Gateway, dialect: Dialect, case: &str) -> Turn {
    gateway.upstream.answer(Reply::bytes(200, "application/json", &fixtures::whole(dialect, case)));
    gateway.ask(Ask::whole(dialect)).await.whole(dialect).await
}

#[tokio::test]
async fn a_word_that_is_spread_over_chunks_is_replaced() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let turn = streamed(&gateway, dialect, "text").await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
        assert_eq!(turn.finish(), original(dialect, "text").finish());
        assert_eq!(turn, Turn { choices: turn.choices.clone(), ..original(dialect, "text") });
    }
}

#[tokio::test]
async fn a_word_in_a_whole_response_is_replaced() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let turn = whole(&gateway, dialect, "text").await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
        assert_eq!(turn.finish(), original(dialect, "text").finish());
    }
}

fn original(dialect: Dialect, case: &str) -> Turn {
    dialect.stream(&fixtures::streamed(dialect, case)).unwrap()
}

#[tokio::test]
async fn only_what_could_still_become_a_match_is_held() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let body = fixtures::streamed(dialect, "text");
        let pieces = sse::split(&body);
        let at = pieces.iter().position(|piece| contains(piece, "cally co")).unwrap() + 1;
        let gate = Gate::new();
        gateway.upstream.answer(Reply::sse().send(pieces[..at].concat()).wait(&gate).send(pieces[at..].concat()));
        let mut answer = gateway.ask(Ask::streamed(dialect)).await;
        gate.reached().await;
        answer.until("cally ").await;
        answer.for_a_moment().await;
        assert!(!answer.so_far().contains("cally c"), "the beginning of a match was let go: {}", answer.so_far());
        gate.open();
        let turn = answer.stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn a_beginning_that_comes_to_nothing_is_let_go() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        let body = String::from_utf8(fixtures::streamed(dialect, "text")).unwrap().replace("ol answer", "at answer");
        gateway.upstream.answer(Reply::stream(body.as_bytes()));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically coat answer is 42. Grüße 🦀!");
    }
}

/// Where the word stands in fields that no policy may change: the provider's own, of the finish.
fn is_beyond_reach(dialect: Dialect, fixture: &Fixture) -> bool {
    dialect == Dialect::Anthropic && fixture.case == "refusal"
}

#[tokio::test]
async fn no_kind_of_content_gets_the_word_through() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        for fixture in fixtures::all_streamed(dialect).iter().filter(|fixture| !is_beyond_reach(dialect, fixture)) {
            gateway.upstream.answer(Reply::stream(&fixture.body));
            let body = gateway.ask(Ask::streamed(dialect)).await.complete().await;
            let text = String::from_utf8_lossy(&body);
            dialect.stream(&body).unwrap_or_else(|error| panic!("{}: {error}\n{text}", fixture.case));
            assert!(!text.contains("cool"), "{} {}: {text}", dialect.name(), fixture.case);
        }
        for fixture in fixtures::all_whole(dialect).iter().filter(|fixture| !is_beyond_reach(dialect, fixture)) {
            gateway.upstream.answer(Reply::bytes(200, "application/json", &fixture.body));
            let body = gateway.ask(Ask::whole(dialect)).await.complete().await;
            let text = String::from_utf8_lossy(&body);
            dialect.whole(&body).unwrap_or_else(|error| panic!("{}: {error}\n{text}", fixture.case));
            assert!(!text.contains("cool"), "{} {}: {text}", dialect.name(), fixture.case);
        }
    }
}

#[tokio::test]
async fn choices_are_judged_apart() {
    let gateway = Setup::replacing_cool().start().await;
    for turn in [
        streamed(&gateway, Dialect::OpenAi, "choices_two").await,
        whole(&gateway, Dialect::OpenAi, "choices_two").await,
    ] {
        let texts: Vec<String> = turn.choices.iter().map(Choice::text).collect();
        assert_eq!(texts, ["First radical one", "Second radical one"]);
    }
}

#[tokio::test]
async fn reasoning_without_a_proof_is_changed_and_signed_reasoning_is_dropped_whole() {
    let gateway = Setup::replacing_cool().start().await;
    for (dialect, thinking) in [(Dialect::OpenAi, "Let me think radically. Done."), (Dialect::Anthropic, "")] {
        let case = if dialect == Dialect::OpenAi { "reasoning" } else { "thinking" };
        for turn in [streamed(&gateway, dialect, case).await, whole(&gateway, dialect, case).await] {
            assert_eq!(turn.thinking(), thinking);
            assert_eq!(turn.text(), "The answer is radical.");
            dialect.next_turn(&turn).unwrap();
        }
    }
}

#[tokio::test]
async fn signed_reasoning_without_a_match_stays_as_it_is() {
    let gateway = Setup::replacing(json!({"replacements": [["delete", "destroy"]]})).start().await;
    for turn in [
        streamed(&gateway, Dialect::Anthropic, "thinking_tools").await,
        whole(&gateway, Dialect::Anthropic, "thinking_tools").await,
    ] {
        assert_eq!(turn.choices[0].blocks[0], original(Dialect::Anthropic, "thinking_tools").choices[0].blocks[0]);
        assert_eq!(turn.text(), "I will read and then destroy.");
        Dialect::Anthropic.next_turn(&turn).unwrap();
    }
}

#[tokio::test]
async fn the_strings_within_tool_arguments_are_replaced() {
    let gateway = Setup::replacing(json!({"replacements": [["/home/me", "/tmp"]]})).start().await;
    for dialect in Dialect::ALL {
        for turn in [streamed(&gateway, dialect, "tools_two").await, whole(&gateway, dialect, "tools_two").await] {
            let calls = turn.tool_calls();
            let arguments: Value = serde_json::from_str(&calls[1].arguments).unwrap();
            assert_eq!(arguments, json!({"path": "/tmp", "recursive": true}));
            let arguments: Value = serde_json::from_str(&calls[0].arguments).unwrap();
            assert_eq!(arguments, json!({"path": "/tmp/notes.txt"}));
            dialect.next_turn(&turn).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_put_into_tool_arguments_leaves_them_valid() {
    let config = json!({"replacements": [["/home/me", "a \"b\" \\c\n\u{1}é"]]});
    let gateway = Setup::replacing(config).start().await;
    for dialect in Dialect::ALL {
        for turn in [streamed(&gateway, dialect, "tool_only").await, whole(&gateway, dialect, "tool_only").await] {
            let arguments: Value = serde_json::from_str(&turn.tool_calls()[0].arguments).unwrap();
            assert_eq!(arguments, json!({"path": "a \"b\" \\c\n\u{1}é", "recursive": true}));
        }
    }
}

#[tokio::test]
async fn a_word_that_tool_arguments_spell_with_escapes_is_replaced() {
    let gateway = Setup::replacing(json!({"replacements": [["/home/me", "/tmp"]]})).start().await;
    for dialect in Dialect::ALL {
        let body = String::from_utf8(fixtures::streamed(dialect, "tool_only")).unwrap();
        let spelled = r"\\/\\u0068\\u006Fme/m\\u0065";
        let body = body.replace("/home/me", spelled);
        for at in 1..spelled.len() {
            let (head, tail) = spelled.split_at(at);
            if (head.len() - head.trim_end_matches('\\').len()) % 2 == 1 {
                continue;
            }
            let cut = cut_arguments(dialect, &body, spelled, head, tail);
            gateway.upstream.answer(Reply::stream(cut.as_bytes()));
            let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
            let arguments: Value = serde_json::from_str(&turn.tool_calls()[0].arguments).unwrap();
            assert_eq!(arguments, json!({"path": "/tmp", "recursive": true}), "cut at {at}");
        }
    }
}

/// Makes two SSE events of the one that has the text, cut between its head and its tail.
fn cut_arguments(dialect: Dialect, body: &str, text: &str, head: &str, tail: &str) -> String {
    let pieces = sse::split(body.as_bytes()).into_iter().map(|piece| String::from_utf8_lossy(piece).into_owned());
    let key = match dialect {
        Dialect::OpenAi => "\"arguments\":\"",
        Dialect::Anthropic => "\"partial_json\":\"",
        Dialect::Responses => "\"delta\":\"",
    };
    let cut = |piece: String| match piece.find(text).filter(|_| piece.contains(key)) {
        None => piece,
        Some(at) => {
            let begin = piece.find(key).unwrap() + key.len();
            let end = at + text.len() + piece[at + text.len()..].find("\"}").unwrap();
            let first = format!("{}{head}{}", &piece[..at], &piece[end..]);
            let second = format!("{}{tail}{}", &piece[..begin], &piece[at + text.len()..]);
            first + &second
        }
    };
    pieces.map(cut).collect()
}

#[tokio::test]
async fn capitals_are_matched_where_that_is_asked_for() {
    let config = json!({"replacements": [["cool", "radical"]], "match_capitalization": true});
    let gateway = Setup::replacing(config).start().await;
    for dialect in Dialect::ALL {
        let body = String::from_utf8(fixtures::streamed(dialect, "text")).unwrap();
        let spread = [("\"Hel\"", "\"Co\""), ("\"lo the\"", "\"ol, CO\""), ("\"re, the radi\"", "\"OL, the radi\"")];
        let body = spread.into_iter().fold(body, |body, (from, to)| body.replace(from, to));
        gateway.upstream.answer(Reply::stream(body.as_bytes()));
        let turn = gateway.ask(Ask::streamed(dialect)).await.stream(dialect).await;
        assert_eq!(turn.text(), "Radical, RADICAL, the radically radical answer is 42. Grüße 🦀!");
    }
}

#[tokio::test]
async fn kinds_that_it_does_not_apply_to_are_left_alone() {
    let config = json!({"replacements": [["cool", "radical"]], "apply_to": ["thinking"]});
    let gateway = Setup::replacing(config).start().await;
    let turn = streamed(&gateway, Dialect::OpenAi, "reasoning").await;
    assert_eq!(turn.thinking(), "Let me think radically. Done.");
    assert_eq!(turn.text(), "The answer is cool.");
}

#[tokio::test]
async fn several_words_are_replaced_in_one_pass() {
    let config = json!({"replacements": [["cool", "42"], ["42", "cool"], ["Hello there", "Hi"]]});
    let gateway = Setup::replacing(config).start().await;
    for dialect in Dialect::ALL {
        let wanted = "Hi, the radically 42 answer is cool. Grüße 🦀!";
        assert_eq!(streamed(&gateway, dialect, "text").await.text(), wanted);
        assert_eq!(whole(&gateway, dialect, "text").await.text(), wanted);
    }
}

#[tokio::test]
async fn the_record_shows_both_sides() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        gateway.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let answer = gateway.ask(Ask::streamed(dialect)).await;
        let id = answer.call_id();
        answer.stream(dialect).await;
        let record = gateway.record(&id).await;
        assert_eq!(record.text("text", "original"), "Hello there, the radically cool answer is 42. Grüße 🦀!");
        assert_eq!(record.text("text", "final"), "Hello there, the radically radical answer is 42. Grüße 🦀!");
        assert!(record.of_type("verdict").any(|verdict| verdict["policies"] == json!(["words"])), "{record:?}");
        let waited = record.of_type("outcome").next().unwrap()["waited"].clone();
        let number = |name: &str| waited[name].as_u64().unwrap();
        assert!(number("chunks") > 0 && 0 < number("longest_us"), "{waited}");
        assert!(number("longest_us") <= number("total_us"), "{waited}");
    }
}

#[tokio::test]
async fn a_gated_response_in_which_nothing_matches_leaves_as_it_came() {
    let gateway = Setup::replacing(json!({"replacements": [["\u{3be}\u{3be}", "x"]]})).start().await;
    for dialect in Dialect::ALL {
        for fixture in fixtures::all_streamed(dialect) {
            gateway.upstream.answer(Reply::stream(&fixture.body));
            let body = gateway.ask(Ask::streamed(dialect)).await.complete().await;
            let turn = dialect.stream(&body);
            let text = String::from_utf8_lossy(&body);
            turn.unwrap_or_else(|error| panic!("{} {}: {error}\n{text}", dialect.name(), fixture.case));
            if fixture.case != "odd_framing" && !is_written_anew(dialect, &fixture) {
                assert_eq!(text, String::from_utf8_lossy(&fixture.body), "{} {}", dialect.name(), fixture.case);
            }
        }
        for fixture in fixtures::all_whole(dialect) {
            gateway.upstream.answer(Reply::bytes(200, "application/json", &fixture.body));
            let body = gateway.ask(Ask::whole(dialect)).await.complete().await;
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&fixture.body), "{}", fixture.case);
        }
    }
}

/// What clients of a dialect read in different ways is written as all of them read it.
fn is_written_anew(dialect: Dialect, fixture: &Fixture) -> bool {
    dialect == Dialect::Responses && fixture.case == "tools_interleaved"
}

fn contains(piece: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(piece).contains(text)
}
