//! Where a text has what it says from, between the dialects of OpenAI.

use luthien_call::call::Content;
use luthien_proto::request::Dialect::{self, AnthropicMessages, OpenAiChat, OpenAiResponses};
use serde_json::{Value, json};

use super::*;

fn of_chat(at: u64) -> Value {
    let source = json!({"start_index": at, "end_index": at + 1, "title": "T", "url": "https://e.x"});
    json!({"type": "url_citation", "url_citation": source})
}

fn of_responses(at: u64) -> Value {
    json!({"type": "url_citation", "start_index": at, "end_index": at + 1, "title": "T", "url": "https://e.x"})
}

fn added(index: u64, annotation: Value) -> String {
    event(json!({"type": "response.output_text.annotation.added", "sequence_number": 0, "item_id": "msg_1",
        "output_index": 0, "content_index": 0, "annotation_index": index, "annotation": annotation}))
}

/// What a client gets of a whole answer.
fn whole(client: Dialect, upstream: Dialect, body: &Value) -> Value {
    let mut rig = Rig::converting(bridge(client, upstream), false, NOTHING);
    rig.head(200, Content::Json);
    rig.data(body.to_string());
    rig.end();
    serde_json::from_str(rig.text()).unwrap()
}

#[test]
fn a_streamed_source_of_chat_is_an_annotation_of_responses() {
    let upstream = chat(&json!({"role": "assistant", "content": "Hi"}), None)
        + &chat(&json!({"annotations": [of_chat(0)]}), None)
        + &chat(&json!({"content": " you", "annotations": [of_chat(3), {"type": "other"}]}), None)
        + &chat(&json!({}), Some("stop"))
        + DONE;
    let rig = stream(bridge(OpenAiResponses, OpenAiChat), &upstream);
    let told = events(rig.text());
    let added: Vec<&Value> = told.iter().filter(|event| !event["annotation"].is_null()).collect();
    assert_eq!(added.iter().map(|event| &event["annotation_index"]).collect::<Vec<_>>(), [0, 1]);
    let response = &told.last().unwrap()["response"];
    let content = &response["output"][0]["content"][0];
    assert_eq!(content["text"], "Hi you");
    assert_eq!(content["annotations"], json!([of_responses(0), of_responses(3)]));
}

#[test]
fn a_streamed_annotation_of_responses_is_a_source_of_chat() {
    let item = json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []});
    let part = json!({"type": "output_text", "text": "", "annotations": []});
    let at = |type_: &str, mut fields: Value| {
        let place = json!({"type": type_, "item_id": "msg_1", "output_index": 0, "content_index": 0});
        fields.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
        event(fields)
    };
    let response =
        |status: &str| json!({"id": "resp_1", "model": "up", "created_at": 7, "status": status, "output": []});
    let upstream = event(json!({"type": "response.created", "response": response("in_progress")}))
        + &event(json!({"type": "response.output_item.added", "output_index": 0, "item": item}))
        + &at("response.content_part.added", json!({"part": part}))
        + &at("response.output_text.delta", json!({"delta": "Hi"}))
        + &added(0, of_responses(0))
        + &added(1, of_responses(1))
        + &at("response.output_text.done", json!({"text": "Hi"}))
        + &event(json!({"type": "response.completed", "response": response("completed")}));
    let rig = stream(bridge(OpenAiChat, OpenAiResponses), &upstream);
    let told = bodies(&rig.text().replace(DONE, ""));
    let sources: Vec<&Value> =
        told.iter().map(|chunk| &chunk["choices"][0]["delta"]["annotations"]).filter(|list| !list.is_null()).collect();
    assert_eq!(sources, [&json!([of_chat(0), of_chat(1)])]);
}

#[test]
fn sources_of_whole_answers_are_told_in_the_clients_form() {
    let text = json!({"type": "output_text", "text": "Hi", "annotations": [of_responses(0), of_responses(1)]});
    let message =
        json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]});
    let body = json!({"id": "resp_1", "object": "response", "created_at": 7, "model": "up", "status": "completed",
        "output": [message]});
    let found = whole(OpenAiChat, OpenAiResponses, &body);
    assert_eq!(found["choices"][0]["message"]["annotations"], json!([of_chat(0), of_chat(1)]));

    let message = json!({"role": "assistant", "content": "Hi", "reasoning_content": "hm", "annotations": [of_chat(0)]});
    let body = json!({"id": "c", "object": "chat.completion", "created": 7, "model": "up",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let found = whole(OpenAiResponses, OpenAiChat, &body);
    let mut items = found["output"].as_array().unwrap().iter();
    let message = items.find(|item| item["type"] == "message").unwrap();
    assert_eq!(message["content"][0]["annotations"], json!([of_responses(0)]));
    let found = whole(AnthropicMessages, OpenAiChat, &body);
    assert_eq!(found["content"][1], json!({"type": "text", "text": "Hi"}));
}
