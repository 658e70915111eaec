//! Why the response is finished: its status, and the reason why it is incomplete.

use luthien_proto::event::{FinishReason, Finished};

/// Statuses that are neither completed, nor incomplete, nor failed.
const STATUSES: [&str; 3] = ["cancelled", "queued", "in_progress"];

/// How a response is finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct End<'a> {
    pub(super) status: &'a str,
    /// Why it is incomplete.
    pub(super) reason: Option<&'a str>,
}

/// What a status means. `complete`: what it means to be complete here.
pub(super) fn finished(status: &str, reason: &str, complete: FinishReason) -> Finished {
    match (status, reason) {
        ("" | "completed", _) => Finished::new(0, complete),
        ("incomplete", "max_output_tokens") => Finished::new(0, FinishReason::MaxTokens),
        ("incomplete", "content_filter") => Finished::new(0, FinishReason::ContentFilter),
        ("incomplete", "") => other("incomplete"),
        ("incomplete", reason) => other(reason),
        (status, _) => other(status),
    }
}

fn other(word: &str) -> Finished {
    Finished { word: word.to_owned(), ..Finished::new(0, FinishReason::Other) }
}

/// What to write. A word counts only where the reason is no other.
pub(super) fn end(finished: &Finished) -> End<'_> {
    match finished.reason {
        FinishReason::MaxTokens | FinishReason::ContextWindow => {
            End { status: "incomplete", reason: Some("max_output_tokens") }
        }
        FinishReason::ContentFilter => End { status: "incomplete", reason: Some("content_filter") },
        FinishReason::EndTurn
        | FinishReason::StopSequence
        | FinishReason::ToolUse
        | FinishReason::Refusal
        | FinishReason::Pause => End { status: "completed", reason: None },
        FinishReason::Other => match finished.word.as_str() {
            "" | "completed" | "failed" => End { status: "completed", reason: None },
            "incomplete" => End { status: "incomplete", reason: None },
            // They mean a reason that this is not.
            "max_output_tokens" | "content_filter" => End { status: "completed", reason: None },
            word if STATUSES.contains(&word) => End { status: word, reason: None },
            word => End { status: "incomplete", reason: Some(word) },
        },
    }
}
