//! What would be answered wrongly without a word is refused; nothing else is.

use luthien_call::dialect::UpstreamOptions;
use luthien_proto::request::Dialect;
use serde_json::{Value, json};

use crate::{convert_body, model, targets};

fn refusals(client: Dialect, body: &Value) -> Vec<String> {
    let convert = |(target, options): (Dialect, UpstreamOptions)| {
        let refused = convert_body(client, &body.to_string(), target, model(target), &options).err()?;
        let name = if options.compatible { "compatible" } else { target.name() };
        Some(format!("{name} {} {}", refused.path, refused.code.unwrap_or("-")))
    };
    targets(client).into_iter().filter_map(convert).collect()
}

#[test]
fn history_that_only_its_provider_has() {
    for (fields, path) in [
        (json!({"previous_response_id": "resp_1", "input": "Hi"}), "previous_response_id"),
        (json!({"conversation": {"id": "conv_1"}, "input": "Hi"}), "conversation"),
        (json!({"prompt": {"id": "p"}, "input": "Hi"}), "prompt"),
        (json!({"background": true, "input": "Hi"}), "background"),
        (json!({"input": [{"type": "item_reference", "id": "rs_1"}]}), "input[0]"),
        (
            json!({"input": [{"role": "user", "content": "Hi"}, {"type": "compaction", "encrypted_content": "E"}]}),
            "input[1]",
        ),
    ] {
        let mut body = fields;
        body["model"] = "m".into();
        let expected = ["anthropic-messages", "gemini", "openai-chat", "compatible"].map(|to| format!("{to} {path} -"));
        let mut found = refusals(Dialect::OpenAiResponses, &body);
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(found, expected, "{body}");
    }
    let none =
        json!({"model": "m", "input": "Hi", "previous_response_id": null, "background": false, "conversation": null});
    assert_eq!(refusals(Dialect::OpenAiResponses, &none), Vec::<String>::new());
}

#[test]
fn a_thread_says_so_in_the_word_that_makes_the_library_send_all() {
    let body =
        json!({"model": "m", "max_tokens": 1, "thread": {"id": "t"}, "messages": [{"role": "user", "content": "Hi"}]});
    let found = refusals(Dialect::AnthropicMessages, &body);
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|refusal| refusal.ends_with(" thread thread_unsupported_request")), "{found:?}");
}

#[test]
fn files_of_another_provider() {
    let file = json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}});
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": [file]});
    for block in [file, result, json!({"type": "container_upload", "file_id": "file_1"})] {
        let content = json!([{"type": "text", "text": "Hi"}, block]);
        let body = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]});
        let found = refusals(Dialect::AnthropicMessages, &body);
        assert_eq!(found.len(), 4, "{body}");
        assert!(found.iter().all(|refusal| refusal.ends_with(" messages[0].content[1] -")), "{found:?}");
    }
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]});
    let path = "messages[0].content[0] -";
    assert_eq!(refusals(Dialect::OpenAiChat, &body), [format!("anthropic-messages {path}"), format!("gemini {path}")]);
    // OpenAI knows its own.
    let input = json!([{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]);
    let found = refusals(Dialect::OpenAiResponses, &json!({"model": "m", "input": input}));
    assert!(!found.iter().any(|refusal| refusal.starts_with("openai-chat")) && found.len() == 3, "{found:?}");
}

#[test]
fn a_second_answer_where_there_is_one_only() {
    let body = json!({"model": "m", "n": 2, "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(refusals(Dialect::OpenAiChat, &body), ["anthropic-messages n -", "openai-responses n -"]);
}
