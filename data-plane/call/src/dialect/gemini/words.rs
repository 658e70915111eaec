//! Why a candidate is finished.

use luthien_proto::event::{CallError, FinishReason, Finished};

/// What a `finishReason` means.
pub(super) enum Finish {
    /// The candidate is complete, or as complete as it gets.
    Finished(Finished),
    /// The model did not come to an answer.
    Failed(CallError),
}

/// What a `finishReason` of a candidate means, in which tools were called or not: that there are calls is not said.
pub(super) fn finish(choice: u32, word: &str, called: bool, message: Option<&str>) -> Finish {
    let (reason, is_told) = match word {
        "STOP" | "" if called => (FinishReason::ToolUse, true),
        "STOP" | "" => (FinishReason::EndTurn, true),
        "MAX_TOKENS" => (FinishReason::MaxTokens, true),
        "CONTINUATION" => (FinishReason::Pause, true),
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => {
            (FinishReason::ContentFilter, false)
        }
        _ if word.starts_with("IMAGE_") => (FinishReason::ContentFilter, false),
        _ if is_failure(word) => return Finish::Failed(failed(word, message)),
        _ => (FinishReason::Other, false),
    };
    let word = if is_told { String::new() } else { word.to_owned() };
    Finish::Finished(Finished { word, ..Finished::new(choice, reason) })
}

/// The finish of a prompt that the provider did not let pass.
pub(super) fn refused(block_reason: &str) -> Finished {
    Finished { word: block_reason.to_owned(), ..Finished::new(0, FinishReason::ContentFilter) }
}

/// Whether a reason says nothing.
pub(super) fn is_unspecified(word: &str) -> bool {
    matches!(word, "" | "FINISH_REASON_UNSPECIFIED" | "BLOCK_REASON_UNSPECIFIED" | "BLOCKED_REASON_UNSPECIFIED")
}

/// Whether a `finishReason` says that there is no answer to work with.
pub(super) fn is_failure(word: &str) -> bool {
    matches!(
        word,
        "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MALFORMED_RESPONSE"
            | "MISSING_THOUGHT_SIGNATURE"
    )
}

fn failed(word: &str, message: Option<&str>) -> CallError {
    let message = match message {
        Some(message) if !message.is_empty() => format!("The model gave no answer that can be used: {word}: {message}"),
        Some(_) | None => format!("The model gave no answer that can be used: {word}"),
    };
    CallError { status: 502, message, ..CallError::default() }
}
