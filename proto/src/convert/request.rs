//! The request.

use serde_json::Value;

use super::{Malformed, each, extras, json, message, nested, optional_json, set, to_each};
use crate::{
    request::{
        Content, ContentBlock, Dialect, Message, OutputFormat, Reasoning, ReasoningMode, Request, Sampling,
        ServiceOptions, Source, Tool, ToolChoice, ToolKind,
    },
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
            tool_choice: request.tool_choice.map(Into::into),
            parallel_tool_calls: request.parallel_tool_calls,
            sampling: Some(request.sampling.into()),
            reasoning: Some(request.reasoning.into()),
            output: request.output.map(Into::into),
            service: Some(request.service.into()),
            extras_json: request.extras.into_text(),
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
            tool_choice: request.tool_choice.map(|choice| nested(choice, "tool_choice")).transpose()?,
            parallel_tool_calls: request.parallel_tool_calls,
            sampling: nested(request.sampling.unwrap_or_default(), "sampling")?,
            reasoning: request.reasoning.unwrap_or_default().into(),
            output: request.output.map(|output| nested(output, "output")).transpose()?,
            service: request.service.unwrap_or_default().into(),
            extras: extras(request.extras_json, "extras_json")?,
        })
    }
}

impl From<Sampling> for wire::Sampling {
    fn from(sampling: Sampling) -> Self {
        let Sampling { max_output_tokens, temperature, top_p, top_k, stop, seed, .. } = sampling;
        let Sampling { frequency_penalty, presence_penalty, logprobs, .. } = sampling;
        Self { max_output_tokens, temperature, top_p, top_k, stop, seed, frequency_penalty, presence_penalty, logprobs }
    }
}

impl TryFrom<wire::Sampling> for Sampling {
    type Error = Malformed;

    fn try_from(sampling: wire::Sampling) -> Result<Self, Malformed> {
        let wire::Sampling { max_output_tokens, temperature, top_p, top_k, stop, seed, .. } = sampling;
        let wire::Sampling { frequency_penalty, presence_penalty, logprobs, .. } = sampling;
        for (number, field) in [
            (temperature, "temperature"),
            (top_p, "top_p"),
            (frequency_penalty, "frequency_penalty"),
            (presence_penalty, "presence_penalty"),
        ] {
            finite(number, field)?;
        }
        Ok(Self {
            max_output_tokens,
            temperature,
            top_p,
            top_k,
            stop,
            seed,
            frequency_penalty,
            presence_penalty,
            logprobs,
        })
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
        Self { role, content: to_each(content), extras_json: extras.into_text() }
    }
}

impl TryFrom<wire::Message> for Message {
    type Error = Malformed;

    fn try_from(message: wire::Message) -> Result<Self, Malformed> {
        Ok(Self {
            role: message.role,
            content: each(message.content, "content")?,
            extras: extras(message.extras_json, "extras_json")?,
        })
    }
}

impl From<Content> for wire::Content {
    fn from(content: Content) -> Self {
        Self { content: Some(content.block.into()), extras_json: content.extras.into_text() }
    }
}

impl TryFrom<wire::Content> for Content {
    type Error = Malformed;

    fn try_from(content: wire::Content) -> Result<Self, Malformed> {
        Ok(Self {
            block: set(content.content, "content")?.try_into()?,
            extras: extras(content.extras_json, "extras_json")?,
        })
    }
}

