//! The request.

use serde_json::Value;

use super::{Malformed, each, extras, extras_text, json, nested, optional_json, set, to_each};
use crate::{
    request::{Content, ContentBlock, Dialect, Message, Request, Sampling, Tool},
    wire,
};

impl From<Dialect> for wire::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAiChat => Self::OpenaiChat,
            Dialect::AnthropicMessages => Self::AnthropicMessages,
            Dialect::OpenAiResponses => Self::OpenaiResponses,
            Dialect::Gemini => Self::Gemini,
        }
    }
}

impl Dialect {
    pub(super) fn from_wire(number: i32, field: &str) -> Result<Self, Malformed> {
        match wire::Dialect::try_from(number) {
            Ok(wire::Dialect::OpenaiChat) => Ok(Self::OpenAiChat),
            Ok(wire::Dialect::AnthropicMessages) => Ok(Self::AnthropicMessages),
            Ok(wire::Dialect::OpenaiResponses) => Ok(Self::OpenAiResponses),
            Ok(wire::Dialect::Gemini) => Ok(Self::Gemini),
            Ok(wire::Dialect::Unspecified) => Err(Malformed::new(field, "not set")),
            Err(_) => Err(Malformed::new(field, format!("no dialect has the number {number}"))),
        }
    }
}

impl From<Request> for wire::Request {
    fn from(request: Request) -> Self {
        Self {
            model: request.model,
            stream: request.stream,
            choices: request.choices,
            system: to_each(request.system),
            messages: to_each(request.messages),
            tools: to_each(request.tools),
            tool_choice_json: request.tool_choice.as_ref().map(Value::to_string).unwrap_or_default(),
            sampling: Some(request.sampling.into()),
            extras_json: extras_text(request.extras),
        }
    }
}

impl TryFrom<wire::Request> for Request {
    type Error = Malformed;

    fn try_from(request: wire::Request) -> Result<Self, Malformed> {
        Ok(Self {
            model: request.model,
            stream: request.stream,
            choices: request.choices.max(1),
            system: each(request.system, "system")?,
            messages: each(request.messages, "messages")?,
            tools: each(request.tools, "tools")?,
            tool_choice: optional_json(&request.tool_choice_json, "tool_choice_json")?,
            sampling: nested(request.sampling.unwrap_or_default(), "sampling")?,
            extras: extras(&request.extras_json, "extras_json")?,
        })
    }
}

impl From<Sampling> for wire::Sampling {
    fn from(sampling: Sampling) -> Self {
        let Sampling { max_output_tokens, temperature, top_p, top_k, stop } = sampling;
        Self { max_output_tokens, temperature, top_p, top_k, stop }
    }
}

impl TryFrom<wire::Sampling> for Sampling {
    type Error = Malformed;

    fn try_from(sampling: wire::Sampling) -> Result<Self, Malformed> {
        let wire::Sampling { max_output_tokens, temperature, top_p, top_k, stop } = sampling;
        finite(temperature, "temperature")?;
        finite(top_p, "top_p")?;
        Ok(Self { max_output_tokens, temperature, top_p, top_k, stop })
    }
}

/// JSON has no other numbers.
fn finite(number: Option<f64>, field: &str) -> Result<(), Malformed> {
    match number {
        Some(number) if !number.is_finite() => Err(Malformed::new(field, "not a finite number")),
        Some(_) | None => Ok(()),
    }
}

impl From<Message> for wire::Message {
    fn from(message: Message) -> Self {
        let Message { role, content, extras } = message;
        Self { role, content: to_each(content), extras_json: extras_text(extras) }
    }
}

impl TryFrom<wire::Message> for Message {
    type Error = Malformed;

    fn try_from(message: wire::Message) -> Result<Self, Malformed> {
        Ok(Self {
            role: message.role,
            content: each(message.content, "content")?,
            extras: extras(&message.extras_json, "extras_json")?,
        })
    }
}

impl From<Content> for wire::Content {
    fn from(content: Content) -> Self {
        Self { content: Some(content.block.into()), extras_json: extras_text(content.extras) }
    }
}

impl TryFrom<wire::Content> for Content {
    type Error = Malformed;

    fn try_from(content: wire::Content) -> Result<Self, Malformed> {
        Ok(Self {
            block: set(content.content, "content")?.try_into()?,
            extras: extras(&content.extras_json, "extras_json")?,
        })
    }
}

impl From<ContentBlock> for wire::content::Content {
    fn from(block: ContentBlock) -> Self {
        match block {
            ContentBlock::Text(text) => Self::Text(wire::TextContent { text }),
            ContentBlock::Thinking { text, signature } => Self::Thinking(wire::ThinkingContent { text, signature }),
            ContentBlock::RedactedThinking(data) => Self::RedactedThinking(wire::RedactedThinking { data }),
            ContentBlock::Refusal(text) => Self::Refusal(wire::RefusalContent { text }),
            ContentBlock::ToolCall { call, arguments } => {
                Self::ToolCall(wire::ToolCallContent { call: Some(call.into()), arguments })
            }
            ContentBlock::ToolResult { id, is_error, content } => {
                Self::ToolResult(wire::ToolResult { id, is_error, content: to_each(content) })
            }
            ContentBlock::Opaque(value) => Self::Opaque(wire::OpaqueContent { json: value.to_string() }),
        }
    }
}

impl TryFrom<wire::content::Content> for ContentBlock {
    type Error = Malformed;

    fn try_from(content: wire::content::Content) -> Result<Self, Malformed> {
        use wire::content::Content as Wire;
        Ok(match content {
            Wire::Text(wire::TextContent { text }) => Self::Text(text),
            Wire::Thinking(wire::ThinkingContent { text, signature }) => Self::Thinking { text, signature },
            Wire::RedactedThinking(wire::RedactedThinking { data }) => Self::RedactedThinking(data),
            Wire::Refusal(wire::RefusalContent { text }) => Self::Refusal(text),
            Wire::ToolCall(wire::ToolCallContent { call, arguments }) => {
                Self::ToolCall { call: set(call, "tool_call.call")?.into(), arguments }
            }
            Wire::ToolResult(result) => nested(result, "tool_result")?,
            Wire::Opaque(opaque) => Self::Opaque(json(&opaque.json, "opaque.json")?),
        })
    }
}

impl TryFrom<wire::ToolResult> for ContentBlock {
    type Error = Malformed;

    fn try_from(result: wire::ToolResult) -> Result<Self, Malformed> {
        let wire::ToolResult { id, is_error, content } = result;
        Ok(Self::ToolResult { id, is_error, content: each(content, "content")? })
    }
}

impl From<Tool> for wire::Tool {
    fn from(Tool { name, description, raw }: Tool) -> Self {
        Self { name, description, json: raw.to_string() }
    }
}

impl TryFrom<wire::Tool> for Tool {
    type Error = Malformed;

    fn try_from(tool: wire::Tool) -> Result<Self, Malformed> {
        Ok(Self { name: tool.name, description: tool.description, raw: json(&tool.json, "json")? })
    }
}
