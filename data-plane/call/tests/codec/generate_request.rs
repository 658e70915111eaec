//! Requests of anything that a dialect can say, as its decoder puts it.

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

pub(crate) fn request(dialect: Dialect) -> BoxedStrategy<Request> {
    let is_chat = dialect == Dialect::OpenAiChat;
    let what = (messages(dialect), vec(tool(dialect), 0..4), text_blocks(), any::<bool>(), 1..=3u32);
    let how = (sampling(is_chat), reasoning(is_chat), option::of(output(is_chat)), service(is_chat), extras("x_top"));
    let choice = (option::of(0..5usize), option::of(any::<bool>()));
    (text(), what, how, choice)
        .prop_map(move |(model, (messages, tools, system, stream, choices), how, (choice, parallel))| {
            let (sampling, reasoning, output, service, extras) = how;
            let tool_choice = choice.and_then(|choice| tool_choice(choice, &tools, is_chat));
            // Where there are no tools, nothing is said of them; Anthropic says it with the choice.
            let can_say = !tools.is_empty()
                && (is_chat || !matches!(tool_choice, None | Some(ToolChoice::None | ToolChoice::Opaque(_))));
            Request {
                model,
                stream,
                choices: if is_chat { choices } else { 1 },
                system: if is_chat { Vec::new() } else { system },
                messages,
                tools,
                tool_choice,
                parallel_tool_calls: parallel.filter(|_| can_say),
                sampling,
                reasoning,
                output,
                service,
                extras,
            }
        })
        .boxed()
}

fn tool_choice(choice: usize, tools: &[Tool], is_chat: bool) -> Option<ToolChoice> {
    let first = tools.iter().find(|tool| !matches!(tool.kind, ToolKind::Hosted(_)))?;
    Some(match choice {
        0 => ToolChoice::Auto,
        1 => ToolChoice::None,
        2 => ToolChoice::Required,
        3 if is_chat => ToolChoice::Allowed { required: true, names: vec![first.name.clone()] },
        3 => ToolChoice::Opaque(json!({"type": "x"})),
        _ => ToolChoice::Named(first.name.clone()),
    })
}

fn sampling(is_chat: bool) -> impl Strategy<Value = Sampling> {
    let common = (option::of(any::<u32>()), option::of(float()), option::of(float()), option::of(1..100u64));
    let own = (option::of(any::<i64>()), option::of(float()), option::of(float()), option::of(0..20u32));
    (common, vec("[a-z]{1,3}", 0..3), own).prop_map(move |((most, temperature, top_p, top_k), stop, own)| {
        let mut sampling = Sampling { temperature, top_p, top_k, stop, ..Sampling::default() };
        if is_chat {
            sampling.max_output_tokens = most.map(u64::from);
            (sampling.seed, sampling.frequency_penalty, sampling.presence_penalty, sampling.logprobs) = own;
        } else {
            sampling.max_output_tokens = Some(u64::from(most.unwrap_or(0)) + 50_000);
        }
        sampling
    })
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f32>().prop_filter("finite", |float| float.is_finite()).prop_map(f64::from),
        Just(1.0),
        Just(-0.5)
    ]
}

fn reasoning(is_chat: bool) -> impl Strategy<Value = Reasoning> {
    let effort = select(vec!["", "low", "medium", "high", "xhigh", "max"]);
    let mode = select(vec![
        ReasoningMode::Unset,
        ReasoningMode::Off,
        ReasoningMode::Adaptive,
        ReasoningMode::Budget(1024),
        ReasoningMode::Budget(32_000),
    ]);
    (effort, mode, option::of(any::<bool>())).prop_map(move |(effort, mode, shown)| {
        let mode = if is_chat { ReasoningMode::Unset } else { mode };
        let shown = shown.filter(|_| !matches!(mode, ReasoningMode::Unset | ReasoningMode::Off));
        Reasoning { mode, effort: effort.to_owned(), shown }
    })
}

fn output(is_chat: bool) -> BoxedStrategy<OutputFormat> {
    let schema = |(name, description, schema, strict)| OutputFormat::JsonSchema { name, description, schema, strict };
    if is_chat {
        let schemas = (text(), any::<String>(), schema_json(), option::of(any::<bool>())).prop_map(schema);
        prop_oneof![Just(OutputFormat::Text), Just(OutputFormat::JsonObject), schemas].boxed()
    } else {
        schema_json().prop_map(move |json| schema((String::new(), String::new(), json, None))).boxed()
    }
}

