//! Requests: what is known of them, what stays unknown, and the bytes that go upstream.

use bytes::Bytes;
use expect_test::{Expect, expect};
use luthien_call::dialect::decode_request;
use luthien_proto::request::{Content, ContentBlock, Dialect, Request};

fn check(dialect: Dialect, body: &str, expect: Expect) {
    let shown = match decode_request(dialect, Bytes::copy_from_slice(body.as_bytes())) {
        Ok(request) => show(&request.request),
        Err(error) => format!("error: {error}\n"),
    };
    expect.assert_eq(&shown);
}

fn show(request: &Request) -> String {
    let mut out = format!("{} stream={} choices={}\n", request.model, request.stream, request.choices);
    request.system.iter().for_each(|content| out.push_str(&format!("system {}\n", content_line(content))));
    for message in &request.messages {
        out.push_str(&format!("{} {:?}\n", message.role, message.extras));
        message.content.iter().for_each(|content| out.push_str(&format!("  {}\n", content_line(content))));
    }
    for tool in &request.tools {
        out.push_str(&format!("tool {} {:?} {:?}\n", tool.name, tool.description, tool.kind));
    }
    out.push_str(&format!("{:?} parallel={:?}\n", request.tool_choice, request.parallel_tool_calls));
    out.push_str(&format!("{:?}\n{:?}\n", request.sampling, request.reasoning));
    out.push_str(&format!("{:?}\n{:?}\n{:?}\n", request.output, request.service, request.extras));
    out
}

fn content_line(content: &Content) -> String {
    let block = match &content.block {
        ContentBlock::ToolResult { id, is_error, content } => {
            let inner: Vec<_> = content.iter().map(content_line).collect();
            format!("ToolResult {id} {is_error:?} [{}]", inner.join(", "))
        }
        block => format!("{block:?}"),
    };
    format!("{block} {:?}", content.extras)
}

