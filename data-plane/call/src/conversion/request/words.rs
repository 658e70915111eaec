//! What was lost, in the client's own words.

use luthien_proto::request::Dialect;

use crate::dialect::Lost;

/// The encoders name fields as most know them; the client is told of its own.
pub(in crate::conversion) fn of_client(lost: Lost, client: Dialect) -> Lost {
    let mut told = Lost::default();
    lost.dropped.iter().for_each(|field| told.drop(word(field, client)));
    lost.omitted.iter().for_each(|field| told.omit(word(field, client)));
    told
}

fn word(field: &str, client: Dialect) -> &str {
    match client {
        Dialect::OpenAiChat => match field {
            // What comes of an effort.
            "thinking" => "reasoning_effort",
            "arguments" => "tool_calls.function.arguments",
            _ => field,
        },
        Dialect::AnthropicMessages => match field {
            "stop" => "stop_sequences",
            "user" => "metadata.user_id",
            "reasoning" | "reasoning_effort" | "reasoning_content" => "thinking",
            "response_format" => "output_config.format",
            "parallel_tool_calls" => "tool_choice.disable_parallel_tool_use",
            "arguments" | "tool_calls.function.arguments" => "content.input",
            _ => field,
        },
        Dialect::OpenAiResponses => match field {
            "user" => "safety_identifier",
            "verbosity" => "text.verbosity",
            "thinking" | "reasoning_effort" | "reasoning_content" => "reasoning",
            "thinking.display" => "reasoning.summary",
            "response_format" => "text.format",
            "response_format.json_schema.strict" => "text.format.strict",
            "arguments" | "tool_calls.function.arguments" => "input.arguments",
            _ => field,
        },
        Dialect::Gemini => field,
    }
}
