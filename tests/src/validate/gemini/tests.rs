use serde_json::json;

use super::*;

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

fn check(path: &str, body: &Value) -> Result<Asked, String> {
    request(path, body.to_string().as_bytes())
}

/// A request with one more field.
fn with(key: &str, value: Value) -> Value {
    let mut body = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
    body[key] = value;
    body
}

fn conversation() -> Value {
    json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Go"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true},
                {"functionCall": {"name": "a", "args": {}, "id": "c1"}, "thoughtSignature": "UzE="},
                {"functionCall": {"name": "b", "args": {"x": 1}, "id": "c2"}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "a", "id": "c1", "response": {"result": "1"}}},
                {"functionResponse": {"name": "b", "id": "c2", "response": {"error": "2"}}},
                {"text": "And?"},
            ]},
        ],
        "tools": [{"functionDeclarations": [
            {"name": "a"},
            {"name": "b", "description": "B", "parametersJsonSchema": {"type": "object"}},
        ]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["b"]}},
        "generationConfig": {"temperature": 1.0, "topK": 4, "stopSequences": ["END"], "thinkingConfig": {"thinkingBudget": -1}},
        "safetySettings": [],
        "serviceTier": "flex",
    })
}

#[test]
fn requests_that_google_takes() {
    let asked = check(GENERATE, &conversation()).unwrap();
    assert_eq!((asked.model.as_str(), asked.method), ("gemini-2.5-flash", Method::Generate));
    let stream = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    assert_eq!(check(stream, &conversation()).unwrap().method, Method::Stream);
    let mut counted = conversation();
    counted["model"] = "models/gemini-2.5-flash".into();
    let asked = check("/v1beta/models/gemini-2.5-flash:countTokens", &json!({"generateContentRequest": counted}));
    assert_eq!(asked.unwrap().request, conversation());
}

#[test]
fn targets_that_are_none() {
    for path in [
        "/v1/models/gemini-2.5-flash:generateContent",
        "/v1beta/models/gemini-2.5-flash",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        "/v1beta/models/gemini-2.5-flash:generateContent?alt=sse",
        "/v1beta/models/models/gemini-2.5-flash:generateContent",
        "/v1beta/models/:generateContent",
    ] {
        assert!(check(path, &conversation()).is_err(), "{path}");
    }
}

#[test]
fn fields_that_break_a_rule() {
    let function = |function: Value| json!([{"functionDeclarations": [function]}]);
    for (key, value) in [
        ("stream", json!(true)),
        ("model", json!("gemini-2.5-flash")),
        ("contents", json!([])),
        ("systemInstruction", json!({"parts": [{"text": ""}]})),
        ("tools", json!([])),
        ("tools", function(json!({"name": "a b"}))),
        ("tools", function(json!({"name": "a", "strict": true}))),
        ("tools", function(json!({"name": "a", "parametersJsonSchema": {"properties": null, "type": "object"}}))),
        ("tools", function(json!({"name": "a", "parametersJsonSchema": {}}))),
        ("tools", json!([{"functionDeclarations": [{"name": "a"}, {"name": "a"}]}])),
        ("toolConfig", json!({"functionCallingConfig": {"mode": "AUTO"}})),
        ("generationConfig", json!({"max_tokens": 1})),
        ("generationConfig", json!({"logprobs": 1})),
        ("generationConfig", json!({"responseJsonSchema": {}})),
        ("generationConfig", json!({"seed": 3_000_000_000_u64})),
        ("generationConfig", json!({"thinkingConfig": {"thinkingLevel": "LOW"}})),
        ("serviceTier", json!("auto")),
    ] {
        assert!(check(GENERATE, &with(key, value.clone())).is_err(), "{key}: {value}");
    }
}

#[test]
fn contents_that_break_a_rule() {
    let user = |parts: Value| json!({"role": "user", "parts": parts});
    let model = |parts: Value| json!({"role": "model", "parts": parts});
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
    let answer = |name: &str| json!({"functionResponse": {"name": name, "response": {}}});
    let hi = || user(json!([{"text": "Hi"}]));
    for contents in [
        json!([model(json!([{"text": "Hi"}]))]),
        json!([hi(), hi()]),
        json!([user(json!([]))]),
        json!([user(json!([{"text": ""}]))]),
        json!([user(json!([{"text": "a", "cache_control": {}}]))]),
        json!([user(json!([{"text": "a", "inlineData": {"mimeType": "a/b", "data": "AA=="}}]))]),
        json!([user(json!([{"inlineData": {"mimeType": "a/b", "data": "é"}}]))]),
        json!([user(json!([call("a")]))]),
        json!([hi(), model(json!([call("a"), call("b")])), user(json!([answer("a")]))]),
        json!([hi(), model(json!([call("a")])), user(json!([answer("b")]))]),
        json!([hi(), model(json!([call("a")])), hi()]),
        json!([user(json!([answer("a")]))]),
    ] {
        assert!(check(GENERATE, &with("contents", contents.clone())).is_err(), "{contents}");
    }
    let unsigned = with("contents", json!([hi(), model(json!([call("a")])), user(json!([answer("a")]))]));
    check(GENERATE, &unsigned).unwrap();
    let error = check("/v1beta/models/gemini-3-flash:generateContent", &unsigned).unwrap_err();
    assert!(error.contains("thought_signature"), "{error}");
}
