//! Whatever is asked for, Google takes the request that is written for it.

use luthien_call::dialect::{Lost, UpstreamOptions, encode_request};
use luthien_proto::{
    Request,
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{
        Content, ContentBlock, Dialect, Message, OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions,
        Source, Tool, ToolChoice, ToolKind,
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    select(values.to_vec())
}

fn words(words: &[&str]) -> impl Strategy<Value = String> + use<> {
    select(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), any::<String>()]
}

fn id() -> impl Strategy<Value = String> {
    words(&["c1", "c2", "c3"])
}

fn source() -> impl Strategy<Value = Source> {
    let base64 = |media_type: &str| Source::Base64 { media_type: media_type.to_owned(), data: "AA==".to_owned() };
    one_of(&[
        base64("image/png"),
        base64("application/pdf"),
        base64("video/mp4"),
        Source::Url("https://x.test/a.png".to_owned()),
        Source::Url("https://x.test/a".to_owned()),
        Source::Url("data:image/gif;base64,AA==".to_owned()),
        Source::FileId("https://x.test/files/1".to_owned()),
        Source::Text("words".to_owned()),
        Source::Text(String::new()),
    ])
}

/// A block that may stand anywhere, a tool's result too.
fn plain() -> impl Strategy<Value = ContentBlock> {
    prop_oneof![
        4 => text().prop_map(ContentBlock::Text),
        1 => text().prop_map(ContentBlock::Refusal),
        1 => source().prop_map(|source| ContentBlock::Image { source, detail: String::new() }),
        1 => (source(), text()).prop_map(|(source, title)| ContentBlock::Document { source, title }),
        1 => words(&["wav", "audio/mp3"]).prop_map(|format| ContentBlock::Audio { data: "AA==".to_owned(), format }),
        1 => one_of(&[json!({"type": "x"}), json!(null)]).prop_map(ContentBlock::Opaque),
    ]
}