#[test]
fn openai_chat() {
    check(
        Dialect::OpenAiChat,
        r#"{"model":"m","stream":true,"n":2,"max_tokens":9,"stop":"END","temperature":0.5,"verbosity":"low","user":null,
        "messages":[{"role":"system","content":"S","name":"n"},
          {"role":"user","content":[{"type":"text","text":"T","cache":1},{"type":"image_url","image_url":{"url":"u"}},7]},
          {"role":"assistant","content":null,"reasoning_content":"R","refusal":"no","audio":{"id":"x"},
           "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},
                         {"id":"b","type":"custom","custom":{"name":"p","input":"x"}},{"type":"mcp"}]},
          {"role":"assistant","function_call":{"name":"g","arguments":"{}"}},
          {"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"42"}]}],
        "tools":[{"type":"function","function":{"name":"f","description":"D","parameters":{}}},{"type":"custom","custom":{"name":"p"}}],
        "tool_choice":"auto"}"#,
        expect![[r#"
            m stream=true choices=2
            system {"name":"n"}
              Text("S") {}
            user {}
              Text("T") {"cache":1}
              Image { source: Url("u"), detail: "" } {}
              Opaque(Number(7)) {}
            assistant {"audio":{"id":"x"}}
              Thinking { text: "R", signature: "", id: "" } {}
              Refusal("no") {}
              ToolCall { call: ToolCall { id: "a", name: "f", namespace: "", form: Function, type_: "" }, arguments: "{}" } {}
              ToolCall { call: ToolCall { id: "b", name: "p", namespace: "", form: Custom, type_: "" }, arguments: "x" } {}
              Opaque(Object {"type": String("mcp")}) {"field":"tool_calls"}
            assistant {}
              ToolCall { call: ToolCall { id: "", name: "g", namespace: "", form: Legacy, type_: "" }, arguments: "{}" } {}
            tool {}
              ToolResult a None [Text("42") {}] {}
            tool f "D" Function { schema: Object {}, strict: None }
            tool p "" Custom { format: Null }
            Some(Auto) parallel=None
            Sampling { max_output_tokens: Some(9), temperature: Some(0.5), top_p: None, top_k: None, stop: ["END"], seed: None, frequency_penalty: None, presence_penalty: None, logprobs: None }
            Reasoning { mode: Unset, effort: "", shown: None }
            None
            ServiceOptions { end_user: "", cache_key: "", tier: "", verbosity: "low", store: None }
            {}
        "#]],
    );
}

#[test]
fn anthropic_messages() {
    check(
        Dialect::AnthropicMessages,
        r#"{"model":"m","max_tokens":9,"stop_sequences":["END"],"thinking":{"type":"adaptive"},
        "system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],
        "messages":[{"role":"user","content":"T"},
          {"role":"assistant","content":[{"type":"thinking","thinking":"R","signature":"s"},{"type":"redacted_thinking","data":"E"},
            {"type":"text","text":"A"},{"type":"tool_use","id":"a","name":"f","input":{"x":1},"caller":{}},
            {"type":"server_tool_use","id":"b","name":"g","input":{}},{"type":"web_search_tool_result","content":[]}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{"type":"text","text":"42"},{"type":"image"}]},
            {"type":"tool_result","tool_use_id":"b","content":"43"},{"type":"text","text":5}]}],
        "tools":[{"name":"f","description":"D","input_schema":{}}],"tool_choice":{"type":"auto"}}"#,
        expect![[r#"
            m stream=false choices=1
            system Text("S") {"cache_control":{"type":"ephemeral"}}
            user {}
              Text("T") {}
            assistant {}
              Thinking { text: "R", signature: "s", id: "" } {}
              RedactedThinking("E") {}
              Text("A") {}
              ToolCall { call: ToolCall { id: "a", name: "f", namespace: "", form: Function, type_: "" }, arguments: "{\"x\":1}" } {"caller":{}}
              ToolCall { call: ToolCall { id: "b", name: "g", namespace: "", form: Server, type_: "server_tool_use" }, arguments: "{}" } {}
              Opaque(Object {"type": String("web_search_tool_result"), "content": Array []}) {}
            user {}
              ToolResult a Some(true) [Text("42") {}, Opaque(Object {"type": String("image")}) {}] {}
              ToolResult b None [Text("43") {}] {}
              Opaque(Object {"type": String("text"), "text": Number(5)}) {}
            tool f "D" Function { schema: Object {}, strict: None }
            Some(Auto) parallel=None
            Sampling { max_output_tokens: Some(9), temperature: None, top_p: None, top_k: None, stop: ["END"], seed: None, frequency_penalty: None, presence_penalty: None, logprobs: None }
            Reasoning { mode: Adaptive, effort: "", shown: None }
            None
            ServiceOptions { end_user: "", cache_key: "", tier: "", verbosity: "", store: None }
            {}
        "#]],
    );
}

#[test]
fn what_is_wrong_and_where() {
    for (body, error) in [
        ("{", "the body is not valid JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "the body is not valid JSON: expected a JSON object, found an array"),
        (
            "{\"model\":\"m\",\n \"model\":\"n\"}",
            "the body is not valid JSON: duplicate key \"model\" at line 2 column 8",
        ),
        (r#"{"messages":[]}"#, "model: expected a string, it is missing"),
        (r#"{"model":5,"messages":[]}"#, "model: expected a string, found a number"),
        (r#"{"model":"m"}"#, "messages: expected an array, it is missing"),
        (r#"{"model":"m","messages":"x"}"#, "messages: expected an array, found a string"),
        (r#"{"model":"m","messages":[{},5]}"#, "messages[1]: expected an object, found a number"),
    ] {
        for dialect in [Dialect::OpenAiChat, Dialect::AnthropicMessages] {
            let found = decode_request(dialect, Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
            assert_eq!(found.to_string(), error, "{body}");
        }
    }
}

#[test]
fn only_the_models_name_changes_on_the_way_upstream() {
    let body = Bytes::from_static(
        b" {\"x\" : {\"model\":\"inner\"}, \"messages\":[{\"model\":\"no\"}] ,\"model\":\t\"fa\\u0073t\" , \"temperature\": 1.50 } ",
    );
    let request = decode_request(Dialect::OpenAiChat, body.clone()).unwrap();
    assert_eq!(request.request.model, "fast");
    assert_eq!(request.upstream_body("fast"), body);
    let renamed = request.upstream_body("gpt \"5\"");
    assert_eq!(
        String::from_utf8_lossy(&renamed),
        String::from_utf8_lossy(&body).replace(r#""fa\u0073t""#, r#""gpt \"5\"""#)
    );
}
