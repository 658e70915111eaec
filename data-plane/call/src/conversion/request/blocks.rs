//! The blocks of messages, one by one.

use std::collections::VecDeque;

use luthien_proto::{
    event::{ToolCall, ToolForm},
    json::Extras,
    request::{Content, ContentBlock, Dialect, Source},
};
use serde_json::{Map, Value, json};

use super::{Way, history::Speaker, thinking};
use crate::{
    conversion::names::{fit_id, id_of_nth},
    dialect::Lost,
};

/// Converts blocks, in the order of the conversation.
pub(super) struct Blocks<'a, 'b> {
    pub(super) way: &'a Way<'b>,
    pub(super) lost: &'a mut Lost,
    /// How many calls there were.
    calls: usize,
    /// The ids of calls that had none, and are not answered yet.
    nameless: VecDeque<String>,
}

impl<'a, 'b> Blocks<'a, 'b> {
    pub(super) fn new(way: &'a Way<'b>, lost: &'a mut Lost) -> Self {
        Self { way, lost, calls: 0, nameless: VecDeque::new() }
    }

    /// What the target is told instead; nothing, if it can't be told.
    pub(super) fn convert(&mut self, content: Content, speaker: Speaker) -> Vec<Content> {
        let Content { block, extras } = content;
        match block {
            ContentBlock::Text(text) if self.is_refused(&text, speaker) => Vec::new(),
            ContentBlock::Thinking { text, signature, id } => {
                thinking::convert(text, signature, id, self.way, self.lost)
            }
            ContentBlock::RedactedThinking(data) => thinking::convert_redacted(data, self.way, self.lost),
            ContentBlock::ToolCall { call, .. } if call.form == ToolForm::Server => {
                let type_ = if call.type_.is_empty() { &call.name } else { &call.type_ };
                self.lost.drop(format!("content.{type_}"));
                Vec::new()
            }
            ContentBlock::ToolCall { call, arguments } => self.call(call, arguments, extras),
            ContentBlock::ToolResult { id, is_error, content } => {
                let id = if id.is_empty() { self.nameless.pop_front().unwrap_or_default() } else { id };
                let inner = content.into_iter().flat_map(|content| self.convert(content, Speaker::Tool));
                let content = inner.collect();
                let block = ContentBlock::ToolResult { id: fit_id(&id, self.way.target()), is_error, content };
                vec![Content { block, extras: self.extras(extras) }]
            }
            ContentBlock::Opaque(raw) => self.opaque(raw),
            ContentBlock::Document { source: Source::Url(url), title } if self.way.target() == Dialect::OpenAiChat => {
                self.lost.drop("content.document");
                vec![ContentBlock::Text(titled(&title, &format!("[document: {url}]"))).into()]
            }
            ContentBlock::Image { source, detail } => {
                let detail = self.detail(detail);
                vec![Content { block: ContentBlock::Image { source, detail }, extras: self.extras(extras) }]
            }
            block @ (ContentBlock::Text(_)
            | ContentBlock::Refusal(_)
            | ContentBlock::Document { .. }
            | ContentBlock::Audio { .. }) => vec![Content { block, extras: self.extras(extras) }],
        }
    }

    /// Empty texts are refused by some, and say nothing to anyone.
    fn is_refused(&self, text: &str, speaker: Speaker) -> bool {
        match self.way.target() {
            Dialect::AnthropicMessages | Dialect::Gemini => text.trim().is_empty(),
            Dialect::OpenAiChat | Dialect::OpenAiResponses => text.is_empty() && speaker == Speaker::Assistant,
        }
    }

    fn detail(&mut self, detail: String) -> String {
        match self.way.target() {
            Dialect::OpenAiChat | Dialect::OpenAiResponses => detail,
            Dialect::AnthropicMessages | Dialect::Gemini => {
                if !detail.is_empty() && detail != "auto" {
                    self.lost.omit("content.detail");
                }
                String::new()
            }
        }
    }

