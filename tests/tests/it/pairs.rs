//! Every dialect of a client with every dialect of an upstream: what both can say is the same on both sides, streamed and
//! whole, and the turn that follows reaches the upstream as its own.

use luthien_tests::{
    fixtures,
    harness::{Ask, Gateway, Setup},
    peers::upstream::{Exchange, Reply},
    validate::{Dialect, Form, Turn},
};
use serde_json::{Value, json};

/// An upstream, by its name in the configuration and by its model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Upstream {
    Speaks(Dialect),
    Gemini,
}

impl Upstream {
    const ALL: [Self; 4] = [
        Self::Speaks(Dialect::OpenAi),
        Self::Speaks(Dialect::Anthropic),
        Self::Speaks(Dialect::Responses),
        Self::Gemini,
    ];

    fn folder(self) -> &'static str {
        match self {
            Self::Speaks(dialect) => dialect.name(),
            Self::Gemini => "gemini",
        }
    }

    fn model(self) -> String {
        format!("to-{}", self.folder())
    }

    /// The name of a fixture: the same thing has another name with some.
    fn case(self, case: &'static str) -> &'static str {
        match (self, case) {
            (Self::Speaks(Dialect::Anthropic), "reasoning") => "thinking",
            (_, case) => case,
        }
    }

    fn streams(self, case: &'static str) -> Reply {
        Reply::stream(&fixtures::file(self.folder(), &format!("{}.sse", self.case(case))))
    }

    fn answers(self, case: &'static str) -> Reply {
        let body = fixtures::file(self.folder(), &format!("{}.json", self.case(case)));
        Reply::bytes(200, "application/json", &body)
    }
}

fn any_to_any(setup: Setup) -> Setup {
    let routes: Vec<Value> = Upstream::ALL
        .into_iter()
        .map(|upstream| {
            let name = upstream.folder();
            let real = match upstream {
                Upstream::Speaks(Dialect::OpenAi) => "gpt-5-mini",
                Upstream::Speaks(Dialect::Anthropic) => "claude-haiku-4-5",
                Upstream::Speaks(Dialect::Responses) => "codex-mini",
                Upstream::Gemini => "gemini-3-pro",
            };
            let upstream = match upstream {
                Upstream::Speaks(Dialect::OpenAi) => "openai",
                Upstream::Speaks(Dialect::Anthropic) => "anthropic",
                Upstream::Speaks(Dialect::Responses) => "responses",
                Upstream::Gemini => "gemini",
            };
            json!({"model": format!("to-{name}"), "upstream": upstream, "as": real})
        })
        .collect();
    let keys = ["openai", "anthropic", "responses", "gemini"]
        .map(|name| (name.to_owned(), json!({"api_key": "upstream-key"})));
    setup.with_data_plane(json!({
        "auth": {"mode": "keys", "keys": ["client-key-canary"]},
        "upstreams": Value::Object(keys.into_iter().collect()),
        "routes": routes,
    }))
}

fn pairs() -> impl Iterator<Item = (Dialect, Upstream)> {
    Dialect::ALL.into_iter().flat_map(|client| Upstream::ALL.into_iter().map(move |upstream| (client, upstream)))
}

fn tools(dialect: Dialect) -> Value {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    let tool = |name: &str| match dialect {
        Dialect::OpenAi => json!({"type": "function", "function": {"name": name, "parameters": schema}}),
        Dialect::Anthropic => json!({"name": name, "input_schema": schema}),
        Dialect::Responses => json!({"type": "function", "name": name, "parameters": schema, "strict": false}),
    };
    json!([tool("read_file"), tool("delete_file")])
}

fn ask(client: Dialect, upstream: Upstream, stream: bool) -> Ask {
    ask_with(client, upstream, stream, &json!({}))
}

fn ask_with(client: Dialect, upstream: Upstream, stream: bool, more: &Value) -> Ask {
    let mut fields = json!({"model": upstream.model(), "stream": stream, "tools": tools(client)});
    match client {
        Dialect::OpenAi => fields["reasoning_effort"] = "medium".into(),
        Dialect::Anthropic => {
            fields["thinking"] = json!({"type": "adaptive"});
            fields["max_tokens"] = 4096.into();
        }
        Dialect::Responses => fields["reasoning"] = json!({"effort": "medium"}),
    }
    if client == Dialect::OpenAi && stream {
        fields["stream_options"] = json!({"include_usage": true});
    }
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more.clone());
    }
    Ask::call(client, &fields)
}

/// What a client makes of a case, streamed and whole.
async fn both(gateway: &Gateway, client: Dialect, upstream: Upstream, case: &'static str) -> [Turn; 2] {
    gateway.upstream.answer(upstream.streams(case));
    let streamed = gateway.ask(ask(client, upstream, true)).await;
    assert_eq!(streamed.status, 200, "{client:?} {upstream:?} {case}");
    let streamed = streamed.stream(client).await;
    gateway.upstream.answer(upstream.answers(case));
    let whole = gateway.ask(ask(client, upstream, false)).await;
    assert_eq!(whole.status, 200, "{client:?} {upstream:?} {case}");
    [streamed, whole.whole(client).await]
}

