//! What has broken gateways before in requests, as far as it is a codec's affair: a case each, with where it was met.

use bytes::Bytes;
use expect_test::{Expect, expect};
use luthien_call::dialect::{Lost, UpstreamOptions, decode_request, encode_request};
use luthien_proto::{
    Request,
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{
        Content, ContentBlock, Dialect, Message, OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions,
        Source, Tool, ToolChoice, ToolKind,
    },
};
use serde_json::{Value, json};

const CHAT: Dialect = Dialect::OpenAiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

/// What a request is written as: for OpenAI, for who is compatible, for Anthropic; but for the model.
fn check(request: &Request, expect: Expect) {
    let options = UpstreamOptions::default();
    let compatible = UpstreamOptions { compatible: true, reasoning_echo: true, ..options.clone() };
    let mut out = String::new();
    for (name, dialect, options) in
        [("openai", CHAT, &options), ("compatible", CHAT, &compatible), ("anthropic", ANTHROPIC, &options)]
    {
        let mut lost = Lost::default();
        let body = encode_request(dialect, request, options, &mut lost);
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        let body = body.as_object_mut().unwrap();
        body.shift_remove("model");
        out.push_str(&format!("{name}:\n"));
        for (key, value) in body {
            match value {
                Value::Array(items) if key == "messages" => {
                    items.iter().for_each(|message| out.push_str(&format!("  {message}\n")));
                }
                value => out.push_str(&format!("  {key}: {value}\n")),
            }
        }
        for (name, fields) in [("dropped", lost.dropped), ("omitted", lost.omitted)] {
            if !fields.is_empty() {
                out.push_str(&format!("  {name}: {}\n", fields.join(", ")));
            }
        }
    }
    expect.assert_eq(&out);
}

fn request(messages: impl IntoIterator<Item = Message>) -> Request {
    Request { model: "m".to_owned(), choices: 1, messages: messages.into_iter().collect(), ..Request::default() }
}

fn message(role: &str, blocks: impl IntoIterator<Item = ContentBlock>) -> Message {
    let content = blocks.into_iter().map(Content::from).collect();
    Message { role: role.to_owned(), content, extras: Extras::NONE }
}

fn text(text: &str) -> ContentBlock {
    ContentBlock::Text(text.to_owned())
}

fn call(id: &str, form: ToolForm, arguments: &str) -> ContentBlock {
    let (id, name) = (id.to_owned(), "f".to_owned());
    let call = ToolCall { id, name, namespace: String::new(), form, type_: String::new() };
    ContentBlock::ToolCall { call, arguments: arguments.to_owned() }
}

fn result(id: &str, is_error: Option<bool>, blocks: impl IntoIterator<Item = ContentBlock>) -> ContentBlock {
    let content = blocks.into_iter().map(Content::from).collect();
    ContentBlock::ToolResult { id: id.to_owned(), is_error, content }
}

fn tool(name: &str, kind: ToolKind) -> Tool {
    Tool { name: name.to_owned(), namespace: String::new(), description: "D".to_owned(), kind, extras: Extras::NONE }
}

fn function(name: &str, schema: Value) -> Tool {
    tool(name, ToolKind::Function { schema, strict: None })
}

fn base64(media_type: &str, data: &str) -> Source {
    Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
}