impl From<ContentBlock> for wire::content::Content {
    fn from(block: ContentBlock) -> Self {
        match block {
            ContentBlock::Text(text) => Self::Text(wire::TextContent { text }),
            ContentBlock::Thinking { text, signature, id } => {
                Self::Thinking(wire::ThinkingContent { text, signature, id })
            }
            ContentBlock::RedactedThinking(data) => Self::RedactedThinking(wire::RedactedThinking { data }),
            ContentBlock::Refusal(text) => Self::Refusal(wire::RefusalContent { text }),
            ContentBlock::ToolCall { call, arguments } => {
                Self::ToolCall(wire::ToolCallContent { call: Some(call.into()), arguments })
            }
            ContentBlock::ToolResult { id, is_error, content } => {
                Self::ToolResult(wire::ToolResult { id, is_error, content: to_each(content) })
            }
            ContentBlock::Image { source, detail } => Self::Image(wire::Image { source: Some(source.into()), detail }),
            ContentBlock::Document { source, title } => {
                Self::Document(wire::Document { source: Some(source.into()), title })
            }
            ContentBlock::Audio { data, format } => Self::Audio(wire::Audio { data, format }),
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
            Wire::Thinking(wire::ThinkingContent { text, signature, id }) => Self::Thinking { text, signature, id },
            Wire::RedactedThinking(wire::RedactedThinking { data }) => Self::RedactedThinking(data),
            Wire::Refusal(wire::RefusalContent { text }) => Self::Refusal(text),
            Wire::ToolCall(wire::ToolCallContent { call, arguments }) => {
                Self::ToolCall { call: set(call, "tool_call.call")?.into(), arguments }
            }
            Wire::ToolResult(result) => nested(result, "tool_result")?,
            Wire::Image(wire::Image { source, detail }) => {
                Self::Image { source: message(source, "image.source")?, detail }
            }
            Wire::Document(wire::Document { source, title }) => {
                Self::Document { source: message(source, "document.source")?, title }
            }
            Wire::Audio(wire::Audio { data, format }) => Self::Audio { data, format },
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

impl From<Source> for wire::Source {
    fn from(source: Source) -> Self {
        use wire::source::Source as Wire;
        let source = match source {
            Source::Base64 { media_type, data } => Wire::Inline(wire::InlineSource { media_type, data }),
            Source::Url(url) => Wire::Url(url),
            Source::FileId(id) => Wire::FileId(id),
            Source::Text(text) => Wire::Text(text),
        };
        Self { source: Some(source) }
    }
}

impl TryFrom<wire::Source> for Source {
    type Error = Malformed;

    fn try_from(source: wire::Source) -> Result<Self, Malformed> {
        use wire::source::Source as Wire;
        Ok(match set(source.source, "source")? {
            Wire::Inline(wire::InlineSource { media_type, data }) => Self::Base64 { media_type, data },
            Wire::Url(url) => Self::Url(url),
            Wire::FileId(id) => Self::FileId(id),
            Wire::Text(text) => Self::Text(text),
        })
    }
}

impl From<Tool> for wire::Tool {
    fn from(tool: Tool) -> Self {
        let Tool { name, namespace, description, kind, extras } = tool;
        Self { name, description, kind: Some(kind.into()), namespace, extras_json: extras.into_text() }
    }
}

impl TryFrom<wire::Tool> for Tool {
    type Error = Malformed;

    fn try_from(tool: wire::Tool) -> Result<Self, Malformed> {
        Ok(Self {
            name: tool.name,
            namespace: tool.namespace,
            description: tool.description,
            kind: set(tool.kind, "kind")?.try_into()?,
            extras: extras(tool.extras_json, "extras_json")?,
        })
    }
}

impl From<ToolKind> for wire::tool::Kind {
    fn from(kind: ToolKind) -> Self {
        match kind {
            ToolKind::Function { schema, strict } => {
                Self::Function(wire::FunctionTool { schema_json: text_or_empty(&schema), strict })
            }
            ToolKind::Custom { format } => Self::Custom(wire::CustomTool { format_json: text_or_empty(&format) }),
            ToolKind::Hosted(value) => Self::HostedJson(value.to_string()),
        }
    }
}

impl TryFrom<wire::tool::Kind> for ToolKind {
    type Error = Malformed;

    fn try_from(kind: wire::tool::Kind) -> Result<Self, Malformed> {
        use wire::tool::Kind as Wire;
        Ok(match kind {
            Wire::Function(wire::FunctionTool { schema_json, strict }) => {
                Self::Function { schema: value_or_null(&schema_json, "function.schema_json")?, strict }
            }
            Wire::Custom(wire::CustomTool { format_json }) => {
                Self::Custom { format: value_or_null(&format_json, "custom.format_json")? }
            }
            Wire::HostedJson(text) => Self::Hosted(json(&text, "hosted_json")?),
        })
    }
}

/// Null is told by its absence.
fn text_or_empty(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}

fn value_or_null(text: &str, field: &str) -> Result<Value, Malformed> {
    Ok(optional_json(text, field)?.unwrap_or_default())
}

impl From<ToolChoice> for wire::ToolChoice {
    fn from(choice: ToolChoice) -> Self {
        use wire::tool_choice::Choice as Wire;
        let choice = match choice {
            ToolChoice::Auto => Wire::Auto(wire::Empty {}),
            ToolChoice::None => Wire::None(wire::Empty {}),
            ToolChoice::Required => Wire::Required(wire::Empty {}),
            ToolChoice::Named(name) => Wire::Named(name),
            ToolChoice::Allowed { required, names } => Wire::Allowed(wire::AllowedTools { required, names }),
            ToolChoice::Opaque(value) => Wire::OpaqueJson(value.to_string()),
        };
        Self { choice: Some(choice) }
    }
}

impl TryFrom<wire::ToolChoice> for ToolChoice {
    type Error = Malformed;

    fn try_from(choice: wire::ToolChoice) -> Result<Self, Malformed> {
        use wire::tool_choice::Choice as Wire;
        Ok(match set(choice.choice, "choice")? {
            Wire::Auto(wire::Empty {}) => Self::Auto,
            Wire::None(wire::Empty {}) => Self::None,
            Wire::Required(wire::Empty {}) => Self::Required,
            Wire::Named(name) => Self::Named(name),
            Wire::Allowed(wire::AllowedTools { required, names }) => Self::Allowed { required, names },
            Wire::OpaqueJson(text) => Self::Opaque(json(&text, "opaque_json")?),
        })
    }
}

impl From<Reasoning> for wire::Reasoning {
    fn from(Reasoning { mode, effort, shown }: Reasoning) -> Self {
        use wire::reasoning::Mode as Wire;
        let mode = match mode {
            ReasoningMode::Unset => None,
            ReasoningMode::Off => Some(Wire::Off(wire::Empty {})),
            ReasoningMode::Adaptive => Some(Wire::Adaptive(wire::Empty {})),
            ReasoningMode::Budget(tokens) => Some(Wire::Budget(tokens)),
        };
        Self { effort, shown, mode }
    }
}

impl From<wire::Reasoning> for Reasoning {
    fn from(wire::Reasoning { effort, shown, mode }: wire::Reasoning) -> Self {
        use wire::reasoning::Mode as Wire;
        let mode = match mode {
            None => ReasoningMode::Unset,
            Some(Wire::Off(wire::Empty {})) => ReasoningMode::Off,
            Some(Wire::Adaptive(wire::Empty {})) => ReasoningMode::Adaptive,
            Some(Wire::Budget(tokens)) => ReasoningMode::Budget(tokens),
        };
        Self { mode, effort, shown }
    }
}

impl From<OutputFormat> for wire::OutputFormat {
    fn from(format: OutputFormat) -> Self {
        use wire::output_format::Format as Wire;
        let format = match format {
            OutputFormat::Text => Wire::Text(wire::Empty {}),
            OutputFormat::JsonObject => Wire::JsonObject(wire::Empty {}),
            OutputFormat::JsonSchema { name, description, schema, strict } => {
                Wire::JsonSchema(wire::OutputSchema { name, description, schema_json: text_or_empty(&schema), strict })
            }
        };
        Self { format: Some(format) }
    }
}

impl TryFrom<wire::OutputFormat> for OutputFormat {
    type Error = Malformed;

    fn try_from(output: wire::OutputFormat) -> Result<Self, Malformed> {
        use wire::output_format::Format as Wire;
        Ok(match set(output.format, "format")? {
            Wire::Text(wire::Empty {}) => Self::Text,
            Wire::JsonObject(wire::Empty {}) => Self::JsonObject,
            Wire::JsonSchema(wire::OutputSchema { name, description, schema_json, strict }) => {
                let schema = value_or_null(&schema_json, "json_schema.schema_json")?;
                Self::JsonSchema { name, description, schema, strict }
            }
        })
    }
}

impl From<ServiceOptions> for wire::ServiceOptions {
    fn from(ServiceOptions { end_user, cache_key, tier, verbosity, store }: ServiceOptions) -> Self {
        Self { end_user, cache_key, tier, verbosity, store }
    }
}

impl From<wire::ServiceOptions> for ServiceOptions {
    fn from(wire::ServiceOptions { end_user, cache_key, tier, verbosity, store }: wire::ServiceOptions) -> Self {
        Self { end_user, cache_key, tier, verbosity, store }
    }
}