fn over(client: Dialect) -> &'static str {
    match client {
        Dialect::OpenAi => "stop",
        Dialect::Anthropic => "end_turn",
        Dialect::Responses => "completed",
    }
}

fn uses_tools(client: Dialect) -> &'static str {
    match client {
        Dialect::OpenAi => "tool_calls",
        Dialect::Anthropic => "tool_use",
        Dialect::Responses => "completed",
    }
}

/// Input with that from the cache, and output, as the client's dialect counts them.
fn tokens(client: Dialect, turn: &Turn) -> (u64, u64) {
    let usage = turn.usage.clone().unwrap_or_default();
    let count = |key: &str| usage[key].as_u64().unwrap_or_default();
    match client {
        Dialect::OpenAi => (count("prompt_tokens"), count("completion_tokens")),
        Dialect::Responses => (count("input_tokens"), count("output_tokens")),
        Dialect::Anthropic => {
            let input = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"].map(count);
            (input.iter().sum(), count("output_tokens"))
        }
    }
}

#[tokio::test]
async fn text_is_the_same_on_both_sides() {
    let gateway = any_to_any(Setup::noop()).start().await;
    for (client, upstream) in pairs() {
        for turn in both(&gateway, client, upstream, "text").await {
            let what = format!("{client:?} {upstream:?} {turn:?}");
            assert_eq!(turn.text(), "Hello there, the radically cool answer is 42. Grüße 🦀!", "{what}");
            assert_eq!((turn.finish(), turn.tool_calls().len()), (over(client), 0), "{what}");
            let expected = if upstream == Upstream::Speaks(Dialect::Anthropic) { (43, 87) } else { (31, 24) };
            assert_eq!(tokens(client, &turn), expected, "{what}");
        }
    }
}