/// litellm#5063: arguments `""` are `{}`. Text that is no object is not lost. What a model has said is one text in Chat;
/// hermes-agent#11906: an empty text is nothing, and a message that says nothing is none, where that is refused.
#[test]
fn what_a_model_has_said() {
    let said = [text("a"), text(""), text("b"), ContentBlock::Refusal("no".to_owned())];
    let calls = [
        call("c1", ToolForm::Function, ""),
        call("c2", ToolForm::Function, "{\"x\": 1.50, \"a\": \"\\u00e9\"}"),
        call("c3", ToolForm::Function, "cut {"),
        call("c4", ToolForm::Custom, ""),
    ];
    let messages = [
        message("user", [text("hi")]),
        message("assistant", said.into_iter().chain(calls)),
        message("assistant", [text("")]),
        message("assistant", []),
    ];
    check(
        &request(messages),
        expect![[r#"
        openai:
          {"role":"user","content":"hi"}
          {"role":"assistant","content":"ab","refusal":"no","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"f","arguments":"{\"x\": 1.50, \"a\": \"\\u00e9\"}"}},{"id":"c3","type":"function","function":{"name":"f","arguments":"cut {"}},{"id":"c4","type":"custom","custom":{"name":"f","input":""}}]}
          {"role":"assistant","content":""}
          {"role":"assistant","content":""}
        compatible:
          {"role":"user","content":"hi"}
          {"role":"assistant","content":"ab","refusal":"no","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"f","arguments":"{\"x\": 1.50, \"a\": \"\\u00e9\"}"}},{"id":"c3","type":"function","function":{"name":"f","arguments":"cut {"}},{"id":"c4","type":"function","function":{"name":"f","arguments":"{\"input\":\"\"}"}}]}
          {"role":"assistant","content":""}
          {"role":"assistant","content":""}
        anthropic:
          max_tokens: 8192
          {"role":"user","content":"hi"}
          {"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"text","text":"no"},{"type":"tool_use","id":"c1","name":"f","input":{}},{"type":"tool_use","id":"c2","name":"f","input":{"x":1.5,"a":"é"}},{"type":"tool_use","id":"c3","name":"f","input":{"_raw":"cut {"}},{"type":"tool_use","id":"c4","name":"f","input":{"input":""}}]}
          dropped: tool_calls.function.arguments
    "#]],
    );
}

/// claude-code#2697: results come before what else is said with them. agno#4286: what is no text stays what it is.
#[test]
fn results_of_tools() {
    let image = ContentBlock::Image { source: base64("image/png", "AAAA"), detail: String::new() };
    let messages = [
        message("assistant", [call("c1", ToolForm::Function, "{}"), call("c2", ToolForm::Function, "{}")]),
        message("user", [result("c1", Some(true), [text("e")]), text("and"), result("c2", Some(false), [])]),
        message("tool", [result("c3", None, [text("a"), image])]),
    ];
    check(
        &request(messages),
        expect![[r#"
        openai:
          {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"f","arguments":"{}"}}]}
          {"role":"tool","tool_call_id":"c1","content":"e"}
          {"role":"tool","tool_call_id":"c2","content":""}
          {"role":"user","content":"and"}
          {"role":"tool","tool_call_id":"c3","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}
          omitted: is_error
        compatible:
          {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"f","arguments":"{}"}}]}
          {"role":"tool","tool_call_id":"c1","content":"e"}
          {"role":"tool","tool_call_id":"c2","content":""}
          {"role":"user","content":"and"}
          {"role":"tool","tool_call_id":"c3","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}
          omitted: is_error
        anthropic:
          max_tokens: 8192
          {"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}},{"type":"tool_use","id":"c2","name":"f","input":{}}]}
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"e","is_error":true},{"type":"text","text":"and"},{"type":"tool_result","tool_use_id":"c2","is_error":false}]}
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"c3","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}
    "#]],
    );
}

