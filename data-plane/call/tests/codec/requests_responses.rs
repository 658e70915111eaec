//! Requests of OpenAI Responses: read, written, and read again.

use bytes::Bytes;
use expect_test::{Expect, expect};
use luthien_call::dialect::{ClientRequest, Lost, UpstreamOptions, decode_request, echo, encode_request};
use luthien_proto::{
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{
        Content, ContentBlock, Dialect, Message, OutputFormat, Reasoning, ReasoningMode, Request, Sampling, Source,
        Tool, ToolChoice, ToolKind,
    },
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Value, json};

fn decode(body: &Value) -> Request {
    read(body).request
}

fn read(body: &Value) -> ClientRequest {
    decode_request(Dialect::OpenAiResponses, Bytes::from(body.to_string())).unwrap()
}

fn encode(request: &Request) -> (Value, Lost) {
    let mut lost = Lost::default();
    let body = encode_request(Dialect::OpenAiResponses, request, &UpstreamOptions::default(), &mut lost);
    (serde_json::from_slice(&body).unwrap(), lost)
}

/// Decodes, and checks that what is written of it means the same.
fn understood(body: &Value) -> Request {
    let request = decode(body);
    let (written, lost) = encode(&request);
    assert_eq!(decode(&written), request, "{written}");
    assert_eq!(lost, Lost::default());
    request
}

/// A body that is written as it came, but for the order of its fields.
fn kept(body: &Value) -> Request {
    let request = understood(body);
    assert_eq!(encode(&request).0, *body);
    request
}

fn check_written(request: &Request, expect: Expect) {
    let (body, lost) = encode(request);
    expect.assert_eq(&format!("{body:#}\n{lost:?}\n"));
}

fn text(text: &str) -> Content {
    ContentBlock::Text(text.to_owned()).into()
}

fn message(role: &str, content: Vec<Content>) -> Message {
    Message { role: role.to_owned(), content, extras: Extras::NONE }
}

fn extras(value: Value) -> Extras {
    Extras::from(value.as_object().cloned().unwrap())
}

fn call(id: &str, name: &str, namespace: &str, form: ToolForm) -> ToolCall {
    let [id, name, namespace] = [id, name, namespace].map(str::to_owned);
    ToolCall { id, name, namespace, form, type_: String::new() }
}

/// A turn of Codex with everything that it sends.
fn codex() -> Value {
    let grammar = "start: begin_patch hunk+ end_patch\nbegin_patch: \"*** Begin Patch\" LF";
    json!({
        "model": "gpt-5-codex",
        "instructions": "You are Codex.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "<environment_context>"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"}]},
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA1",
                "summary": [{"type": "summary_text", "text": "**Looking**\n\nat the files"}]},
            {"type": "reasoning", "encrypted_content": "gAAAA2", "summary": [
                {"type": "summary_text", "text": "**One**"}, {"type": "summary_text", "text": "**Two**"}]},
            {"type": "message", "role": "assistant", "phase": "commentary", "id": "msg_1",
                "content": [{"type": "output_text", "text": "I'll look.", "annotations": []}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell",
                "arguments": "{\"command\":[\"ls\", \"-la\"]}"},
            {"type": "function_call", "call_id": "call_2", "name": "search", "namespace": "mcp__docs__",
                "arguments": "{\"q\":\"x\"}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "{\"output\":\"a.rs\"}"},
            {"type": "function_call_output", "call_id": "call_2", "output": [
                {"type": "input_text", "text": "found"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "auto"}]},
            {"type": "custom_tool_call", "status": "completed", "call_id": "call_3", "name": "apply_patch",
                "input": "*** Begin Patch\n*** End Patch"},
            {"type": "custom_tool_call_output", "call_id": "call_3", "output": "Done!"},
            {"type": "custom_tool_call", "call_id": "call_4", "name": "apply_patch", "input": ""},
            {"type": "custom_tool_call_output", "call_id": "call_4", "output": ""},
            {"type": "local_shell_call", "call_id": "call_5", "status": "completed",
                "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
            {"type": "compaction", "encrypted_content": "gAAAA3"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go on."}]}
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "Runs a command.", "strict": false,
                "parameters": {"type": "object", "properties": {"command": {"type": "array", "items": {"type": "string"}}},
                    "required": ["command"], "additionalProperties": false}},
            {"type": "custom", "name": "apply_patch", "description": "Edits files.",
                "format": {"type": "grammar", "syntax": "lark", "definition": grammar}},
            {"type": "namespace", "name": "mcp__docs__", "description": "Documentation.", "tools": [
                {"type": "function", "name": "search", "description": "Searches.", "strict": false,
                    "defer_loading": true, "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}},
                {"type": "function", "name": "fetch", "strict": false, "parameters": {"type": "object", "properties": {}}}]},
            {"type": "web_search", "external_web_access": true}
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": true,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": false,
        "stream": true,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "019a-thread",
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "out", "strict": true,
            "schema": {"type": "object", "properties": {"z": {}, "a": {}}}}}
    })
}

