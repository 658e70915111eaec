//! Golden cases of requests to gemini: the body, and what is lost.

use expect_test::{Expect, expect};
use luthien_call::dialect::{Lost, UpstreamOptions, decode_whole, encode_request};
use luthien_proto::{
    Request, Step,
    event::{BlockKind, Delta, ToolCall, ToolForm},
    json::Extras,
    request::{
        Content, ContentBlock, Dialect, Message, OutputFormat, Reasoning, ReasoningMode, Sampling, ServiceOptions,
        Source, Tool, ToolChoice, ToolKind,
    },
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

fn encode(request: &Request) -> (Value, Lost) {
    let mut lost = Lost::default();
    let body = encode_request(Dialect::Gemini, request, &UpstreamOptions::default(), &mut lost);
    (serde_json::from_slice(&body).unwrap(), lost)
}

fn check(request: &Request, expect: Expect) {
    let (Value::Object(body), lost) = encode(request) else { panic!("no object") };
    let mut out = String::new();
    for (key, value) in &body {
        match value {
            Value::Array(items) if key == "contents" => {
                for content in items {
                    out.push_str(&format!("{}:\n", content["role"].as_str().unwrap()));
                    content["parts"].as_array().unwrap().iter().for_each(|part| out.push_str(&format!("  {part}\n")));
                }
            }
            value => out.push_str(&format!("{key}: {value}\n")),
        }
    }
    for (name, fields) in [("dropped", lost.dropped), ("omitted", lost.omitted)] {
        if !fields.is_empty() {
            out.push_str(&format!("{name}: {}\n", fields.join(", ")));
        }
    }
    expect.assert_eq(&out);
}

fn request(model: &str, messages: impl IntoIterator<Item = Message>) -> Request {
    Request { model: model.to_owned(), choices: 1, messages: messages.into_iter().collect(), ..Request::default() }
}

fn message(role: &str, blocks: impl IntoIterator<Item = ContentBlock>) -> Message {
    let content = blocks.into_iter().map(Content::from).collect();
    Message { role: role.to_owned(), content, extras: Extras::NONE }
}

fn user(blocks: impl IntoIterator<Item = ContentBlock>) -> Message {
    message("user", blocks)
}

fn assistant(blocks: impl IntoIterator<Item = ContentBlock>) -> Message {
    message("assistant", blocks)
}

fn text(text: &str) -> ContentBlock {
    ContentBlock::Text(text.to_owned())
}

fn thinking(text: &str, signature: &str) -> ContentBlock {
    ContentBlock::Thinking { text: text.to_owned(), signature: signature.to_owned(), id: String::new() }
}

fn call(id: &str, name: &str, arguments: &str) -> ContentBlock {
    form(id, name, arguments, ToolForm::Function)
}

fn form(id: &str, name: &str, arguments: &str, form: ToolForm) -> ContentBlock {
    let [id, name, namespace, type_] = [id, name, "", ""].map(str::to_owned);
    ContentBlock::ToolCall { call: ToolCall { id, name, namespace, form, type_ }, arguments: arguments.to_owned() }
}

fn result(id: &str, blocks: impl IntoIterator<Item = ContentBlock>) -> ContentBlock {
    failed(id, None, blocks)
}

fn failed(id: &str, is_error: Option<bool>, blocks: impl IntoIterator<Item = ContentBlock>) -> ContentBlock {
    let content = blocks.into_iter().map(Content::from).collect();
    ContentBlock::ToolResult { id: id.to_owned(), is_error, content }
}

fn image(source: Source) -> ContentBlock {
    ContentBlock::Image { source, detail: String::new() }
}

fn base64(media_type: &str, data: &str) -> Source {
    Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
}

fn function(name: &str, schema: Value) -> Tool {
    let kind = ToolKind::Function { schema, strict: None };
    let [name, namespace, description] = [name, "", ""].map(str::to_owned);
    Tool { name, namespace, description, kind, extras: Extras::NONE }
}

#[test]
fn everything_that_both_can_say() {
    let mut request = request("gemini-2.5-flash", [user([text("Hi")])]);
    request.stream = true;
    request.choices = 2;
    request.system = vec![text("Be brief.").into(), text("").into(), text("Be kind.").into()];
    request.sampling = Sampling {
        max_output_tokens: Some(100),
        temperature: Some(0.7),
        top_p: Some(1.0),
        top_k: Some(40),
        stop: vec!["END".to_owned(), String::new()],
        seed: Some(7),
        frequency_penalty: Some(0.5),
        presence_penalty: Some(-0.5),
        logprobs: Some(3),
    };
    request.service = ServiceOptions {
        end_user: "u".to_owned(),
        cache_key: "k".to_owned(),
        tier: "flex".to_owned(),
        verbosity: "low".to_owned(),
        store: Some(false),
    };
    request.tools = vec![function("now", Value::Null)];
    request.parallel_tool_calls = Some(false);
    request.extras.insert("safetySettings", json!([{"category": "c", "threshold": "t"}]));
    check(
        &request,
        expect![[r#"
        systemInstruction: {"parts":[{"text":"Be brief."},{"text":"Be kind."}]}
        user:
          {"text":"Hi"}
        tools: [{"functionDeclarations":[{"name":"now"}]}]
        generationConfig: {"candidateCount":2,"maxOutputTokens":100,"temperature":0.7,"topP":1.0,"topK":40,"stopSequences":["END"],"seed":7,"presencePenalty":-0.5,"frequencyPenalty":0.5,"responseLogprobs":true,"logprobs":3}
        serviceTier: "flex"
        store: false
        safetySettings: [{"category":"c","threshold":"t"}]
        omitted: parallel_tool_calls, user, prompt_cache_key, verbosity
    "#]],
    );
}

#[test]
fn output_formats() {
    let mut request = request("gemini-2.5-flash", [user([text("Hi")])]);
    for output in [
        OutputFormat::Text,
        OutputFormat::JsonObject,
        OutputFormat::JsonSchema {
            name: "n".to_owned(),
            description: String::new(),
            schema: json!({"$schema": "s", "type": "object", "additionalProperties": false}),
            strict: Some(true),
        },
    ] {
        request.output = Some(output.clone());
        let (body, lost) = encode(&request);
        assert_eq!(lost, Lost::default());
        match output {
            OutputFormat::Text => assert_eq!(body.get("generationConfig"), None),
            OutputFormat::JsonObject => {
                assert_eq!(body["generationConfig"], json!({"responseMimeType": "application/json"}));
            }
            OutputFormat::JsonSchema { schema, .. } => assert_eq!(
                body["generationConfig"],
                json!({"responseMimeType": "application/json", "responseJsonSchema": schema})
            ),
        }
    }
}

#[test]
fn thinking_by_generation_of_the_model() {
    let asked = [
        ("nothing", ReasoningMode::Unset, "", None),
        ("shown", ReasoningMode::Unset, "", Some(true)),
        ("off", ReasoningMode::Off, "", None),
        ("adaptive", ReasoningMode::Adaptive, "", None),
        ("adaptive high", ReasoningMode::Adaptive, "high", None),
        ("adaptive hidden", ReasoningMode::Adaptive, "", Some(false)),
        ("1024", ReasoningMode::Budget(1024), "", None),
        ("4096", ReasoningMode::Budget(4096), "", None),
        ("99999", ReasoningMode::Budget(99_999), "", None),
        ("none", ReasoningMode::Unset, "none", None),
        ("minimal", ReasoningMode::Unset, "minimal", None),
        ("medium", ReasoningMode::Unset, "medium", None),
        ("max", ReasoningMode::Unset, "max", Some(false)),
        ("other", ReasoningMode::Unset, "ludicrous", None),
    ];
    let mut out = String::new();
    for model in ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-3-pro-preview", "gemini-3.1-flash", "gemini-2.0-flash"]
    {
        out.push_str(&format!("{model}\n"));
        for (name, mode, effort, shown) in &asked {
            let mut request = request(model, [user([text("Hi")])]);
            request.reasoning = Reasoning { mode: *mode, effort: (*effort).to_owned(), shown: *shown };
            let (body, lost) = encode(&request);
            let config = &body["generationConfig"]["thinkingConfig"];
            let lost = if lost == Lost::default() { String::new() } else { format!(" dropped {:?}", lost.dropped) };
            out.push_str(&format!("  {name}: {config}{lost}\n"));
        }
    }
    expect![[r#"
        gemini-2.5-pro
          nothing: null
          shown: {"includeThoughts":true}
          off: {"thinkingBudget":128}
          adaptive: {"thinkingBudget":-1,"includeThoughts":true}
          adaptive high: {"thinkingBudget":4096,"includeThoughts":true}
          adaptive hidden: {"thinkingBudget":-1}
          1024: {"thinkingBudget":1024,"includeThoughts":true}
          4096: {"thinkingBudget":4096,"includeThoughts":true}
          99999: {"thinkingBudget":32768,"includeThoughts":true}
          none: {"thinkingBudget":128}
          minimal: {"thinkingBudget":1024,"includeThoughts":true}
          medium: {"thinkingBudget":2048,"includeThoughts":true}
          max: {"thinkingBudget":16384}
          other: null dropped ["reasoning"]
        gemini-2.5-flash
          nothing: null
          shown: {"includeThoughts":true}
          off: {"thinkingBudget":0}
          adaptive: {"thinkingBudget":-1,"includeThoughts":true}
          adaptive high: {"thinkingBudget":4096,"includeThoughts":true}
          adaptive hidden: {"thinkingBudget":-1}
          1024: {"thinkingBudget":1024,"includeThoughts":true}
          4096: {"thinkingBudget":4096,"includeThoughts":true}
          99999: {"thinkingBudget":24576,"includeThoughts":true}
          none: {"thinkingBudget":0}
          minimal: {"thinkingBudget":1024,"includeThoughts":true}
          medium: {"thinkingBudget":2048,"includeThoughts":true}
          max: {"thinkingBudget":16384}
          other: null dropped ["reasoning"]
        gemini-3-pro-preview
          nothing: null
          shown: {"includeThoughts":true}
          off: {"thinkingLevel":"LOW"}
          adaptive: {"includeThoughts":true}
          adaptive high: {"thinkingLevel":"HIGH","includeThoughts":true}
          adaptive hidden: null
          1024: {"thinkingLevel":"LOW","includeThoughts":true}
          4096: {"thinkingLevel":"HIGH","includeThoughts":true}
          99999: {"thinkingLevel":"HIGH","includeThoughts":true}
          none: {"thinkingLevel":"LOW"}
          minimal: {"thinkingLevel":"LOW","includeThoughts":true}
          medium: {"thinkingLevel":"HIGH","includeThoughts":true}
          max: {"thinkingLevel":"HIGH"}
          other: null dropped ["reasoning"]
        gemini-3.1-flash
          nothing: null
          shown: {"includeThoughts":true}
          off: {"thinkingLevel":"MINIMAL"}
          adaptive: {"includeThoughts":true}
          adaptive high: {"thinkingLevel":"HIGH","includeThoughts":true}
          adaptive hidden: null
          1024: {"thinkingLevel":"LOW","includeThoughts":true}
          4096: {"thinkingLevel":"MEDIUM","includeThoughts":true}
          99999: {"thinkingLevel":"HIGH","includeThoughts":true}
          none: {"thinkingLevel":"MINIMAL"}
          minimal: {"thinkingLevel":"MINIMAL","includeThoughts":true}
          medium: {"thinkingLevel":"MEDIUM","includeThoughts":true}
          max: {"thinkingLevel":"HIGH"}
          other: null dropped ["reasoning"]
        gemini-2.0-flash
          nothing: null
          shown: null dropped ["reasoning"]
          off: null
          adaptive: null dropped ["reasoning"]
          adaptive high: null dropped ["reasoning"]
          adaptive hidden: null dropped ["reasoning"]
          1024: null dropped ["reasoning"]
          4096: null dropped ["reasoning"]
          99999: null dropped ["reasoning"]
          none: null
          minimal: null dropped ["reasoning"]
          medium: null dropped ["reasoning"]
          max: null dropped ["reasoning"]
          other: null dropped ["reasoning"]
    "#]]
    .assert_eq(&out);
}

#[test]
fn tools_of_every_kind() {
    let mut request = request("gemini-2.5-flash", [user([text("Hi")])]);
    let hosted = |name: &str, raw: Value| Tool { kind: ToolKind::Hosted(raw), ..function(name, Value::Null) };
    request.tools = vec![
        Tool {
            description: "Reads".to_owned(),
            ..function(
                "read",
                json!({"$schema": "s", "type": "object", "properties": {"n": {"exclusiveMinimum": 1}}, "additionalProperties": false}),
            )
        },
        function("bare", json!({"properties": null})),
        function("nothing", Value::Null),
        Tool { namespace: "ns".to_owned(), ..function("inner", json!({})) },
        Tool { kind: ToolKind::Custom { format: json!({"type": "text"}) }, ..function("patch", Value::Null) },
        hosted("web_search", json!({"type": "web_search_20250305", "name": "web_search"})),
        hosted("", json!({"googleSearch": {}})),
    ];
    check(
        &request,
        expect![[r#"
        user:
          {"text":"Hi"}
        tools: [{"functionDeclarations":[{"name":"read","description":"Reads","parametersJsonSchema":{"$schema":"s","type":"object","properties":{"n":{"exclusiveMinimum":1}},"additionalProperties":false}},{"name":"bare","parametersJsonSchema":{"type":"object"}},{"name":"nothing"},{"name":"ns__inner","parametersJsonSchema":{"type":"object"}},{"name":"patch","parametersJsonSchema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}]},{"googleSearch":{}}]
        dropped: tools.web_search_20250305
    "#]],
    );
}

#[test]
fn choices_of_tools() {
    let names = || vec!["a".to_owned(), "b".to_owned()];
    let mut out = String::new();
    for choice in [
        ToolChoice::Auto,
        ToolChoice::None,
        ToolChoice::Required,
        ToolChoice::Named("a".to_owned()),
        ToolChoice::Allowed { required: true, names: names() },
        ToolChoice::Allowed { required: false, names: names() },
        ToolChoice::Opaque(json!({"type": "mcp"})),
    ] {
        let mut request = request("gemini-2.5-flash", [user([text("Hi")])]);
        request.tool_choice = Some(choice.clone());
        assert_eq!(encode(&request).0.get("toolConfig"), None, "there are no tools");
        request.tools = vec![function("a", Value::Null), function("b", Value::Null)];
        let (body, lost) = encode(&request);
        out.push_str(&format!("{choice:?}: {} {:?}\n", body["toolConfig"], lost.dropped));
    }
    expect![[r#"
        Auto: {"functionCallingConfig":{"mode":"AUTO"}} []
        None: {"functionCallingConfig":{"mode":"NONE"}} []
        Required: {"functionCallingConfig":{"mode":"ANY"}} []
        Named("a"): {"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a"]}} []
        Allowed { required: true, names: ["a", "b"] }: {"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a","b"]}} []
        Allowed { required: false, names: ["a", "b"] }: {"functionCallingConfig":{"mode":"VALIDATED","allowedFunctionNames":["a","b"]}} []
        Opaque(Object {"type": String("mcp")}): null ["tool_choice"]
    "#]]
    .assert_eq(&out);
}

#[test]
fn results_are_by_name_in_the_order_of_the_calls_and_before_all_else() {
    check(
        &request(
            "gemini-2.5-flash",
            [
                user([text("Go")]),
                assistant([text("I look."), call("c1", "read", r#"{"p":1}"#), call("c2", "now", "")]),
                message("system", [text("Hurry.")]),
                user([text("And?")]),
                message("tool", [result("c2", [text("noon"), text("sharp")])]),
                message("tool", [failed("c1", Some(true), [text("no such file")])]),
                message("tool", [result("c9", [text("late")])]),
                message("tool", [result("c2", [text("one")])]),
            ],
        ),
        expect![[r#"
            user:
              {"text":"Go"}
            model:
              {"text":"I look."}
              {"functionCall":{"name":"read","args":{"p":1},"id":"c1"}}
              {"functionCall":{"name":"now","args":{},"id":"c2"}}
            user:
              {"functionResponse":{"name":"read","response":{"error":"no such file"},"id":"c1"}}
              {"functionResponse":{"name":"now","response":{"result":"one"},"id":"c2"}}
              {"text":"[result of an unknown tool call ID]: late"}
              {"text":"<system-reminder>\nHurry.\n</system-reminder>"}
              {"text":"And?"}
        "#]],
    );
}

#[test]
fn a_missing_result_an_empty_one_and_unanswered_calls_at_the_end() {
    check(
        &request(
            "gemini-2.5-flash",
            [
                user([text("Go")]),
                assistant([call("c1", "a", "{}"), call("c2", "b", "{}")]),
                user([result("c2", [])]),
                assistant([call("c3", "a", "{}")]),
            ],
        ),
        expect![[r#"
            user:
              {"text":"Go"}
            model:
              {"functionCall":{"name":"a","args":{},"id":"c1"}}
              {"functionCall":{"name":"b","args":{},"id":"c2"}}
            user:
              {"functionResponse":{"name":"a","response":{"error":"no result was recorded"},"id":"c1"}}
              {"functionResponse":{"name":"b","response":{"result":""},"id":"c2"}}
            model:
              {"functionCall":{"name":"a","args":{},"id":"c3"}}
        "#]],
    );
}

#[test]
fn media_in_results_by_generation_of_the_model() {
    let messages = || {
        [
            user([text("Go")]),
            assistant([thinking("", "call:UzE="), call("c1", "shot", "{}"), call("c2", "shot", "{}")]),
            user([
                result("c1", [text("see"), image(base64("image/png", "AA=="))]),
                result("c2", [image(base64("image/png", "BB=="))]),
            ]),
        ]
    };
    check(
        &request("gemini-2.5-flash", messages()),
        expect![[r#"
        user:
          {"text":"Go"}
        model:
          {"functionCall":{"name":"shot","args":{},"id":"c1"},"thoughtSignature":"UzE="}
          {"functionCall":{"name":"shot","args":{},"id":"c2"}}
        user:
          {"functionResponse":{"name":"shot","response":{"result":"see"},"id":"c1"}}
          {"functionResponse":{"name":"shot","response":{"result":""},"id":"c2"}}
          {"inlineData":{"mimeType":"image/png","data":"AA=="}}
          {"inlineData":{"mimeType":"image/png","data":"BB=="}}
    "#]],
    );
    check(
        &request("gemini-3-flash", messages()),
        expect![[r#"
        user:
          {"text":"Go"}
        model:
          {"functionCall":{"name":"shot","args":{},"id":"c1"},"thoughtSignature":"UzE="}
          {"functionCall":{"name":"shot","args":{},"id":"c2"}}
        user:
          {"functionResponse":{"name":"shot","response":{"result":"see"},"id":"c1","parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}}
          {"functionResponse":{"name":"shot","response":{"result":""},"id":"c2","parts":[{"inlineData":{"mimeType":"image/png","data":"BB=="}}]}}
    "#]],
    );
}

#[test]
fn media_of_every_kind() {
    let document = |source: Source, title: &str| ContentBlock::Document { source, title: title.to_owned() };
    let url = |url: &str| Source::Url(url.to_owned());
    check(
        &request(
            "gemini-2.5-flash",
            [user([
                image(base64("image/webp", "AA==")),
                image(url("https://x.test/a/b.PNG?c=d.pdf#e")),
                image(url("https://x.test/picture")),
                image(url("data:image/gif;base64,BB==")),
                image(Source::FileId("https://generativelanguage.googleapis.com/v1beta/files/f".to_owned())),
                document(base64("application/pdf", "CC=="), "t"),
                document(Source::Text("words".to_owned()), "Title"),
                document(Source::Text("words".to_owned()), ""),
                ContentBlock::Audio { data: "DD==".to_owned(), format: "mp3".to_owned() },
                ContentBlock::Opaque(json!({"type": "search_result"})),
            ])],
        ),
        expect![[r#"
            user:
              {"inlineData":{"mimeType":"image/webp","data":"AA=="}}
              {"fileData":{"mimeType":"image/png","fileUri":"https://x.test/a/b.PNG?c=d.pdf#e"}}
              {"fileData":{"fileUri":"https://x.test/picture"}}
              {"inlineData":{"mimeType":"image/gif","data":"BB=="}}
              {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/f"}}
              {"inlineData":{"mimeType":"application/pdf","data":"CC=="}}
              {"text":"Title\nwords"}
              {"text":"words"}
              {"inlineData":{"mimeType":"audio/mp3","data":"DD=="}}
            dropped: search_result
        "#]],
    );
}

#[test]
fn signatures_go_back_where_they_were() {
    check(
        &request(
            "gemini-2.5-flash",
            [
                user([text("Go")]),
                assistant([thinking("plan", "call:UzE="), call("c1", "a", "{}"), call("c2", "b", "{}")]),
                user([result("c1", [text("1")]), result("c2", [text("2")])]),
                assistant([thinking("hm", "thought:UzI="), text("Done."), thinking("", "text:UzM="), text("Really.")]),
                user([text("And?")]),
                // As clients say it that have one place for reasoning: before all else.
                assistant([thinking("", "text:UzQ="), thinking("", "call:UzU="), text("Well."), call("c3", "a", "{}")]),
                user([result("c3", [text("3")])]),
                assistant([thinking("", "text:UzY=")]),
            ],
        ),
        expect![[r#"
            user:
              {"text":"Go"}
            model:
              {"text":"plan","thought":true}
              {"functionCall":{"name":"a","args":{},"id":"c1"},"thoughtSignature":"UzE="}
              {"functionCall":{"name":"b","args":{},"id":"c2"}}
            user:
              {"functionResponse":{"name":"a","response":{"result":"1"},"id":"c1"}}
              {"functionResponse":{"name":"b","response":{"result":"2"},"id":"c2"}}
            model:
              {"text":"hm","thought":true,"thoughtSignature":"UzI="}
              {"text":"Done.","thoughtSignature":"UzM="}
              {"text":"Really."}
            user:
              {"text":"And?"}
            model:
              {"text":"Well.","thoughtSignature":"UzQ="}
              {"functionCall":{"name":"a","args":{},"id":"c3"},"thoughtSignature":"UzU="}
            user:
              {"functionResponse":{"name":"a","response":{"result":"3"},"id":"c3"}}
            model:
              {"text":"","thoughtSignature":"UzY="}
        "#]],
    );
}

#[test]
fn thinking_that_is_not_geminis_stays_away() {
    check(
        &request(
            "gemini-2.5-flash",
            [
                user([text("Go")]),
                assistant([
                    thinking("hm", ""),
                    thinking("hm", "EqQBforeign"),
                    ContentBlock::RedactedThinking("x".to_owned()),
                    text("a"),
                ]),
                user([text("And?")]),
            ],
        ),
        expect![[r#"
            user:
              {"text":"Go"}
            model:
              {"text":"a"}
            user:
              {"text":"And?"}
            omitted: thinking, redacted_thinking
        "#]],
    );
}

#[test]
fn gemini_3_wants_the_first_call_of_each_step_of_the_current_turn_signed() {
    let messages = || {
        [
            user([text("one")]),
            assistant([call("c1", "a", "{}")]),
            user([result("c1", [text("1")])]),
            assistant([text("ok")]),
            user([text("two")]),
            assistant([call("c2", "a", "{}"), call("c3", "a", "{}")]),
            user([result("c2", [text("2")]), result("c3", [text("3")]), text("hurry")]),
            assistant([thinking("", "call:UzE="), call("c4", "a", "{}")]),
            user([result("c4", [text("4")])]),
        ]
    };
    check(
        &request("gemini-3-pro-preview", messages()),
        expect![[r#"
        user:
          {"text":"one"}
        model:
          {"functionCall":{"name":"a","args":{},"id":"c1"}}
        user:
          {"functionResponse":{"name":"a","response":{"result":"1"},"id":"c1"}}
        model:
          {"text":"ok"}
        user:
          {"text":"two"}
        model:
          {"functionCall":{"name":"a","args":{},"id":"c2"},"thoughtSignature":"c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="}
          {"functionCall":{"name":"a","args":{},"id":"c3"}}
        user:
          {"functionResponse":{"name":"a","response":{"result":"2"},"id":"c2"}}
          {"functionResponse":{"name":"a","response":{"result":"3"},"id":"c3"}}
          {"text":"hurry"}
        model:
          {"functionCall":{"name":"a","args":{},"id":"c4"},"thoughtSignature":"UzE="}
        user:
          {"functionResponse":{"name":"a","response":{"result":"4"},"id":"c4"}}
    "#]],
    );
    let (body, _) = encode(&request("gemini-2.5-pro", messages()));
    assert!(!body.to_string().contains("c2tpcF90"), "{body}");
}

#[test]
fn arguments_that_are_no_object() {
    check(
        &request(
            "gemini-2.5-flash",
            [
                user([text("Go")]),
                assistant([
                    call("c1", "a", " "),
                    call("c2", "a", "{\"x\":"),
                    call("c3", "a", "[1]"),
                    form("c4", "patch", "*** Begin", ToolForm::Custom),
                    form("", "old", r#"{"z":1,"a":1.50}"#, ToolForm::Legacy),
                    form("s1", "web_search", "{}", ToolForm::Server),
                ]),
            ],
        ),
        expect![[r#"
            user:
              {"text":"Go"}
            model:
              {"functionCall":{"name":"a","args":{},"id":"c1"}}
              {"functionCall":{"name":"a","args":{"_raw":"{\"x\":"},"id":"c2"}}
              {"functionCall":{"name":"a","args":{"_raw":"[1]"},"id":"c3"}}
              {"functionCall":{"name":"patch","args":{"input":"*** Begin"},"id":"c4"}}
              {"functionCall":{"name":"old","args":{"z":1,"a":1.5}}}
            dropped: arguments, web_search
        "#]],
    );
}

#[test]
fn the_user_begins_and_instructions_stay_where_they_are() {
    check(
        &request("gemini-2.5-flash", [message("developer", [text("D")]), message("system", [text("S")])]),
        expect![[r#"
            systemInstruction: {"parts":[{"text":"D"}]}
            user:
              {"text":"S"}
        "#]],
    );
    check(
        &request(
            "gemini-2.5-flash",
            [
                message("system", [text("S")]),
                assistant([text("Hello.")]),
                assistant([text(""), text("Well?")]),
                message("system", [text("Late.")]),
                user([text("")]),
                user([text("Hi"), text("there")]),
                assistant([]),
                assistant([text("Prefilled")]),
            ],
        ),
        expect![[r#"
            systemInstruction: {"parts":[{"text":"S"}]}
            user:
              {"text":"."}
            model:
              {"text":"Hello."}
              {"text":"Well?"}
            user:
              {"text":"<system-reminder>\nLate.\n</system-reminder>"}
              {"text":"Hi"}
              {"text":"there"}
            model:
              {"text":"Prefilled"}
        "#]],
    );
}

/// A part of an answer of the model.
fn part() -> impl Strategy<Value = Value> {
    let signed = (any::<bool>(), "[A-Z]{4}").prop_map(|(signed, signature)| signed.then_some(signature));
    let kind = select(vec!["text", "thought", "call"]);
    (kind, "[a-z]{1,4}", signed).prop_map(|(kind, word, signature)| {
        let mut part = match kind {
            "text" => json!({"text": word}),
            "thought" => json!({"text": word, "thought": true}),
            _ => json!({"functionCall": {"name": "f", "args": {"x": word}, "id": word}}),
        };
        if let Some(signature) = signature {
            part["thoughtSignature"] = signature.into();
        }
        part
    })
}

/// What the client keeps of an answer, block by block.
fn kept(body: &Value) -> Vec<ContentBlock> {
    let events = decode_whole(Dialect::Gemini, &body.to_string().into()).unwrap();
    let mut blocks: Vec<ContentBlock> = Vec::new();
    for event in events {
        match event.step {
            Step::BlockStarted(started) => blocks.push(match started.kind {
                BlockKind::Text => text(""),
                BlockKind::Thinking { .. } => thinking("", ""),
                BlockKind::ToolCall(call) => ContentBlock::ToolCall { call, arguments: String::new() },
                kind => panic!("{kind:?}"),
            }),
            Step::BlockDelta(delta) => match (blocks.last_mut().unwrap(), delta.delta) {
                (ContentBlock::Text(text) | ContentBlock::Thinking { text, .. }, Delta::Text(more)) => {
                    text.push_str(&more);
                }
                (ContentBlock::Thinking { signature, .. }, Delta::Signature(whole)) => *signature = whole,
                (ContentBlock::ToolCall { arguments, .. }, Delta::Arguments(more)) => arguments.push_str(&more),
                (block, delta) => panic!("{delta:?} of {block:?}"),
            },
            _ => {}
        }
    }
    blocks
}

proptest! {
    #[test]
    fn an_answer_comes_back_with_every_signature_on_its_part(parts in vec(part(), 1..6)) {
        let body = json!({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]});
        let (again, _) = encode(&request("gemini-2.5-flash", [user([text("Go")]), assistant(kept(&body))]));
        // Neighbours of which the first is unsigned are one; unsigned thoughts need not come back.
        let mut expected: Vec<Value> = Vec::new();
        for part in &parts {
            let is_same = |last: &Value| {
                last.get("text").is_some()
                    && part.get("text").is_some()
                    && last.get("thought") == part.get("thought")
                    && last.get("thoughtSignature").is_none()
            };
            match expected.last_mut().filter(|last| is_same(last)) {
                Some(last) => {
                    last["text"] = format!("{}{}", last["text"].as_str().unwrap(), part["text"].as_str().unwrap()).into();
                    if let Some(signature) = part.get("thoughtSignature") {
                        last["thoughtSignature"] = signature.clone();
                    }
                }
                None => expected.push(part.clone()),
            }
        }
        let shown = |parts: &[Value]| -> Vec<Value> {
            let is_shown = |part: &&Value| part.get("thought").is_none() || part.get("thoughtSignature").is_some();
            parts.iter().filter(is_shown).cloned().collect()
        };
        let found = again["contents"].as_array().unwrap().get(1).map_or(&Value::Null, |content| &content["parts"]);
        prop_assert_eq!(shown(found.as_array().map_or(&[], Vec::as_slice)), shown(&expected));
    }
}