/// Only what is signed by the provider itself may come back to it: claude-code#71111. new-api#4795: some want to read
/// their reasoning again.
#[test]
fn reasoning_of_earlier_answers() {
    let thinking = |text: &str, signature: &str| ContentBlock::Thinking {
        text: text.to_owned(),
        signature: signature.to_owned(),
        id: String::new(),
    };
    let messages = [
        message("assistant", [thinking("a", ""), text("A")]),
        message("assistant", [thinking("b", "SIG"), ContentBlock::RedactedThinking("ENC".to_owned()), text("B")]),
        message("assistant", [thinking("c", "")]),
    ];
    check(
        &request(messages),
        expect![[r#"
            openai:
              {"role":"assistant","content":"A"}
              {"role":"assistant","content":"B","reasoning_details":[{"type":"reasoning.text","text":"b","signature":"SIG","index":0,"format":"anthropic"},{"type":"reasoning.encrypted","data":"ENC"}]}
              omitted: reasoning_content
            compatible:
              {"role":"assistant","content":"A","reasoning_content":"a"}
              {"role":"assistant","content":"B","reasoning_content":"b","reasoning_details":[{"type":"reasoning.text","text":"b","signature":"SIG","index":0,"format":"anthropic"},{"type":"reasoning.encrypted","data":"ENC"}]}
              {"role":"assistant","content":null,"reasoning_content":"c"}
            anthropic:
              max_tokens: 8192
              {"role":"assistant","content":"A"}
              {"role":"assistant","content":[{"type":"thinking","thinking":"b","signature":"SIG"},{"type":"redacted_thinking","data":"ENC"},{"type":"text","text":"B"}]}
              omitted: thinking
        "#]],
    );
}

/// litellm#36559, ollama#18431: instructions stay where they are. AG: each stays a block of its own. skirnir: Anthropic
/// knows them within the conversation. `developer` is not known to all.
#[test]
fn instructions() {
    let mut cached = Content::from(text("two"));
    cached.extras.insert("cache_control", json!({"type": "ephemeral"}));
    let messages =
        [message("user", [text("hi")]), message("system", [text("mid")]), message("developer", [text("dev")])];
    let request = Request { system: vec![text("one").into(), cached], ..request(messages) };
    check(
        &request,
        expect![[r#"
        openai:
          {"role":"system","content":[{"type":"text","text":"one"},{"type":"text","text":"two","cache_control":{"type":"ephemeral"}}]}
          {"role":"user","content":"hi"}
          {"role":"system","content":"mid"}
          {"role":"developer","content":"dev"}
        compatible:
          {"role":"system","content":[{"type":"text","text":"one"},{"type":"text","text":"two","cache_control":{"type":"ephemeral"}}]}
          {"role":"user","content":"hi"}
          {"role":"system","content":"mid"}
          {"role":"system","content":"dev"}
        anthropic:
          max_tokens: 8192
          system: [{"type":"text","text":"one"},{"type":"text","text":"two","cache_control":{"type":"ephemeral"}}]
          {"role":"user","content":"hi"}
          {"role":"system","content":"mid"}
          {"role":"system","content":"dev"}
    "#]],
    );
}

/// LL: a PDF is no picture, whatever it came as. Text is text. What has no counterpart is told of.
#[test]
fn pictures_and_documents() {
    let document = |source, title: &str| ContentBlock::Document { source, title: title.to_owned() };
    let image = |source| ContentBlock::Image { source, detail: "low".to_owned() };
    let blocks = [
        image(base64("image/png", "AAAA")),
        image(Source::Url("https://example.com/a.png".to_owned())),
        document(base64("application/pdf", "JVBERi0="), "p.pdf"),
        document(base64("application/pdf", "JVBERi0="), ""),
        document(base64("image/jpeg", "BBBB"), ""),
        document(base64("text/markdown", "IyBI"), "h.md"),
        document(Source::Text("plain".to_owned()), "Title"),
        document(Source::Url("https://example.com/p.pdf".to_owned()), ""),
        document(Source::FileId("file-1".to_owned()), ""),
        ContentBlock::Audio { data: "CCCC".to_owned(), format: "wav".to_owned() },
    ];
    check(
        &request([message("user", blocks)]),
        expect![[r##"
            openai:
              {"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}},{"type":"file","file":{"filename":"p.pdf","file_data":"data:application/pdf;base64,JVBERi0="}},{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,JVBERi0="}},{"type":"file","file":{"filename":"document.pdf","file_data":"data:image/jpeg;base64,BBBB"}},{"type":"file","file":{"filename":"h.md","file_data":"data:text/markdown;base64,IyBI"}},{"type":"text","text":"Title\nplain"},{"type":"text","text":"https://example.com/p.pdf"},{"type":"file","file":{"file_id":"file-1"}},{"type":"input_audio","input_audio":{"data":"CCCC","format":"wav"}}]}
              dropped: document.source.url
            compatible:
              {"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}},{"type":"file","file":{"filename":"p.pdf","file_data":"data:application/pdf;base64,JVBERi0="}},{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,JVBERi0="}},{"type":"file","file":{"filename":"document.pdf","file_data":"data:image/jpeg;base64,BBBB"}},{"type":"file","file":{"filename":"h.md","file_data":"data:text/markdown;base64,IyBI"}},{"type":"text","text":"Title\nplain"},{"type":"text","text":"https://example.com/p.pdf"},{"type":"file","file":{"file_id":"file-1"}},{"type":"input_audio","input_audio":{"data":"CCCC","format":"wav"}}]}
              dropped: document.source.url
            anthropic:
              max_tokens: 8192
              {"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="},"title":"p.pdf"},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}},{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"BBBB"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"# H"},"title":"h.md"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"},"title":"Title"},{"type":"document","source":{"type":"url","url":"https://example.com/p.pdf"}},{"type":"document","source":{"type":"file","file_id":"file-1"}},{"type":"text","text":"[audio]"}]}
              dropped: input_audio
        "##]],
    );
}