#[test]
fn a_turn_of_codex_is_written_as_it_came() {
    let request = kept(&codex());
    let roles: Vec<_> = request.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(
        roles,
        [
            "developer",
            "user",
            "assistant",
            "assistant",
            "assistant",
            "assistant",
            "assistant",
            "tool",
            "tool",
            "assistant",
            "tool",
            "assistant",
            "tool",
            "",
            "",
            "",
            "user"
        ]
    );
    let blocks: Vec<_> = request.messages.into_iter().map(|mut message| message.content.remove(0)).collect();
    let thinking = |text: &str, signature: &str, id: &str| {
        let [text, signature, id] = [text, signature, id].map(str::to_owned);
        ContentBlock::Thinking { text, signature, id }
    };
    assert_eq!(blocks[2], thinking("**Looking**\n\nat the files", "gAAAA1", "rs_1").into());
    assert_eq!(blocks[3].block, thinking("**One**\n\n**Two**", "gAAAA2", ""));
    let arguments = r#"{"command":["ls", "-la"]}"#.to_owned();
    let shell = ContentBlock::ToolCall { call: call("call_1", "shell", "", ToolForm::Function), arguments };
    assert_eq!(blocks[5], Content { block: shell, extras: extras(json!({"id": "fc_1"})) });
    let search = call("call_2", "search", "mcp__docs__", ToolForm::Function);
    assert_eq!(blocks[6], ContentBlock::ToolCall { call: search, arguments: r#"{"q":"x"}"#.to_owned() }.into());
    let image =
        ContentBlock::Image { source: Source::Url("https://example.com/a.png".to_owned()), detail: String::new() };
    let content = vec![text("found"), image.into()];
    assert_eq!(blocks[8], ContentBlock::ToolResult { id: "call_2".to_owned(), is_error: None, content }.into());
    let empty = ContentBlock::ToolResult { id: "call_4".to_owned(), is_error: None, content: Vec::new() };
    assert_eq!(blocks[12], empty.into());
    let tools: Vec<_> = request.tools.iter().map(|tool| (tool.namespace.as_str(), tool.name.as_str())).collect();
    assert_eq!(
        tools,
        [("", "shell"), ("", "apply_patch"), ("mcp__docs__", "search"), ("mcp__docs__", "fetch"), ("", "")]
    );
    let reasoning = Reasoning { mode: ReasoningMode::Unset, effort: "medium".to_owned(), shown: Some(true) };
    assert_eq!(request.reasoning, reasoning);
    assert_eq!(request.extras, extras(json!({"include": ["reasoning.encrypted_content"]})));
}

#[test]
fn the_fixture_is_understood() {
    understood(
        &serde_json::from_str(include_str!("../../../../tests/fixtures/openai-responses/request.json")).unwrap(),
    );
}

#[test]
fn every_field_finds_its_place_and_comes_back() {
    let request = kept(
        &json!({
            "model": "m", "stream": false, "input": [], "background": true, "conversation": {"id": "conv_1"},
            "max_output_tokens": 5, "max_tool_calls": 3, "temperature": 0.5, "top_p": 0.25,
            "include": ["message.output_text.logprobs", "x"], "top_logprobs": 4,
            "metadata": {"a": "b"}, "user": "u", "service_tier": "flex", "store": true, "truncation": "auto",
            "prompt_cache_key": "k", "prompt_cache_retention": "24h", "stream_options": {"include_obfuscation": false},
            "prompt": {"id": "pmpt_1", "variables": {}}, "context_management": [{"type": "compaction"}],
            "reasoning": {"effort": "none", "summary": "detailed", "context": "all_turns", "x": 1},
            "text": {"format": {"type": "text"}, "x": 2}, "x": {"y": 3}
        })
        .as_object()
        .map(|body| {
            let mut body = body.clone();
            body.remove("input");
            Value::Object(body)
        })
        .unwrap(),
    );
    assert_eq!(request.messages, []);
    let sampling = Sampling {
        max_output_tokens: Some(5),
        temperature: Some(0.5),
        top_p: Some(0.25),
        logprobs: Some(4),
        ..Sampling::default()
    };
    assert_eq!(request.sampling, sampling);
    assert_eq!(request.service.end_user, "u");
    assert_eq!(request.reasoning.mode, ReasoningMode::Off);
    assert_eq!(request.output, Some(OutputFormat::Text));
    let both = kept(&json!({"model": "m", "stream": false, "user": "u", "safety_identifier": "u"}));
    assert_eq!(both.service.end_user, "u");
}

#[test]
fn what_says_nothing_is_not_kept() {
    let body = json!({"model": "m", "input": null, "instructions": null, "previous_response_id": null, "tools": null,
        "text": null, "reasoning": {"effort": null, "summary": null}, "user": null, "x": null});
    assert_eq!(understood(&body), Request { model: "m".to_owned(), choices: 1, ..Request::default() });
}

#[test]
fn only_the_model_has_to_be_there() {
    let read = |body: &str| decode_request(Dialect::OpenAiResponses, Bytes::copy_from_slice(body.as_bytes()));
    assert_eq!(read("{}").unwrap_err().to_string(), "model: expected a string, it is missing");
    assert_eq!(read(r#"{"model":5}"#).unwrap_err().to_string(), "model: expected a string, found a number");
    for rest in
        [r#""input":5"#, r#""input":{}"#, r#""input":[null,1,"x",{},[]]"#, r#""tools":{},"text":1,"reasoning":[]"#]
    {
        understood(&serde_json::from_str(&format!(r#"{{"model":"m",{rest}}}"#)).unwrap());
    }
}

#[test]
fn only_the_models_name_changes_on_the_way_upstream() {
    let read = read(&json!({"input": "model", "model": "fast", "temperature": 1.50}));
    assert_eq!(read.upstream_body("m\"2"), r#"{"input":"model","model":"m\"2","temperature":1.5}"#);
}

#[test]
fn messages_may_be_told_shortly() {
    let request = understood(&json!({"model": "m", "input": "Hi"}));
    assert_eq!(request.messages, [message("user", vec![text("Hi")])]);
    let request = understood(&json!({"model": "m", "instructions": "S", "input": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}, {"role": "user", "content": []}]}));
    assert_eq!(request.system, [text("S")]);
    let said = [("user", vec![text("Hi")]), ("assistant", vec![text("Ho")]), ("user", vec![])];
    assert_eq!(request.messages, said.map(|(role, content)| message(role, content)));
}

#[test]
fn parts_of_every_type() {
    let parts = json!([
        {"type": "input_text", "text": "T", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "output_text", "text": "O"},
        {"type": "text", "text": "X"},
        {"type": "input_image", "file_id": "file_1", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        {"type": "input_file", "file_data": "JVBERi0="},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_file", "file_id": "file_2", "detail": "low"},
        {"type": "input_file", "file_data": "data:,plain"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav", "x": 1}},
        {"type": "refusal", "refusal": "No."},
        {"type": "input_video", "x": 1},
        5
    ]);
    let body = json!({"model": "m", "stream": false, "input": [{"type": "message", "role": "user", "content": parts}]});
    let request = kept(&body);
    let [message] = &request.messages[..] else { panic!("{request:?}") };
    let shown: Vec<_> = message.content.iter().map(|part| format!("{:?} {:?}\n", part.block, part.extras)).collect();
    expect![[r#"
        Text("T") {"prompt_cache_breakpoint":{"mode":"explicit"}}
        Text("O") {"type":"output_text"}
        Text("X") {"type":"text"}
        Image { source: FileId("file_1"), detail: "low" } {}
        Document { source: Base64 { media_type: "application/pdf", data: "JVBERi0=" }, title: "a.pdf" } {}
        Document { source: Base64 { media_type: "", data: "JVBERi0=" }, title: "" } {"filename":null}
        Document { source: Url("https://example.com/a.pdf"), title: "" } {}
        Document { source: FileId("file_2"), title: "" } {"detail":"low"}
        Opaque(Object {"type": String("input_file"), "file_data": String("data:,plain")}) {}
        Audio { data: "UklGRg==", format: "wav" } {"input_audio":{"x":1}}
        Refusal("No.") {}
        Opaque(Object {"type": String("input_video"), "x": Number(1)}) {}
        Opaque(Number(5)) {}
    "#]]
    .assert_eq(&shown.concat());
}

#[test]
fn a_picture_may_be_told_as_in_openai_chat() {
    let image = |part: Value| {
        let body = json!({"model": "m", "input": [{"role": "user", "content": [part]}]});
        understood(&body).messages[0].content[0].clone()
    };
    let url = "https://example.com/a.png";
    let nested = image(json!({"type": "input_image", "image_url": {"url": url, "detail": "low"}}));
    assert_eq!(nested, image(json!({"type": "input_image", "image_url": url, "detail": "low"})));
    let odd = json!({"type": "input_image", "image_url": {"url": url, "x": 1}});
    assert_eq!(image(odd.clone()).block, ContentBlock::Opaque(odd));
}

#[test]
fn what_is_no_picture_is_a_document() {
    let url = "data:application/pdf;base64,JVBERi0=";
    let part = json!({"type": "input_image", "image_url": url, "detail": "auto"});
    let request = understood(&json!({"model": "m", "input": [{"role": "user", "content": [part]}]}));
    let written = json!([{"type": "input_file", "filename": "document.pdf", "file_data": url, "detail": "auto"}]);
    assert_eq!(encode(&request).0["input"][0]["content"], written);
}

#[test]
fn reasoning_is_kept_in_its_pieces() {
    let items = json!([
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "unsigned"}]},
        {"type": "reasoning", "summary": [], "content": [
            {"type": "reasoning_text", "text": "A"}, {"type": "reasoning_text", "text": "B"}]},
        {"type": "reasoning", "id": "rs_2", "encrypted_content": "E", "status": "completed",
            "summary": [{"type": "summary_text", "text": "S", "x": 1}],
            "content": [{"type": "reasoning_text", "text": "whole"}]},
        {"type": "reasoning", "summary": "none"},
        {"type": "reasoning"}
    ]);
    let request = kept(&json!({"model": "m", "stream": false, "input": items}));
    let texts: Vec<_> = request
        .messages
        .iter()
        .map(|message| match &message.content[0].block {
            ContentBlock::Thinking { text, .. } => text.as_str(),
            _ => "?",
        })
        .collect();
    assert_eq!(texts, ["", "unsigned", "A\n\nB", "S", "?", "?"]);
}

#[test]
fn reasoning_that_was_changed_is_written_as_it_is_now() {
    let mut request = decode(&json!({"model": "m", "input": [{"type": "reasoning", "encrypted_content": "E",
        "summary": [{"type": "summary_text", "text": "A"}, {"type": "summary_text", "text": "B"}]}]}));
    if let ContentBlock::Thinking { text, .. } = &mut request.messages[0].content[0].block {
        *text = "C".to_owned();
    }
    assert_eq!(
        encode(&request).0["input"],
        json!([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "C"}], "encrypted_content": "E"}])
    );
}

#[test]
fn tools_and_the_choice_among_them() {
    let tools = json!([
        {"type": "function", "name": "f", "parameters": null, "strict": null},
        {"type": "function", "name": "g", "parameters": {"type": "object"}, "strict": true},
        {"type": "custom", "name": "c"},
        {"type": "namespace", "name": "n", "description": "N", "x": 1, "tools": [
            {"type": "custom", "name": "d", "format": {"type": "text"}}, {"type": "mcp"},
            {"type": "function", "name": "h", "namespace": "?"}, 5]},
        {"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "e"}]},
        {"type": "namespace", "name": "empty", "tools": []},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "function"},
        null
    ]);
    for (choice, known) in [
        (json!("required"), Some(ToolChoice::Required)),
        (json!({"type": "function", "name": "f"}), Some(ToolChoice::Named("f".to_owned()))),
        (json!({"type": "custom", "name": "c"}), Some(ToolChoice::Named("c".to_owned()))),
        (json!({"type": "custom", "name": "f"}), None),
        (json!({"type": "function", "name": "h", "namespace": "n"}), None),
        (json!({"type": "file_search"}), None),
        (json!("x"), None),
        (
            json!({"type": "allowed_tools", "mode": "required",
                "tools": [{"type": "function", "name": "g"}, {"type": "custom", "name": "d"}]}),
            Some(ToolChoice::Allowed { required: true, names: vec!["g".to_owned(), "d".to_owned()] }),
        ),
        (json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "s"}]}), None),
    ] {
        let request = kept(&json!({"model": "m", "stream": false, "tools": tools, "tool_choice": choice}));
        assert_eq!(request.tool_choice, Some(known.unwrap_or(ToolChoice::Opaque(choice))));
        assert_eq!(request.tools.len(), 12);
    }
}

#[test]
fn an_output_has_the_form_of_its_call() {
    for (call, output) in [
        ("function_call", "function_call_output"),
        ("custom_tool_call", "custom_tool_call_output"),
        ("function_call", "custom_tool_call_output"),
        ("custom_tool_call", "function_call_output"),
    ] {
        let arguments = if call == "function_call" { "arguments" } else { "input" };
        kept(&json!({"model": "m", "stream": false, "input": [
            {"type": call, "call_id": "a", "name": "f", arguments: "{}"},
            {"type": output, "call_id": "a", "output": "1"},
            {"type": output, "call_id": "of an earlier turn", "output": "2"}]}));
    }
}

/// A request as other dialects tell it: turns of many blocks, without anything of this dialect's own.
#[test]
fn a_foreign_request_becomes_items() {
    let function = |name: &str, schema| Tool {
        name: name.to_owned(),
        namespace: String::new(),
        description: String::new(),
        kind: ToolKind::Function { schema, strict: None },
        extras: Extras::NONE,
    };
    let result =
        |id: &str, is_error, content| Content::from(ContentBlock::ToolResult { id: id.to_owned(), is_error, content });
    let image = ContentBlock::Image {
        source: Source::Base64 { media_type: "image/png".to_owned(), data: "iVBO".to_owned() },
        detail: String::new(),
    };
    let pdf = ContentBlock::Document {
        source: Source::Base64 { media_type: "application/pdf".to_owned(), data: "JVBE".to_owned() },
        title: String::new(),
    };
    let notes = ContentBlock::Document { source: Source::Text("Text".to_owned()), title: "Notes".to_owned() };
    let thinking = |signature: &str| {
        let [text, signature, id] = ["T", signature, ""].map(str::to_owned);
        ContentBlock::Thinking { text, signature, id }
    };
    let call = |id, form, arguments: &str| {
        Content::from(ContentBlock::ToolCall { call: call(id, "f", "", form), arguments: arguments.to_owned() })
    };
    let request = Request {
        model: "m".to_owned(),
        choices: 1,
        system: vec![text("A"), text("B")],
        messages: vec![
            message("user", vec![text("Hi"), image.clone().into(), pdf.into(), notes.into()]),
            message(
                "assistant",
                vec![
                    thinking("sig").into(),
                    text("I'll"),
                    text("see"),
                    call("a", ToolForm::Function, ""),
                    call("b", ToolForm::Custom, ""),
                    thinking("").into(),
                    ContentBlock::RedactedThinking("data".to_owned()).into(),
                    text("more"),
                ],
            ),
            message(
                "user",
                vec![result("a", Some(true), vec![text("1"), image.into()]), result("b", None, vec![]), text("So?")],
            ),
        ],
        tools: vec![function("f", Value::Null), function("g", json!({"type": "object"}))],
        sampling: Sampling {
            stop: vec!["END".to_owned()],
            seed: Some(1),
            top_k: Some(5),
            frequency_penalty: Some(0.5),
            presence_penalty: Some(0.5),
            logprobs: Some(2),
            ..Sampling::default()
        },
        reasoning: Reasoning { mode: ReasoningMode::Budget(4096), effort: String::new(), shown: Some(true) },
        output: Some(OutputFormat::JsonSchema {
            name: String::new(),
            description: String::new(),
            schema: json!({"type": "object"}),
            strict: None,
        }),
        extras: extras(json!({"include": ["reasoning.encrypted_content"]})),
        ..Request::default()
    };
    check_written(
        &request,
        expect![[r#"
        {
          "model": "m",
          "input": [
            {
              "type": "message",
              "role": "developer",
              "content": [
                {
                  "type": "input_text",
                  "text": "A"
                },
                {
                  "type": "input_text",
                  "text": "B"
                }
              ]
            },
            {
              "type": "message",
              "role": "user",
              "content": [
                {
                  "type": "input_text",
                  "text": "Hi"
                },
                {
                  "type": "input_image",
                  "image_url": "data:image/png;base64,iVBO",
                  "detail": "auto"
                },
                {
                  "type": "input_file",
                  "filename": "document.pdf",
                  "file_data": "data:application/pdf;base64,JVBE"
                },
                {
                  "type": "input_text",
                  "text": "Notes\n\nText"
                }
              ]
            },
            {
              "type": "reasoning",
              "summary": [
                {
                  "type": "summary_text",
                  "text": "T"
                }
              ],
              "encrypted_content": "sig"
            },
            {
              "type": "message",
              "role": "assistant",
              "content": [
                {
                  "type": "output_text",
                  "text": "I'll"
                },
                {
                  "type": "output_text",
                  "text": "see"
                }
              ]
            },
            {
              "type": "function_call",
              "call_id": "a",
              "name": "f",
              "arguments": "{}"
            },
            {
              "type": "custom_tool_call",
              "call_id": "b",
              "name": "f",
              "input": ""
            },
            {
              "type": "reasoning",
              "summary": [],
              "encrypted_content": "data"
            },
            {
              "type": "message",
              "role": "assistant",
              "content": [
                {
                  "type": "output_text",
                  "text": "more"
                }
              ]
            },
            {
              "type": "function_call_output",
              "call_id": "a",
              "output": [
                {
                  "type": "input_text",
                  "text": "1"
                },
                {
                  "type": "input_image",
                  "image_url": "data:image/png;base64,iVBO",
                  "detail": "auto"
                }
              ]
            },
            {
              "type": "custom_tool_call_output",
              "call_id": "b",
              "output": ""
            },
            {
              "type": "message",
              "role": "user",
              "content": [
                {
                  "type": "input_text",
                  "text": "So?"
                }
              ]
            }
          ],
          "tools": [
            {
              "type": "function",
              "name": "f",
              "parameters": {
                "type": "object",
                "properties": {}
              },
              "strict": false
            },
            {
              "type": "function",
              "name": "g",
              "parameters": {
                "type": "object"
              },
              "strict": false
            }
          ],
          "top_logprobs": 2,
          "reasoning": {
            "effort": "medium",
            "summary": "auto"
          },
          "text": {
            "format": {
              "type": "json_schema",
              "name": "response",
              "schema": {
                "type": "object"
              }
            }
          },
          "include": [
            "reasoning.encrypted_content",
            "message.output_text.logprobs"
          ],
          "stream": false
        }
        Lost { dropped: ["stop", "seed", "frequency_penalty", "presence_penalty", "top_k"], omitted: ["reasoning", "is_error"] }
    "#]],
    );
}

#[test]
fn effort_is_told_from_how_reasoning_is_limited() {
    for (mode, effort, written) in [
        (ReasoningMode::Unset, "", None),
        (ReasoningMode::Unset, "xhigh", Some("xhigh")),
        (ReasoningMode::Off, "high", Some("none")),
        (ReasoningMode::Adaptive, "", None),
        (ReasoningMode::Adaptive, "max", Some("max")),
        (ReasoningMode::Budget(1024), "", Some("low")),
        (ReasoningMode::Budget(2048), "", Some("medium")),
        (ReasoningMode::Budget(8192), "", Some("high")),
        (ReasoningMode::Budget(8192), "low", Some("low")),
    ] {
        let reasoning = Reasoning { mode, effort: effort.to_owned(), shown: Some(false) };
        let body = encode(&Request { reasoning, ..Request::default() }).0;
        assert_eq!(
            body.get("reasoning").cloned(),
            written.map(|effort| json!({"effort": effort})),
            "{mode:?} {effort}"
        );
    }
}

fn echoed(body: &Value) -> Value {
    Value::Object(echo(Dialect::OpenAiResponses, &decode(body)).into_map())
}

#[test]
fn a_response_repeats_what_was_asked_for() {
    let mut body = codex();
    body["metadata"] = json!({"a": "b"});
    body["user"] = json!("u");
    let repeated = echoed(&body);
    for key in [
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "instructions",
        "reasoning",
        "text",
        "store",
        "prompt_cache_key",
        "metadata",
        "user",
    ] {
        assert_eq!(repeated[key], body[key], "{key}");
    }
    assert!(repeated.get("input").is_none() && repeated.get("include").is_none() && repeated.get("model").is_none());
    let bare = echoed(&json!({"model": "m"}));
    expect![[r#"{"background":false,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":false,"temperature":null,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":null,"truncation":"disabled","metadata":{}}"#]].assert_eq(&bare.to_string());
}

proptest! {
    #[test]
    fn what_is_written_means_the_same(body in request()) {
        understood(&body);
    }
}

fn request() -> impl Strategy<Value = Value> {
    let input = prop_oneof![word().prop_map(Value::from), vec(item(), 0..8).prop_map(Value::from)];
    let conversation = [("input", input.boxed()), ("instructions", word().prop_map(Value::from).boxed())];
    let options = [
        ("stream", any::<bool>().prop_map(Value::from).boxed()),
        ("tools", vec(prop_oneof![3 => tool(), 1 => group()], 0..5).prop_map(Value::from).boxed()),
        ("tool_choice", choice().boxed()),
        ("parallel_tool_calls", any::<bool>().prop_map(Value::from).boxed()),
        ("max_output_tokens", (0..100u32).prop_map(Value::from).boxed()),
        ("temperature", (0.0..2.0f64).prop_map(Value::from).boxed()),
        ("top_p", (0.0..1.0f64).prop_map(Value::from).boxed()),
        ("top_logprobs", (0..5u32).prop_map(Value::from).boxed()),
        ("include", vec(select(["message.output_text.logprobs", "x"]), 0..3).prop_map(Value::from).boxed()),
        (
            "reasoning",
            object([("effort", word()), ("summary", select(["auto", "detailed"])), ("x", anything())]).boxed(),
        ),
        ("text", object([("format", format()), ("verbosity", word()), ("x", anything())]).boxed()),
        ("store", any::<bool>().prop_map(Value::from).boxed()),
        ("safety_identifier", anything()),
        ("user", anything()),
        ("prompt_cache_key", anything()),
        ("service_tier", anything()),
        ("metadata", anything()),
        ("previous_response_id", anything()),
        ("x", anything()),
    ];
    let fields = conversation.into_iter().chain(options).map(|(key, value)| field(key, value));
    fields.collect::<Vec<_>>().prop_map(|fields| {
        let mut body = Map::from_iter([("model".to_owned(), Value::from("m"))]);
        body.extend(fields.into_iter().flatten());
        Value::Object(body)
    })
}

fn item() -> BoxedStrategy<Value> {
    let content = || prop_oneof![word().prop_map(Value::from), vec(part(), 0..4).prop_map(Value::from)].boxed();
    let id = || select(["a", "b"]);
    prop_oneof![
        object([
            ("type", select(["message"])),
            ("role", select(["user", "assistant", "system", "x"])),
            ("content", content()),
            ("phase", anything()),
            ("x", anything())
        ]),
        object([
            ("type", select(["function_call"])),
            ("call_id", id()),
            ("name", word()),
            ("namespace", word()),
            ("arguments", select(["{}", "{\"x\": 1}", "}", ""])),
            ("id", word())
        ]),
        object([
            ("type", select(["custom_tool_call"])),
            ("call_id", id()),
            ("name", word()),
            ("input", word()),
            ("x", anything())
        ]),
        object([
            ("type", select(["function_call_output", "custom_tool_call_output"])),
            ("call_id", id()),
            ("output", content()),
            ("x", anything())
        ]),
        object([
            ("type", select(["reasoning"])),
            ("id", word()),
            ("encrypted_content", word()),
            ("x", anything()),
            ("summary", texts("summary_text")),
            ("content", texts("reasoning_text"))
        ]),
        object([
            ("type", select(["item_reference", "compaction", "additional_tools"])),
            ("role", word()),
            ("x", anything())
        ]),
        anything(),
    ]
    .boxed()
}

fn texts(type_: &'static str) -> BoxedStrategy<Value> {
    vec(object([("type", select([type_])), ("text", word()), ("x", anything())]), 0..3).prop_map(Value::from).boxed()
}

fn part() -> BoxedStrategy<Value> {
    let data = || {
        select(["iVBO", "data:application/pdf;base64,JVBE", "data:image/png;x=1;base64,iVBO", "data:,x", "https://x/y"])
    };
    prop_oneof![
        object([("type", select(["input_text", "output_text", "text"])), ("text", word()), ("x", anything())]),
        object([("type", select(["refusal"])), ("refusal", word())]),
        object([
            ("type", select(["input_image"])),
            ("image_url", data()),
            ("file_id", word()),
            ("detail", select(["auto", "low"])),
            ("x", anything())
        ]),
        object([
            ("type", select(["input_file"])),
            ("file_data", data()),
            ("file_url", data()),
            ("file_id", word()),
            ("filename", word())
        ]),
        object([
            ("type", select(["input_audio"])),
            ("input_audio", object([("data", word()), ("format", word()), ("x", anything())]))
        ]),
        anything(),
    ]
    .boxed()
}

fn tool() -> BoxedStrategy<Value> {
    prop_oneof![
        object([
            ("type", select(["function"])),
            ("name", select(["a", "b"])),
            ("description", word()),
            ("parameters", word().prop_map(|word| json!({"type": "object", "properties": {}, "x": word})).boxed()),
            ("strict", any::<bool>().prop_map(Value::from).boxed()),
            ("namespace", word())
        ]),
        object([("type", select(["custom"])), ("name", select(["a", "b"])), ("format", anything()), ("x", anything())]),
        object([("type", select(["web_search"])), ("x", anything())]),
        anything(),
    ]
    .boxed()
}

fn group() -> BoxedStrategy<Value> {
    object([
        ("type", select(["namespace"])),
        ("name", select(["n", "m"])),
        ("description", word()),
        ("x", anything()),
        ("tools", vec(tool(), 0..3).prop_map(Value::from).boxed()),
    ])
}

fn choice() -> BoxedStrategy<Value> {
    let named = || object([("type", select(["function", "custom"])), ("name", select(["a", "b"]))]);
    prop_oneof![
        select(["auto", "none", "required", "x"]),
        named(),
        object([
            ("type", select(["allowed_tools"])),
            ("mode", select(["auto", "required", "x"])),
            ("tools", vec(named(), 0..3).prop_map(Value::from).boxed())
        ]),
        anything(),
    ]
    .boxed()
}

fn format() -> BoxedStrategy<Value> {
    object([
        ("type", select(["text", "json_object", "json_schema", "grammar"])),
        ("name", word()),
        ("schema", anything()),
        ("description", word()),
        ("strict", any::<bool>().prop_map(Value::from).boxed()),
        ("x", anything()),
    ])
}

/// Some of the fields.
fn object<const N: usize>(fields: [(&'static str, BoxedStrategy<Value>); N]) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields.into_iter().map(|(key, value)| field(key, value)).collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect())).boxed()
}

fn field(key: &'static str, value: BoxedStrategy<Value>) -> BoxedStrategy<Option<(String, Value)>> {
    option::weighted(0.8, value).prop_map(move |value| value.map(|value| (key.to_owned(), value))).boxed()
}

fn select<const N: usize>(words: [&'static str; N]) -> BoxedStrategy<Value> {
    prop::sample::select(words.to_vec()).prop_map(Value::from).boxed()
}

fn word() -> BoxedStrategy<Value> {
    prop_oneof![8 => "[a-zé\n]{0,4}".prop_map(Value::from), 1 => Just(Value::Null)].boxed()
}

fn anything() -> BoxedStrategy<Value> {
    prop_oneof![
        word(),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        vec(word(), 0..2).prop_map(Value::from),
        word().prop_map(|value| json!({"y": value})),
    ]
    .boxed()
}
