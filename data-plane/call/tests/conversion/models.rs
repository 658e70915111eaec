//! What depends on the target's model.

use expect_test::{Expect, expect};
use luthien_call::dialect::UpstreamOptions;
use luthien_proto::request::Dialect;
use serde_json::{Value, json};

use crate::convert_body;

/// How the target's models are told to reason, and what the client is told of it.
fn check(client: Dialect, target: Dialect, model: &str, fields: Value, expect: Expect) {
    let mut body = match client {
        Dialect::OpenAiResponses => json!({"model": "m", "input": "Hi"}),
        Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::Gemini => {
            json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
        }
    };
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let converted = convert_body(client, &body.to_string(), target, model, &UpstreamOptions::default()).unwrap();
    let sent: Value = serde_json::from_slice(&converted.body).unwrap();
    let mut shown = String::new();
    for key in ["thinking", "output_config", "reasoning", "reasoning_effort", "temperature", "top_k", "include"] {
        if !sent[key].is_null() {
            shown.push_str(&format!("{key}: {}\n", sent[key]));
        }
    }
    if !sent["generationConfig"]["thinkingConfig"].is_null() {
        shown.push_str(&format!("thinkingConfig: {}\n", sent["generationConfig"]["thinkingConfig"]));
    }
    shown.push_str(&format!("lost: {:?} {:?}\n", converted.lost.dropped, converted.lost.omitted));
    expect.assert_eq(&shown);
}

fn chat_to_anthropic(model: &str, fields: Value, expect: Expect) {
    check(Dialect::OpenAiChat, Dialect::AnthropicMessages, model, fields, expect);
}