fn service(is_chat: bool) -> impl Strategy<Value = ServiceOptions> {
    let word = || prop_oneof![Just(String::new()), text()];
    (word(), word(), word(), option::of(any::<bool>())).prop_map(move |(end_user, tier, cache_key, store)| {
        let service = ServiceOptions { end_user, tier, ..ServiceOptions::default() };
        if is_chat { ServiceOptions { cache_key, store, ..service } } else { service }
    })
}

fn tool(dialect: Dialect) -> BoxedStrategy<Tool> {
    let function = (schema_json(), option::of(any::<bool>()));
    let function = function.prop_map(|(schema, strict)| ToolKind::Function { schema, strict });
    let kind = match dialect {
        Dialect::OpenAiChat => {
            let format = prop_oneof![Just(Value::Null), Just(json!({"type": "text"}))];
            prop_oneof![function, format.prop_map(|format| ToolKind::Custom { format })].boxed()
        }
        _ => function.boxed(),
    };
    let described = (name(), any::<String>(), kind, extras("x_tool")).prop_map(|(name, description, kind, extras)| {
        Tool { name, namespace: String::new(), description, kind, extras }
    });
    let hosted = name().prop_map(|name| Tool {
        kind: ToolKind::Hosted(json!({"type": "web_search_1", "name": name, "x": 1})),
        name,
        namespace: String::new(),
        description: String::new(),
        extras: Extras::NONE,
    });
    prop_oneof![3 => described, 1 => hosted].boxed()
}

fn messages(dialect: Dialect) -> BoxedStrategy<Vec<Message>> {
    match dialect {
        Dialect::OpenAiChat => vec(chat_message(), 0..6).boxed(),
        _ => {
            let role = select(vec!["user", "assistant", "system"]);
            let message = (role, vec(content(anthropic_block()), 1..5), extras("x_message"));
            vec(message.prop_map(|(role, content, extras)| plain(role, content, extras)), 0..6).boxed()
        }
    }
}

fn plain(role: &str, content: Vec<Content>, extras: Extras) -> Message {
    Message { role: role.to_owned(), content, extras }
}

fn content(block: BoxedStrategy<ContentBlock>) -> impl Strategy<Value = Content> {
    (block, extras("x_block")).prop_map(|(block, extras)| match block {
        ContentBlock::Opaque(_) => block.into(),
        block => Content { block, extras },
    })
}

fn text_blocks() -> impl Strategy<Value = Vec<Content>> {
    vec(content(text().prop_map(ContentBlock::Text).boxed()), 0..3)
}

fn anthropic_block() -> BoxedStrategy<ContentBlock> {
    let inner = prop_oneof![
        text().prop_map(ContentBlock::Text),
        anthropic_source("image/png").prop_map(|source| ContentBlock::Image { source, detail: String::new() }),
    ];
    let result = (name(), option::of(any::<bool>()), vec(content(inner.boxed()), 0..3));
    let document = prop_oneof![anthropic_source("application/pdf"), text().prop_map(Source::Text)];
    prop_oneof![
        4 => text().prop_map(ContentBlock::Text),
        2 => (any::<String>(), text())
            .prop_map(|(text, signature)| ContentBlock::Thinking { text, signature, id: String::new() }),
        1 => text().prop_map(ContentBlock::RedactedThinking),
        3 => (name(), name(), select(vec!["", "server_tool_use", "mcp_tool_use"]), text()).prop_map(anthropic_call),
        3 => result.prop_map(|(id, is_error, content)| ContentBlock::ToolResult { id, is_error, content }),
        1 => anthropic_source("image/png").prop_map(|source| ContentBlock::Image { source, detail: String::new() }),
        1 => (document, any::<String>()).prop_map(|(source, title)| ContentBlock::Document { source, title }),
        1 => Just(ContentBlock::Opaque(json!({"type": "search_result", "source": "s"}))),
    ]
    .boxed()
}

fn anthropic_call((id, name, type_, value): (String, String, &str, String)) -> ContentBlock {
    let form = if type_.is_empty() { ToolForm::Function } else { ToolForm::Server };
    let call = ToolCall { id, name, namespace: String::new(), form, type_: type_.to_owned() };
    ContentBlock::ToolCall { call, arguments: json!({"z": value, "a": [1, 2.5]}).to_string() }
}

fn anthropic_source(media_type: &'static str) -> impl Strategy<Value = Source> {
    prop_oneof![
        "[A-Za-z0-9]{0,8}".prop_map(move |data| Source::Base64 { media_type: media_type.to_owned(), data }),
        text().prop_map(Source::Url),
        name().prop_map(Source::FileId),
    ]
}

