//! Which hooks there are, and which a policy has.

use std::ops::BitOr;

/// A hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// `on_request`
    Request,
    /// `on_response_started`
    ResponseStarted,
    /// `on_chunk_started`
    ChunkStarted,
    /// `on_content_chunk`
    ContentChunk,
    /// `on_content_completed`
    ContentCompleted,
    /// `on_thinking_chunk`
    ThinkingChunk,
    /// `on_refusal_chunk`
    RefusalChunk,
    /// `on_tool_call_chunk`
    ToolCallChunk,
    /// `on_tool_call_completed`
    ToolCallCompleted,
    /// `on_opaque_chunk`
    OpaqueChunk,
    /// `on_usage`
    Usage,
    /// `on_finished`
    Finished,
    /// `on_failed`
    Failed,
    /// `on_consulted`
    Consulted,
    /// `on_response_completed`
    ResponseCompleted,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 15] = [
        Self::Request,
        Self::ResponseStarted,
        Self::ChunkStarted,
        Self::ContentChunk,
        Self::ContentCompleted,
        Self::ThinkingChunk,
        Self::RefusalChunk,
        Self::ToolCallChunk,
        Self::ToolCallCompleted,
        Self::OpaqueChunk,
        Self::Usage,
        Self::Finished,
        Self::Failed,
        Self::Consulted,
        Self::ResponseCompleted,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "on_request",
            Self::ResponseStarted => "on_response_started",
            Self::ChunkStarted => "on_chunk_started",
            Self::ContentChunk => "on_content_chunk",
            Self::ContentCompleted => "on_content_completed",
            Self::ThinkingChunk => "on_thinking_chunk",
            Self::RefusalChunk => "on_refusal_chunk",
            Self::ToolCallChunk => "on_tool_call_chunk",
            Self::ToolCallCompleted => "on_tool_call_completed",
            Self::OpaqueChunk => "on_opaque_chunk",
            Self::Usage => "on_usage",
            Self::Finished => "on_finished",
            Self::Failed => "on_failed",
            Self::Consulted => "on_consulted",
            Self::ResponseCompleted => "on_response_completed",
        }
    }
}

/// A set of hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks(u16);

impl Hooks {
    /// None.
    pub const NONE: Self = Self(0);

    /// Those.
    pub const fn of(hooks: &[Hook]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < hooks.len() {
            bits |= 1 << hooks[index] as u16;
            index += 1;
        }
        Self(bits)
    }

    /// Whether the hook is among them.
    pub const fn has(self, hook: Hook) -> bool {
        self.0 & (1 << hook as u16) != 0
    }
}

impl BitOr for Hooks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