#[test]
fn effort_is_told_to_new_models_and_a_budget_to_older_ones() {
    chat_to_anthropic(
        "claude-opus-4-6",
        json!({"reasoning_effort": "minimal"}),
        expect![[r#"
        thinking: {"type":"adaptive","display":"summarized"}
        output_config: {"effort":"low"}
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-6",
        json!({"reasoning_effort": "none"}),
        expect![[r#"
        thinking: {"type":"disabled"}
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-sonnet-4-5",
        json!({"reasoning_effort": "medium"}),
        expect![[r#"
        thinking: {"type":"enabled","budget_tokens":2048}
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-sonnet-4-5",
        json!({"reasoning_effort": "max", "max_tokens": 4000}),
        expect![[r#"
        thinking: {"type":"enabled","budget_tokens":3999}
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-sonnet-4-5",
        json!({"reasoning_effort": "low", "max_tokens": 500}),
        expect![[r#"
            lost: ["reasoning_effort"] []
        "#]],
    );
    chat_to_anthropic(
        "claude-3-5-haiku-latest",
        json!({"reasoning_effort": "low"}),
        expect![[r#"
        lost: ["reasoning_effort"] []
    "#]],
    );
}

#[test]
fn how_to_pick_tokens_gives_way_to_thinking_and_to_new_models() {
    chat_to_anthropic(
        "claude-opus-4-6",
        json!({"temperature": 0.5}),
        expect![[r#"
        temperature: 0.5
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-6",
        json!({"temperature": 0.5, "reasoning_effort": "low"}),
        expect![[r#"
        thinking: {"type":"adaptive","display":"summarized"}
        output_config: {"effort":"low"}
        lost: ["temperature"] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-7",
        json!({"temperature": 0.5, "top_k": 3}),
        expect![[r#"
        lost: ["temperature", "top_k"] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-7",
        json!({"temperature": 1}),
        expect![[r#"
        lost: [] []
    "#]],
    );
}

#[test]
fn a_tool_that_must_be_called_wins_over_thinking() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let fields = json!({"reasoning_effort": "high", "tools": tools, "tool_choice": "required"});
    chat_to_anthropic(
        "claude-sonnet-4-5",
        fields.clone(),
        expect![[r#"
        lost: ["reasoning_effort"] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-6",
        fields,
        expect![[r#"
        output_config: {"effort":"high"}
        lost: ["reasoning_effort"] []
    "#]],
    );
}

#[test]
fn an_older_model_does_not_think_in_a_turn_whose_thinking_is_lost() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let messages = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "1"}]);
    let fields = json!({"reasoning_effort": "high", "messages": messages});
    chat_to_anthropic(
        "claude-sonnet-4-5",
        fields.clone(),
        expect![[r#"
        lost: ["reasoning_effort"] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-6",
        fields,
        expect![[r#"
        thinking: {"type":"adaptive","display":"summarized"}
        output_config: {"effort":"high"}
        lost: [] []
    "#]],
    );
}

#[test]
fn thinking_of_anthropics_clients_is_an_effort_elsewhere() {
    for (thinking, chat, responses, gemini) in [
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}),
            expect![[r#"
            reasoning_effort: "xhigh"
            lost: [] []
        "#]],
            expect![[r#"
            reasoning: {"effort":"xhigh","summary":"auto"}
            include: ["reasoning.encrypted_content"]
            lost: [] []
        "#]],
            expect![[r#"
            thinkingConfig: {"thinkingBudget":8192,"includeThoughts":true}
            lost: [] []
        "#]],
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 4096}}),
            expect![[r#"
            reasoning_effort: "medium"
            lost: [] []
        "#]],
            expect![[r#"
            reasoning: {"effort":"medium","summary":"auto"}
            include: ["reasoning.encrypted_content"]
            lost: [] []
        "#]],
            expect![[r#"
            thinkingConfig: {"thinkingBudget":4096,"includeThoughts":true}
            lost: [] []
        "#]],
        ),
        (
            json!({"thinking": {"type": "disabled"}}),
            expect![[r#"
            lost: [] ["thinking"]
        "#]],
            expect![[r#"
            reasoning: {"effort":"none"}
            include: ["reasoning.encrypted_content"]
            lost: [] []
        "#]],
            expect![[r#"
            thinkingConfig: {"thinkingBudget":0}
            lost: [] []
        "#]],
        ),
        (
            json!({"thinking": {"type": "adaptive", "display": "omitted"}}),
            expect![[r#"
            lost: [] ["thinking.display"]
        "#]],
            expect![[r#"
            include: ["reasoning.encrypted_content"]
            lost: [] []
        "#]],
            expect![[r#"
            thinkingConfig: {"thinkingBudget":-1}
            lost: [] []
        "#]],
        ),
        (
            json!({}),
            expect![[r#"
            lost: [] []
        "#]],
            expect![[r#"
            reasoning: {"summary":"auto"}
            include: ["reasoning.encrypted_content"]
            lost: [] []
        "#]],
            expect![[r#"
            lost: [] []
        "#]],
        ),
    ] {
        let client = Dialect::AnthropicMessages;
        check(client, Dialect::OpenAiChat, "gpt-5.5", thinking.clone(), chat);
        check(client, Dialect::OpenAiResponses, "gpt-5.5", thinking.clone(), responses);
        check(client, Dialect::Gemini, "gemini-2.5-flash", thinking, gemini);
    }
}

#[test]
fn models_that_never_reason_are_asked_for_nothing_of_the_kind() {
    for model in ["gpt-4.1", "chatgpt-4o-latest", "ft:gpt-4o-mini:x"] {
        check(
            Dialect::AnthropicMessages,
            Dialect::OpenAiResponses,
            model,
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
            expect![[r#"
                lost: ["thinking"] []
            "#]],
        );
        check(
            Dialect::OpenAiChat,
            Dialect::OpenAiResponses,
            model,
            json!({"reasoning_effort": "none"}),
            expect![[r#"
            lost: [] []
        "#]],
        );
    }
    check(
        Dialect::AnthropicMessages,
        Dialect::OpenAiResponses,
        "gpt-4.1",
        json!({}),
        expect![[r#"
        lost: [] []
    "#]],
    );
    check(
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        "o4-mini",
        json!({}),
        expect![[r#"
        include: ["reasoning.encrypted_content"]
        lost: [] []
    "#]],
    );
}

#[test]
fn openais_relatives_have_words_of_their_own() {
    let openrouter = |reasoning: Value| json!({"reasoning": reasoning});
    chat_to_anthropic(
        "claude-opus-4-6",
        openrouter(json!({"effort": "high", "exclude": true})),
        expect![[r#"
        thinking: {"type":"adaptive","display":"omitted"}
        output_config: {"effort":"high"}
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-sonnet-4-5",
        openrouter(json!({"max_tokens": 3000})),
        expect![[r#"
        thinking: {"type":"enabled","budget_tokens":3000}
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-6",
        openrouter(json!({"enabled": false})),
        expect![[r#"
        thinking: {"type":"disabled"}
        lost: [] []
    "#]],
    );
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 3000}});
    chat_to_anthropic(
        "claude-sonnet-4-5",
        thinking.clone(),
        expect![[r#"
        thinking: {"type":"enabled","budget_tokens":3000}
        lost: [] []
    "#]],
    );
    chat_to_anthropic(
        "claude-opus-4-6",
        thinking.clone(),
        expect![[r#"
        thinking: {"type":"adaptive","display":"summarized"}
        output_config: {"effort":"medium"}
        lost: [] []
    "#]],
    );
    check(
        Dialect::OpenAiChat,
        Dialect::OpenAiResponses,
        "gpt-5.5",
        thinking,
        expect![[r#"
        reasoning: {"effort":"medium"}
        include: ["reasoning.encrypted_content"]
        lost: [] []
    "#]],
    );
}

#[test]
fn who_wants_only_a_warm_cache_gets_the_least_of_an_answer() {
    let body = json!({"model": "m", "max_tokens": 0, "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    for (target, least) in [
        (Dialect::OpenAiChat, json!({"max_completion_tokens": 1})),
        (Dialect::OpenAiResponses, json!({"max_output_tokens": 16})),
        (Dialect::Gemini, json!({"generationConfig": {"maxOutputTokens": 1}})),
    ] {
        let options = UpstreamOptions::default();
        let converted = convert_body(Dialect::AnthropicMessages, &body, target, "m", &options).unwrap();
        let sent: Value = serde_json::from_slice(&converted.body).unwrap();
        for (key, value) in least.as_object().unwrap() {
            assert_eq!(&sent[key], value, "{sent}");
        }
        assert_eq!(converted.lost.dropped, ["max_tokens"]);
    }
}
