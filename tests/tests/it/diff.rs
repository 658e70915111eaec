//! `GET /api/calls/{id}/diff`: a call before and after its policies.

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::upstream::Reply,
    validate::Dialect,
};
use serde_json::{Value, json};

/// Makes a call and compares it.
async fn diff(gateway: &Gateway, ask: Ask, reply: Reply) -> Value {
    gateway.upstream.answer(reply);
    let answer = gateway.ask(ask).await;
    let id = answer.call_id();
    answer.whatever_comes().await;
    gateway.record(&id).await;
    let diff = gateway.control.api(&format!("/api/calls/{id}/diff")).await;
    assert_eq!(diff["call_id"], *id);
    diff
}

async fn diff_of(gateway: &Gateway, dialect: Dialect, case: &str) -> [Value; 2] {
    let streamed = Reply::stream(&fixtures::streamed(dialect, case));
    let whole = Reply::bytes(200, "application/json", &fixtures::whole(dialect, case));
    [diff(gateway, Ask::streamed(dialect), streamed).await, diff(gateway, Ask::whole(dialect), whole).await]
}

fn blocks<'a>(diff: &'a Value, kind: &str) -> Vec<&'a Value> {
    diff["response"]["blocks"].as_array().unwrap().iter().filter(|block| block["kind"] == kind).collect()
}

/// One side of a comparison, by its words.
fn side(block: &Value, without: &str) -> String {
    let words = block["words"].as_array().unwrap().iter();
    words.filter(|word| word["op"] != without).map(|word| word["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_replacement_shows_word_by_word() {
    let gateway = Setup::replacing_cool().start().await;
    for dialect in Dialect::ALL {
        for diff in diff_of(&gateway, dialect, "text").await {
            assert_eq!((&diff["outcome"], &diff["response"]["status"]), (&json!("delivered"), &json!("changed")));
            let text = blocks(&diff, "text")[0];
            assert_eq!(
                (&text["status"], &text["words_of"], &text["words_by"]),
                (&json!("changed"), &json!("text"), &json!("words"))
            );
            let words = json!([
                {"op": "equal", "text": "Hello there, the radically "},
                {"op": "delete", "text": "cool"},
                {"op": "insert", "text": "radical"},
                {"op": "equal", "text": " answer is 42. Grüße 🦀!"},
            ]);
            assert_eq!(text["words"], words);
            assert_eq!(text["original"]["text"], *side(text, "insert"));
            assert_eq!(text["final"]["text"], *side(text, "delete"));
        }
    }
}

#[tokio::test]
async fn a_refused_tool_call_is_withheld_and_what_stands_for_it_made() {
    let gateway = Setup::denying_deletes().start().await;
    for dialect in Dialect::ALL {
        for diff in diff_of(&gateway, dialect, "tools_two").await {
            let calls = blocks(&diff, "tool_call");
            let statuses: Vec<(&Value, &Value)> = calls.iter().map(|call| (&call["tool"], &call["status"])).collect();
            let expected = [("read_file", "unchanged"), ("delete_file", "withheld")].map(|(a, b)| (json!(a), json!(b)));
            assert_eq!(statuses, expected.each_ref().map(|(tool, status)| (tool, status)));
            assert_eq!((&calls[1]["final"], &calls[0]["final"]), (&Value::Null, &calls[0]["original"]));
            assert_eq!(calls[1]["original"]["arguments"], *side(calls[1], "insert"));
            let texts = blocks(&diff, "text");
            let made: Vec<&&Value> = texts.iter().filter(|text| text["status"] == "made").collect();
            assert_eq!(made.len(), 1, "{texts:#?}");
            assert_eq!(side(made[0], "delete"), "The call of delete_file was refused: it deletes");
            assert_eq!(made[0]["original"], Value::Null);
        }
    }
}

/// Who says a message; an item of OpenAI Responses that is none is said by those who say its like.
fn role(message: &Value) -> Value {
    match (&message["role"], message["type"].as_str()) {
        (Value::Null, Some("function_call" | "custom_tool_call" | "reasoning")) => json!("assistant"),
        (Value::Null, Some("function_call_output" | "custom_tool_call_output")) => json!("tool"),
        (Value::Null, _) => json!(""),
        (role, _) => role.clone(),
    }
}

#[tokio::test]
async fn nothing_differs_where_nothing_is_judged() {
    let gateway = Setup::noop().start().await;
    for dialect in Dialect::ALL {
        let request = fixtures::request(dialect);
        let reply = Reply::bytes(200, "application/json", &fixtures::whole(dialect, "tools_two"));
        let diff = diff(&gateway, Ask::post(dialect, request.clone()), reply).await;
        assert_eq!(
            (&diff["request"]["status"], &diff["response"]["status"]),
            (&json!("unchanged"), &json!("unchanged"))
        );
        assert_eq!(diff["response"]["steps"], json!([]));
        let sent: Value = serde_json::from_slice(&request).unwrap();
        let messages = diff["request"]["messages"].as_array().unwrap();
        let roles: Vec<&Value> = messages.iter().map(|message| &message["role"]).collect();
        let conversation = if dialect == Dialect::Responses { "input" } else { "messages" };
        let sent: Vec<Value> = sent[conversation].as_array().unwrap().iter().map(role).collect();
        assert!(roles.iter().all(|role| sent.contains(role)) && !roles.is_empty(), "{roles:?} of {sent:?}");
        assert!(messages.iter().all(|message| message["original"] == message["final"]));
        assert!(!diff.to_string().contains("\"words\""));
    }
}

#[tokio::test]
async fn a_route_that_renames_the_model_shows() {
    let routes = json!([{"model": "fast", "upstream": "openai", "as": "gpt-5-mini"}]);
    let gateway = Setup::noop().with_data_plane(json!({"routes": routes})).start().await;
    let reply = Reply::stream(&fixtures::streamed(Dialect::OpenAi, "text"));
    let ask = Ask::call(Dialect::OpenAi, &json!({"model": "fast", "stream": true}));
    let diff = diff(&gateway, ask, reply).await;
    assert_eq!((&diff["request"]["status"], &diff["response"]["status"]), (&json!("changed"), &json!("unchanged")));
    let model = &diff["request"]["model"];
    assert_eq!(
        (&model["status"], &model["original"], &model["final"]),
        (&json!("changed"), &json!("fast"), &json!("gpt-5-mini"))
    );
    assert!(diff["request"]["messages"].to_string().contains("prompt-canary"));
}

#[tokio::test]
async fn it_is_behind_the_token_and_says_what_is_not_there() {
    let gateway = Setup::noop().start().await;
    for (path, status) in [
        ("/api/calls/01890a5d-ac96-774b-bcce-b302099a8057/diff", 404),
        ("/api/calls/nonsense/diff", 400),
        ("/api/calls/01890a5d-ac96-774b-bcce-b302099a8057/diffs", 404),
    ] {
        let ask = gateway.control.ask(path);
        let answer = ask.send(gateway.control.admin).await;
        assert_eq!(answer.status, status, "{path}");
        let body: Value = serde_json::from_slice(&answer.complete().await).unwrap();
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        assert_eq!(ask.without("authorization").send(gateway.control.admin).await.status, 401, "{path}");
    }
}
