//! Why the message is finished.

use luthien_proto::event::{FinishReason, Finished};

/// What `stop_reason` means.
pub(super) fn finished(word: String, stop_sequence: Option<String>) -> Finished {
    let reason = reason(&word);
    let word = if own_word(reason) == word { String::new() } else { word };
    Finished { choice: 0, reason, word, stop_sequence }
}

/// The `stop_reason` to write. A word that no longer means the reason is not written.
pub(super) fn word(finished: &Finished) -> &str {
    if !finished.word.is_empty() && reason(&finished.word) == finished.reason {
        return &finished.word;
    }
    own_word(finished.reason)
}

fn reason(word: &str) -> FinishReason {
    match word {
        "end_turn" => FinishReason::EndTurn,
        "max_tokens" => FinishReason::MaxTokens,
        "stop_sequence" => FinishReason::StopSequence,
        "tool_use" => FinishReason::ToolUse,
        "refusal" => FinishReason::Refusal,
        "model_context_window_exceeded" => FinishReason::ContextWindow,
        "pause_turn" => FinishReason::Pause,
        _ => FinishReason::Other,
    }
}

fn own_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::EndTurn | FinishReason::Other => "end_turn",
        FinishReason::MaxTokens => "max_tokens",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::ToolUse => "tool_use",
        FinishReason::Refusal | FinishReason::ContentFilter => "refusal",
        FinishReason::ContextWindow => "model_context_window_exceeded",
        FinishReason::Pause => "pause_turn",
    }
}