fn chat_message() -> BoxedStrategy<Message> {
    let asked = (select(vec!["system", "developer", "user"]), vec(content(chat_part()), 1..4), extras("x_message"));
    let result = (name(), vec(content(text().prop_map(ContentBlock::Text).boxed()), 1..3));
    let result = result.prop_map(|(id, content)| vec![ContentBlock::ToolResult { id, is_error: None, content }.into()]);
    prop_oneof![
        asked.prop_map(|(role, content, extras)| plain(role, content, extras)),
        (answer(), extras("x_message")).prop_map(|(content, extras)| plain("assistant", content, extras)),
        (result, extras("x_message")).prop_map(|(content, extras)| plain("tool", content, extras)),
    ]
    .boxed()
}

fn chat_part() -> BoxedStrategy<ContentBlock> {
    let data = |media_type: &'static str| {
        "[A-Za-z0-9]{0,8}".prop_map(move |data| Source::Base64 { media_type: media_type.to_owned(), data })
    };
    let image = prop_oneof![data("image/png"), data("image/jpeg;x=1"), name().prop_map(Source::Url)];
    let file = prop_oneof![data("application/pdf"), data("image/png"), name().prop_map(Source::FileId)];
    prop_oneof![
        3 => text().prop_map(ContentBlock::Text),
        1 => (image, select(vec!["", "low"]))
            .prop_map(|(source, detail)| ContentBlock::Image { source, detail: detail.to_owned() }),
        1 => (file, text()).prop_map(|(source, title)| ContentBlock::Document { source, title }),
        1 => (text(), name()).prop_map(|(data, format)| ContentBlock::Audio { data, format }),
        1 => Just(ContentBlock::Opaque(json!({"type": "video_url"}))),
    ]
    .boxed()
}

/// In the order of the message's fields: reasoning, content, refusal, calls.
fn answer() -> impl Strategy<Value = Vec<Content>> {
    let signed = (text(), text(), vec(text(), 0..2));
    let reasoning = prop_oneof![
        Just(Vec::new()),
        text().prop_map(|text| vec![ContentBlock::Thinking { text, signature: String::new(), id: String::new() }]),
        signed.prop_map(|(text, signature, redacted)| {
            let thinking = ContentBlock::Thinking { text, signature, id: String::new() };
            [thinking].into_iter().chain(redacted.into_iter().map(ContentBlock::RedactedThinking)).collect()
        }),
    ];
    let said = prop_oneof![
        Just(Vec::new()),
        text().prop_map(|text| vec![ContentBlock::Text(text).into()]),
        vec((text(), Just(json!({"x": 1}))), 1..3).prop_map(|texts| {
            let content = |(text, rest): (_, Value)| Content {
                block: ContentBlock::Text(text),
                extras: rest.as_object().unwrap().clone().into(),
            };
            texts.into_iter().map(content).collect()
        }),
    ];
    let call =
        (name(), name(), any::<bool>(), text(), extras("x_call")).prop_map(|(id, name, custom, text, extras)| {
            let form = if custom { ToolForm::Custom } else { ToolForm::Function };
            let call = ToolCall { id, name, namespace: String::new(), form, type_: String::new() };
            let arguments = if custom { text } else { json!({"x": text}).to_string() };
            Content { block: ContentBlock::ToolCall { call, arguments }, extras }
        });
    (reasoning, said, option::of(text()), vec(call, 0..3)).prop_map(|(reasoning, said, refusal, calls)| {
        let signature = |at: usize, mut content: Content| {
            let is_signed = |block: &ContentBlock| matches!(block, ContentBlock::Thinking { signature, .. } if !signature.is_empty());
            if is_signed(&content.block) {
                content.extras.insert("index", at.into());
                content.extras.insert("format", "x".into());
            }
            content
        };
        let reasoning = reasoning.into_iter().map(Content::from).enumerate().map(|(at, content)| signature(at, content));
        let refusal = refusal.map(|text| Content::from(ContentBlock::Refusal(text)));
        let all: Vec<Content> = reasoning.chain(said).chain(refusal).chain(calls).collect();
        // A message that says nothing has an empty text.
        if all.is_empty() { vec![ContentBlock::Text(String::new()).into()] } else { all }
    })
}

fn schema_json() -> impl Strategy<Value = Value> {
    name().prop_map(|name| json!({"type": "object", "properties": {name: {"type": "string"}}, "$defs": {}}))
}

fn extras(name: &'static str) -> impl Strategy<Value = Extras> {
    option::of(any::<u8>()).prop_map(move |value| {
        let mut extras = Extras::NONE;
        if let Some(value) = value {
            extras.insert(name, json!([value]));
        }
        extras
    })
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("not empty", |text| !text.trim().is_empty())
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,8}"
}