#[tokio::test]
async fn parallel_tool_calls_are_the_same_on_both_sides() {
    let gateway = any_to_any(Setup::noop()).start().await;
    for (client, upstream) in pairs() {
        for turn in both(&gateway, client, upstream, "tools_two").await {
            let what = format!("{client:?} {upstream:?} {turn:?}");
            assert_eq!(turn.text(), "I will read and then delete.", "{what}");
            assert_eq!(turn.finish(), uses_tools(client), "{what}");
            let calls: Vec<(String, Value)> = turn
                .tool_calls()
                .into_iter()
                .inspect(|call| assert_eq!(call.form, Form::Function, "{what}"))
                .map(|call| (call.name, serde_json::from_str(&call.arguments).unwrap()))
                .collect();
            let expected = [
                ("read_file".to_owned(), json!({"path": "/tmp/notes.txt"})),
                ("delete_file".to_owned(), json!({"path": "/home/me", "recursive": true})),
            ];
            assert_eq!(calls, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn reasoning_is_shown_on_both_sides_and_comes_back_as_the_upstreams_own() {
    let gateway = any_to_any(Setup::noop()).start().await;
    for (client, upstream) in pairs() {
        for turn in both(&gateway, client, upstream, "reasoning").await {
            let what = format!("{client:?} {upstream:?} {turn:?}");
            assert!(turn.thinking().contains("coolly"), "{what}");
            assert!(turn.text().contains("cool"), "{what}");
            let sent = next(&gateway, client, upstream, &turn).await;
            let body = String::from_utf8_lossy(&sent.body).into_owned();
            assert!(!body.contains("luth1."), "an envelope went upstream: {what} {body}");
            for proof in proofs(upstream) {
                assert!(body.contains(&proof), "{proof} did not come back: {what} {body}");
            }
        }
    }
}

/// What an upstream signed its reasoning with.
fn proofs(upstream: Upstream) -> Vec<String> {
    let stream = |dialect: Dialect, case| dialect.stream(&fixtures::streamed(dialect, case)).unwrap();
    match upstream {
        Upstream::Speaks(Dialect::OpenAi) | Upstream::Gemini => Vec::new(),
        Upstream::Speaks(dialect) => {
            let turn = stream(dialect, upstream.case("reasoning"));
            let signature = |block: &_| match block {
                luthien_tests::validate::Block::Thinking { signature, .. } => Some(signature.clone()),
                _ => None,
            };
            turn.choices[0].blocks.iter().filter_map(signature).collect()
        }
    }
}

/// The request that follows a turn, as the upstream gets it.
async fn next(gateway: &Gateway, client: Dialect, upstream: Upstream, turn: &Turn) -> Exchange {
    let mut messages = vec![json!({"role": "user", "content": "prompt-canary: how is the weather?"})];
    messages.extend(client.next_turn(turn).unwrap_or_else(|error| panic!("{client:?} {upstream:?}: {error}")));
    let conversation = if client == Dialect::Responses { "input" } else { "messages" };
    gateway.upstream.answer(upstream.answers("text"));
    let answer = gateway.ask(ask_with(client, upstream, false, &json!({conversation: messages}))).await;
    assert_eq!(answer.status, 200, "{client:?} {upstream:?}");
    answer.whole(client).await;
    gateway.upstream.exchanges().pop().unwrap()
}

#[tokio::test]
async fn a_turn_with_tool_calls_is_answered_in_the_upstreams_own_form() {
    let gateway = any_to_any(Setup::noop()).start().await;
    for (client, upstream) in pairs() {
        for turn in both(&gateway, client, upstream, "tools_two").await {
            let sent = next(&gateway, client, upstream, &turn).await;
            let body = sent.json();
            let what = format!("{client:?} {upstream:?} {body}");
            let answers = match upstream {
                Upstream::Speaks(Dialect::OpenAi) => {
                    let messages = body["messages"].as_array().unwrap();
                    messages.iter().filter(|message| message["role"] == "tool").count()
                }
                Upstream::Speaks(Dialect::Anthropic) => {
                    let messages = body["messages"].as_array().unwrap();
                    let last = messages.last().unwrap()["content"].as_array().unwrap();
                    last.iter().filter(|block| block["type"] == "tool_result").count()
                }
                Upstream::Speaks(Dialect::Responses) => {
                    let items = body["input"].as_array().unwrap();
                    items.iter().filter(|item| item["type"] == "function_call_output").count()
                }
                Upstream::Gemini => {
                    let contents = body["contents"].as_array().unwrap();
                    let last = contents.last().unwrap()["parts"].as_array().unwrap();
                    last.iter().filter(|part| part.get("functionResponse").is_some()).count()
                }
            };
            assert_eq!(answers, 2, "{what}");
        }
    }
}

#[tokio::test]
async fn policies_judge_what_is_converted() {
    let gateway = any_to_any(Setup::replacing_cool()).start().await;
    for (client, upstream) in pairs() {
        for turn in both(&gateway, client, upstream, "text").await {
            assert_eq!(
                turn.text(),
                "Hello there, the radically radical answer is 42. Grüße 🦀!",
                "{client:?} {upstream:?}"
            );
        }
    }
    let gateway = any_to_any(Setup::denying_deletes()).start().await;
    for (client, upstream) in pairs() {
        for turn in both(&gateway, client, upstream, "tools_two").await {
            let what = format!("{client:?} {upstream:?} {turn:?}");
            assert_eq!(turn.tool_names(), ["read_file"], "{what}");
            assert!(turn.text().ends_with("The call of delete_file was refused: it deletes"), "{what}");
            assert_eq!(turn.finish(), uses_tools(client), "{what}");
            next(&gateway, client, upstream, &turn).await;
        }
        for turn in both(&gateway, client, upstream, "tool_only").await {
            let what = format!("{client:?} {upstream:?} {turn:?}");
            assert_eq!((turn.finish(), turn.tool_names()), (over(client), Vec::new()), "{what}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_answers_otherwise_than_asked_is_understood() {
    let gateway = any_to_any(Setup::noop()).start().await;
    for (client, upstream) in pairs().filter(|(client, upstream)| *upstream != Upstream::Speaks(*client)) {
        gateway.upstream.answer(upstream.answers("tools_two"));
        let turn = gateway.ask(ask(client, upstream, true)).await.stream(client).await;
        assert_eq!(turn.tool_names(), ["read_file", "delete_file"], "{client:?} {upstream:?}");
        gateway.upstream.answer(upstream.streams("tools_two"));
        let turn = gateway.ask(ask(client, upstream, false)).await.whole(client).await;
        assert_eq!(turn.tool_names(), ["read_file", "delete_file"], "{client:?} {upstream:?}");
    }
}

#[tokio::test]
async fn errors_are_told_in_the_clients_dialect() {
    let gateway = any_to_any(Setup::noop()).start().await;
    for (client, upstream) in pairs() {
        for (status, told) in [(400, 400), (401, 401), (404, 404), (429, 429), (500, 500)] {
            let body = match upstream {
                Upstream::Speaks(Dialect::Anthropic) => {
                    json!({"type": "error", "error": {"type": "api_error", "message": "It is so."}})
                }
                Upstream::Speaks(_) => {
                    json!({"error": {"message": "It is so.", "type": "t", "param": null, "code": null}})
                }
                Upstream::Gemini => json!([{"error": {"code": status, "message": "It is so.", "status": "UNKNOWN"}}]),
            };
            for stream in [true, false] {
                gateway.upstream.answer(Reply::json(status, &body).header("retry-after", "7"));
                let answer = gateway.ask(ask(client, upstream, stream)).await;
                assert_eq!((answer.status, answer.header("retry-after")), (told, "7"), "{client:?} {upstream:?}");
                assert_eq!(answer.error(client).await.message, "It is so.", "{client:?} {upstream:?}");
            }
        }
        gateway.upstream.answer(Reply::sse().send(half(upstream)).cut());
        let (turn, _) = gateway.ask(ask(client, upstream, true)).await.failed_stream(client).await;
        assert!(turn.text().starts_with("Hel"), "{client:?} {upstream:?} {turn:?}");
    }
}

/// The beginning of a stream.
fn half(upstream: Upstream) -> Vec<u8> {
    let body = fixtures::file(upstream.folder(), "text.sse");
    let pieces = luthien_tests::validate::sse::split(&body);
    pieces[..pieces.len().min(6)].concat()
}