fn block() -> impl Strategy<Value = ContentBlock> {
    let signature = words(&["", "EqQBforeign", "call:UzE=", "text:UzI=", "thought:UzM=", "call:"]);
    let form = one_of(&[ToolForm::Function, ToolForm::Custom, ToolForm::Legacy, ToolForm::Server]);
    let arguments = words(&["", "{}", r#"{"x":{"y":[1.5]}}"#, "[1]", "{\"x"]);
    let contents = |blocks: Vec<ContentBlock>| blocks.into_iter().map(Content::from).collect();
    prop_oneof![
        3 => plain(),
        2 => (text(), signature)
            .prop_map(|(text, signature)| ContentBlock::Thinking { text, signature, id: String::new() }),
        1 => text().prop_map(ContentBlock::RedactedThinking),
        2 => (id(), words(&["f", "g_2"]), form, arguments).prop_map(|(id, name, form, arguments)| {
            let (namespace, type_) = (String::new(), String::new());
            ContentBlock::ToolCall { call: ToolCall { id, name, namespace, form, type_ }, arguments }
        }),
        2 => (id(), option::of(any::<bool>()), vec(plain(), 0..3)).prop_map(move |(id, is_error, content)| {
            ContentBlock::ToolResult { id, is_error, content: contents(content) }
        }),
    ]
}

/// Each call of a turn has an id of its own: that is what clients have to see to.
fn with_own_ids(mut messages: Vec<Message>) -> Vec<Message> {
    let mut seen = Vec::new();
    for message in &mut messages {
        message.content.retain(|content| match &content.block {
            ContentBlock::ToolCall { call, .. } if seen.contains(&call.id) => false,
            ContentBlock::ToolCall { call, .. } => {
                seen.push(call.id.clone());
                true
            }
            _ => true,
        });
    }
    messages
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let role = words(&["system", "developer", "user", "user", "assistant", "assistant", "tool", ""]);
    let message = (role, vec(block(), 0..4)).prop_map(|(role, blocks)| Message {
        role,
        content: blocks.into_iter().map(Content::from).collect(),
        extras: Extras::NONE,
    });
    // Without anything that could be said there is no request.
    let hi = Message {
        role: "user".to_owned(),
        content: vec![ContentBlock::Text("Hi".to_owned()).into()],
        extras: Extras::NONE,
    };
    vec(message, 0..8).prop_map(move |mut messages| {
        messages.push(hi.clone());
        with_own_ids(messages)
    })
}

fn tools() -> impl Strategy<Value = Vec<Tool>> {
    let kinds = vec(
        prop_oneof![
            one_of(&[json!(null), json!({}), json!({"type": "object", "properties": null}), json!(true)])
                .prop_map(|schema| ToolKind::Function { schema, strict: Some(true) }),
            Just(ToolKind::Custom { format: Value::Null }),
            one_of(&[json!({"type": "web_search"}), json!({"googleSearch": {}})]).prop_map(ToolKind::Hosted),
        ],
        0..4,
    );
    kinds.prop_map(|kinds| {
        let tool = |(at, kind): (usize, ToolKind)| {
            let [name, namespace, description] =
                [["f", "g_2", "h", "i-j"][at], "", ["", "d"][at % 2]].map(str::to_owned);
            Tool { name, namespace, description, kind, extras: Extras::NONE }
        };
        kinds.into_iter().enumerate().map(tool).collect()
    })
}

fn reasoning() -> impl Strategy<Value = Reasoning> {
    let modes = [ReasoningMode::Unset, ReasoningMode::Off, ReasoningMode::Adaptive];
    let mode = prop_oneof![one_of(&modes), any::<u64>().prop_map(ReasoningMode::Budget)];
    let effort = words(&["", "none", "minimal", "low", "medium", "high", "xhigh", "max", "ludicrous"]);
    (mode, effort, option::of(any::<bool>())).prop_map(|(mode, effort, shown)| Reasoning { mode, effort, shown })
}

fn request() -> impl Strategy<Value = Request> {
    let models = ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-pro-preview", "gemini-flash-latest", "gemma-3"];
    let schema = OutputFormat::JsonSchema {
        name: String::new(),
        description: String::new(),
        schema: json!({"type": "object"}),
        strict: None,
    };
    let sampling = (
        option::of(1..9u64),
        option::of(0.0..1.0f64),
        option::of(any::<i64>()),
        option::of(0..3u32),
        vec(text(), 0..5),
    )
        .prop_map(|(count, fraction, seed, logprobs, stop)| Sampling {
            max_output_tokens: count,
            temperature: fraction,
            top_p: fraction,
            top_k: count,
            stop,
            seed,
            frequency_penalty: fraction,
            presence_penalty: fraction,
            logprobs,
        });
    let service = words(&["", "auto", "default", "flex", "priority", "fast"]).prop_map(|tier| ServiceOptions {
        end_user: "u".to_owned(),
        tier,
        store: Some(true),
        ..ServiceOptions::default()
    });
    let choice = one_of(&[ToolChoice::Auto, ToolChoice::None, ToolChoice::Required, ToolChoice::Opaque(json!({}))]);
    let output = one_of(&[OutputFormat::Text, OutputFormat::JsonObject, schema]);
    (
        words(&models),
        messages(),
        tools(),
        option::of(choice),
        reasoning(),
        sampling,
        service,
        option::of(output),
        vec(text(), 0..3),
        1..3u32,
    )
        .prop_map(
            |(model, messages, tools, tool_choice, reasoning, sampling, service, output, system, choices)| Request {
                model,
                stream: true,
                choices,
                system: system.into_iter().map(|text| ContentBlock::Text(text).into()).collect(),
                messages,
                tools,
                tool_choice,
                parallel_tool_calls: Some(false),
                sampling,
                reasoning,
                output,
                service,
                extras: Extras::NONE,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_is_asked_for_google_takes_the_request(request in request()) {
        let body = encode_request(Dialect::Gemini, &request, &UpstreamOptions::default(), &mut Lost::default());
        let path = format!("/v1beta/models/{}:streamGenerateContent?alt=sse", request.model);
        let asked = super::request(&path, &body);
        prop_assert!(asked.is_ok(), "{asked:?}: {}", String::from_utf8_lossy(&body));
    }
}