    fn call(&mut self, call: ToolCall, arguments: String, extras: Extras) -> Vec<Content> {
        let ToolCall { mut id, name, namespace, form, .. } = call;
        if id.is_empty() {
            id = id_of_nth(self.calls);
            self.nameless.push_back(id.clone());
        }
        self.calls += 1;
        let (form, arguments) = match form {
            ToolForm::Custom if self.way.has_free_text() => (ToolForm::Custom, arguments),
            ToolForm::Custom => (ToolForm::Function, json!({"input": arguments}).to_string()),
            ToolForm::Function | ToolForm::Legacy | ToolForm::Server => (ToolForm::Function, arguments),
        };
        let call = ToolCall {
            id: fit_id(&id, self.way.target()),
            name: self.way.names.get(&namespace, &name),
            namespace: String::new(),
            form,
            type_: String::new(),
        };
        let thought = thinking::beside_call(&extras, self.way);
        let mut extras = extras.into_map();
        if thought.is_some() {
            extras.shift_remove("extra_content");
        }
        let block = ContentBlock::ToolCall { call, arguments };
        thought.into_iter().chain([Content { block, extras: self.extras(extras.into()) }]).collect()
    }

    /// What only the client's dialect has a block for.
    fn opaque(&mut self, raw: Value) -> Vec<Content> {
        let type_ = raw.get("type").and_then(Value::as_str).unwrap_or_default();
        let texts = match type_ {
            "search_result" => search_result(&raw),
            "document" => document(&raw),
            "compaction" => raw.get("content").and_then(Value::as_str).map(str::to_owned),
            _ => None,
        };
        if let Some(text) = texts.filter(|text| !text.trim().is_empty()) {
            return vec![ContentBlock::Text(text).into()];
        }
        self.lost.drop(if type_.is_empty() { "content".to_owned() } else { format!("content.{type_}") });
        Vec::new()
    }

    /// Unknown fields of a block.
    fn extras(&mut self, extras: Extras) -> Extras {
        let target = self.way.target();
        let mut kept = Map::new();
        for (name, value) in extras.into_map() {
            match name.as_str() {
                _ if value.is_null() => {}
                "cache_control" if target == Dialect::AnthropicMessages => {
                    kept.insert(name, value);
                }
                "prompt_cache_breakpoint" if self.way.is_within_openai() => {
                    kept.insert(name, value);
                }
                // Marks of the client's dialect, and what providers say of what they made.
                "field" | "type" | "filename" | "summary" | "content" | "id" | "status" | "index" | "format"
                | "annotations" | "logprobs" | "caller" => {}
                "cache_control"
                | "prompt_cache_breakpoint"
                | "citations"
                | "context"
                | "title"
                | "toolset_name"
                | "extra_content"
                | "transformations"
                | "source" => self.lost.omit(format!("content.{name}")),
                _ => self.lost.drop(format!("content.{name}")),
            }
        }
        Extras::from(kept)
    }
}

/// A text below its title.
fn titled(title: &str, text: &str) -> String {
    if title.is_empty() { text.to_owned() } else { format!("{title}\n\n{text}") }
}

fn field<'a>(raw: &'a Value, key: &str) -> &'a str {
    raw.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The texts of a text, or of a list of text blocks.
fn texts(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => {
            let texts: Option<Vec<_>> = blocks.iter().map(|block| block.get("text")?.as_str()).collect();
            Some(texts?.join("\n\n"))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// What was found, below what it is called and where it is from.
fn search_result(raw: &Value) -> Option<String> {
    let text = texts(raw.get("content")?)?;
    let head: Vec<_> =
        [field(raw, "title"), field(raw, "source")].into_iter().filter(|text| !text.is_empty()).collect();
    Some(titled(&head.join("\n"), &text))
}

/// A document that is made of blocks.
fn document(raw: &Value) -> Option<String> {
    let text = texts(raw.get("source")?.get("content")?)?;
    Some(titled(field(raw, "title"), &text))
}
