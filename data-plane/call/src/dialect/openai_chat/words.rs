//! Why a choice is finished.

use luthien_proto::event::{FinishReason, Finished};

/// What `finish_reason` means.
pub(super) fn finished(choice: u32, word: String) -> Finished {
    let reason = reason(&word);
    let word = if own_word(reason) == Some(word.as_str()) { String::new() } else { word };
    Finished { choice, reason, word, stop_sequence: None }
}

/// The `finish_reason` to write. A word that no longer means the reason is not written.
pub(super) fn word(finished: &Finished) -> &str {
    if !finished.word.is_empty() && reason(&finished.word) == finished.reason {
        return &finished.word;
    }
    own_word(finished.reason).unwrap_or(match finished.reason {
        FinishReason::ContextWindow => "length",
        FinishReason::Refusal => "content_filter",
        FinishReason::EndTurn
        | FinishReason::MaxTokens
        | FinishReason::StopSequence
        | FinishReason::ToolUse
        | FinishReason::ContentFilter
        | FinishReason::Pause
        | FinishReason::Other => "stop",
    })
}

fn reason(word: &str) -> FinishReason {
    match word {
        "stop" => FinishReason::EndTurn,
        "length" => FinishReason::MaxTokens,
        "tool_calls" | "function_call" => FinishReason::ToolUse,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

fn own_word(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::EndTurn => Some("stop"),
        FinishReason::MaxTokens => Some("length"),
        FinishReason::ToolUse => Some("tool_calls"),
        FinishReason::ContentFilter => Some("content_filter"),
        FinishReason::StopSequence
        | FinishReason::Refusal
        | FinishReason::ContextWindow
        | FinishReason::Pause
        | FinishReason::Other => None,
    }
}