/// litellm#30557: of a tool, only the schema is the schema. A schema is of an object, as all providers require; what else
/// it says is untouched.
#[test]
fn tools() {
    let schema = json!({"$schema": "s", "z": 1, "properties": null, "a": {"exclusiveMinimum": 0}});
    let tools = vec![
        function("none", Value::Null),
        function("some", schema),
        tool("patch", ToolKind::Custom { format: json!({"type": "text"}) }),
        tool("", ToolKind::Hosted(json!({"type": "hosted_1"}))),
    ];
    let request = Request { tools, parallel_tool_calls: Some(false), ..request([]) };
    check(
        &request,
        expect![[r#"
        openai:
          tools: [{"type":"function","function":{"name":"none","description":"D","parameters":{"type":"object","properties":{}}}},{"type":"function","function":{"name":"some","description":"D","parameters":{"$schema":"s","z":1,"properties":{},"a":{"exclusiveMinimum":0},"type":"object"}}},{"type":"custom","custom":{"name":"patch","description":"D","format":{"type":"text"}}},{"type":"hosted_1"}]
          parallel_tool_calls: false
        compatible:
          tools: [{"type":"function","function":{"name":"none","description":"D","parameters":{"type":"object","properties":{}}}},{"type":"function","function":{"name":"some","description":"D","parameters":{"$schema":"s","z":1,"properties":{},"a":{"exclusiveMinimum":0},"type":"object"}}},{"type":"function","function":{"name":"patch","description":"D","parameters":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}},{"type":"hosted_1"}]
          parallel_tool_calls: false
        anthropic:
          max_tokens: 8192
          tools: [{"name":"none","description":"D","input_schema":{"type":"object","properties":{}}},{"name":"some","description":"D","input_schema":{"$schema":"s","z":1,"properties":{},"a":{"exclusiveMinimum":0},"type":"object"}},{"name":"patch","description":"D","input_schema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}},{"type":"hosted_1"}]
          tool_choice: {"type":"auto","disable_parallel_tool_use":true}
    "#]],
    );
}

/// CliRelay#739: where there are no tools there is nothing to choose from.
#[test]
fn choices_of_tools() {
    let choices = [
        (ToolChoice::Auto, Some(false)),
        (ToolChoice::None, Some(false)),
        (ToolChoice::Required, Some(true)),
        (ToolChoice::Named("b".to_owned()), None),
        (ToolChoice::Allowed { required: true, names: vec!["b".to_owned()] }, None),
        (ToolChoice::Allowed { required: false, names: vec!["b".to_owned()] }, None),
    ];
    let mut out = String::new();
    for (choice, parallel) in choices {
        let tools = vec![function("a", Value::Null), tool("b", ToolKind::Custom { format: Value::Null })];
        let mut request = Request { tools, tool_choice: Some(choice), parallel_tool_calls: parallel, ..request([]) };
        for dialect in [CHAT, ANTHROPIC] {
            let body = body(dialect, &request);
            let tools = body["tools"].as_array().unwrap().len();
            out.push_str(&format!("{} {} of {tools}\n", body["tool_choice"], body["parallel_tool_calls"]));
        }
        request.tools.clear();
        for dialect in [CHAT, ANTHROPIC] {
            let body = body(dialect, &request);
            assert!(body.get("tool_choice").or(body.get("parallel_tool_calls")).or(body.get("tools")).is_none());
        }
    }
    expect![[r#"
        "auto" false of 2
        {"type":"auto","disable_parallel_tool_use":true} null of 2
        "none" false of 2
        {"type":"none"} null of 2
        "required" true of 2
        {"type":"any","disable_parallel_tool_use":false} null of 2
        {"type":"custom","custom":{"name":"b"}} null of 2
        {"type":"tool","name":"b"} null of 2
        {"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"custom","custom":{"name":"b"}}]}} null of 2
        {"type":"any"} null of 1
        {"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"custom","custom":{"name":"b"}}]}} null of 2
        {"type":"auto"} null of 1
    "#]].assert_eq(&out);
}

fn body(dialect: Dialect, request: &Request) -> Value {
    let body = encode_request(dialect, request, &UpstreamOptions::default(), &mut Lost::default());
    serde_json::from_slice(&body).unwrap()
}

/// 9router#560: who wants as many tokens as there are doesn't get few. Each provider has its own word for the most.
#[test]
fn how_to_pick_tokens() {
    check(
        &request([]),
        expect![[r#"
        openai:
        compatible:
        anthropic:
          max_tokens: 8192
    "#]],
    );
    let sampling = Sampling {
        max_output_tokens: Some(9),
        temperature: Some(1.0),
        top_p: Some(0.95),
        top_k: Some(5),
        stop: vec!["END".to_owned(), "\n ".to_owned()],
        seed: Some(-1),
        frequency_penalty: Some(0.5),
        presence_penalty: Some(-2.0),
        logprobs: Some(0),
    };
    check(
        &Request { sampling, choices: 2, ..request([]) },
        expect![[r#"
        openai:
          n: 2
          max_completion_tokens: 9
          temperature: 1
          top_p: 0.95
          stop: ["END","\n "]
          seed: -1
          frequency_penalty: 0.5
          presence_penalty: -2
          logprobs: true
          dropped: top_k
        compatible:
          n: 2
          max_tokens: 9
          temperature: 1
          top_p: 0.95
          top_k: 5
          stop: ["END","\n "]
          seed: -1
          frequency_penalty: 0.5
          presence_penalty: -2
          logprobs: true
        anthropic:
          max_tokens: 9
          temperature: 1
          top_p: 0.95
          top_k: 5
          stop_sequences: ["END"]
          dropped: n, stop, seed, frequency_penalty, presence_penalty, logprobs
    "#]],
    );
}

#[test]
fn the_most_tokens_are_the_upstreams_where_the_client_does_not_say() {
    let options = UpstreamOptions { max_output_tokens: Some(64_000), ..UpstreamOptions::default() };
    let body = encode_request(ANTHROPIC, &request([]), &options, &mut Lost::default());
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["max_tokens"], 64_000);
}

#[test]
fn how_to_reason() {
    let mut out = String::new();
    for mode in [
        ReasoningMode::Unset,
        ReasoningMode::Off,
        ReasoningMode::Adaptive,
        ReasoningMode::Budget(500),
        ReasoningMode::Budget(2048),
        ReasoningMode::Budget(9000),
    ] {
        for effort in ["", "none", "minimal", "high"] {
            let reasoning = Reasoning { mode, effort: effort.to_owned(), shown: Some(true) };
            let request = Request { reasoning, ..request([]) };
            let (chat, anthropic) = (body(CHAT, &request), body(ANTHROPIC, &request));
            let of = |body: &Value, key: &str| body.get(key).map(Value::to_string).unwrap_or("-".to_owned());
            out.push_str(&format!(
                "{mode:?} {effort:?}: {} | {} {}\n",
                of(&chat, "reasoning_effort"),
                of(&anthropic, "thinking"),
                of(&anthropic, "output_config")
            ));
        }
    }
    expect![[r#"
        Unset "": - | - -
        Unset "none": "none" | {"type":"disabled"} -
        Unset "minimal": "minimal" | - {"effort":"low"}
        Unset "high": "high" | - {"effort":"high"}
        Off "": - | {"type":"disabled"} -
        Off "none": "none" | {"type":"disabled"} -
        Off "minimal": - | {"type":"disabled"} {"effort":"low"}
        Off "high": - | {"type":"disabled"} {"effort":"high"}
        Adaptive "": - | {"type":"adaptive","display":"summarized"} -
        Adaptive "none": "none" | {"type":"disabled"} -
        Adaptive "minimal": "minimal" | {"type":"adaptive","display":"summarized"} {"effort":"low"}
        Adaptive "high": "high" | {"type":"adaptive","display":"summarized"} {"effort":"high"}
        Budget(500) "": "low" | - -
        Budget(500) "none": "none" | {"type":"disabled"} -
        Budget(500) "minimal": "minimal" | - {"effort":"low"}
        Budget(500) "high": "high" | - {"effort":"high"}
        Budget(2048) "": "medium" | {"type":"enabled","budget_tokens":2048,"display":"summarized"} -
        Budget(2048) "none": "none" | {"type":"disabled"} -
        Budget(2048) "minimal": "minimal" | {"type":"enabled","budget_tokens":2048,"display":"summarized"} {"effort":"low"}
        Budget(2048) "high": "high" | {"type":"enabled","budget_tokens":2048,"display":"summarized"} {"effort":"high"}
        Budget(9000) "": "high" | {"type":"enabled","budget_tokens":8191,"display":"summarized"} -
        Budget(9000) "none": "none" | {"type":"disabled"} -
        Budget(9000) "minimal": "minimal" | {"type":"enabled","budget_tokens":8191,"display":"summarized"} {"effort":"low"}
        Budget(9000) "high": "high" | {"type":"enabled","budget_tokens":8191,"display":"summarized"} {"effort":"high"}
    "#]].assert_eq(&out);
}

#[test]
fn what_else_is_asked_for() {
    let service = ServiceOptions {
        end_user: "u".to_owned(),
        cache_key: "k".to_owned(),
        tier: "auto".to_owned(),
        verbosity: "low".to_owned(),
        store: Some(false),
    };
    let output = OutputFormat::JsonSchema {
        name: String::new(),
        description: String::new(),
        schema: json!({"type": "object", "z": 1, "a": 2}),
        strict: Some(false),
    };
    check(
        &Request { service, output: Some(output), ..request([]) },
        expect![[r#"
        openai:
          response_format: {"type":"json_schema","json_schema":{"name":"response","schema":{"type":"object","z":1,"a":2},"strict":false}}
          safety_identifier: "u"
          prompt_cache_key: "k"
          service_tier: "auto"
          verbosity: "low"
          store: false
        compatible:
          response_format: {"type":"json_schema","json_schema":{"name":"response","schema":{"type":"object","z":1,"a":2},"strict":false}}
          user: "u"
          prompt_cache_key: "k"
          service_tier: "auto"
          store: false
          omitted: verbosity
        anthropic:
          max_tokens: 8192
          output_config: {"format":{"type":"json_schema","schema":{"type":"object","z":1,"a":2}}}
          metadata: {"user_id":"u"}
          service_tier: "auto"
          omitted: response_format.json_schema.strict, prompt_cache_key, verbosity, store
    "#]],
    );
    check(
        &Request { output: Some(OutputFormat::JsonObject), ..request([]) },
        expect![[r#"
        openai:
          response_format: {"type":"json_object"}
        compatible:
          response_format: {"type":"json_object"}
        anthropic:
          max_tokens: 8192
          dropped: response_format
    "#]],
    );
}

fn decoded(dialect: Dialect, body: Value) -> Request {
    decode_request(dialect, Bytes::from(body.to_string())).unwrap().request
}

/// A picture's URL alone, without an object; a PDF as a picture; the larger of the two limits; a stop that is no list; the
/// older name of the client's user.
#[test]
fn what_chat_says_in_several_ways() {
    let content = json!([{"type": "image_url", "image_url": "https://example.com/a.png"},
        {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0="}}]);
    let body = json!({"model": "m", "max_tokens": 5, "max_completion_tokens": 7, "stop": "END", "user": "u",
        "messages": [{"role": "user", "content": content},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"z": 1, "a": 2}}}]}]});
    let request = decoded(CHAT, body);
    assert_eq!(request.sampling.max_output_tokens, Some(7));
    assert_eq!(request.sampling.stop, ["END"]);
    assert_eq!(request.service.end_user, "u");
    let url = Source::Url("https://example.com/a.png".to_owned());
    assert_eq!(request.messages[0].content[0].block, ContentBlock::Image { source: url, detail: String::new() });
    let pdf = base64("application/pdf", "JVBERi0=");
    assert_eq!(request.messages[0].content[1].block, ContentBlock::Document { source: pdf, title: String::new() });
    let ContentBlock::ToolCall { arguments, .. } = &request.messages[1].content[0].block else { panic!("no call") };
    assert_eq!(arguments, r#"{"z":1,"a":2}"#);
}

/// litellm#30557: `custom` is Anthropic's word for a function. AG: other types are the provider's, or known to the model.
#[test]
fn what_anthropic_says_in_several_ways() {
    let body = json!({"model": "m", "max_tokens": 5, "messages": [],
        "tools": [{"name": "a", "input_schema": {"type": "object"}, "type": "custom"},
            {"name": "b", "input_schema": {"type": "object"}, "type": null}, {"name": "c", "type": "bash_20250124"}],
        "output_format": {"type": "json_schema", "schema": {}}, "thinking": {"type": "between_tools"},
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true}});
    let request = decoded(ANTHROPIC, body);
    let is_function = |tool: &Tool| matches!(tool.kind, ToolKind::Function { .. });
    assert_eq!(request.tools.iter().map(is_function).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(ToolChoice::Required), Some(false)));
    assert!(matches!(request.output, Some(OutputFormat::JsonSchema { .. })));
    assert_eq!(request.reasoning, Reasoning::default());
    assert_eq!(request.extras.to_text(), r#"{"thinking":{"type":"between_tools"}}"#);
}
