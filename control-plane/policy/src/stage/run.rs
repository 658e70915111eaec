//! Running a hook so that its panic stays in the call.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::policy::{Hook, HookError, HookOutput, HookResult, PolicyCall, Seen};

/// Runs one hook of a response's chunk. `whole`: the block's content, for the hooks that see it whole.
pub(super) fn run(
    call: &mut (dyn PolicyCall + Send),
    hook: Hook,
    whole: &str,
    seen: &Seen<'_>,
    out: &mut HookOutput<'_>,
) -> HookResult {
    guard(|| match hook {
        Hook::ResponseStarted => call.on_response_started(seen, out),
        Hook::ChunkStarted => call.on_chunk_started(seen, out),
        Hook::ContentChunk => call.on_content_chunk(seen, out),
        Hook::ContentCompleted => call.on_content_completed(whole, seen, out),
        Hook::ThinkingChunk => call.on_thinking_chunk(seen, out),
        Hook::RefusalChunk => call.on_refusal_chunk(seen, out),
        Hook::ToolCallChunk => call.on_tool_call_chunk(seen, out),
        Hook::ToolCallCompleted => call.on_tool_call_completed(whole, seen, out),
        Hook::OpaqueChunk => call.on_opaque_chunk(seen, out),
        Hook::Usage => call.on_usage(seen, out),
        Hook::Finished => call.on_finished(seen, out),
        Hook::Failed => call.on_failed(seen, out),
        Hook::Request | Hook::Consulted | Hook::ResponseCompleted => Ok(()),
    })?;
    out.voice.misuse.take().map_or(Ok(()), Err)
}

/// Runs what a policy wrote; its panic becomes an error.
pub(crate) fn guard<T>(run: impl FnOnce() -> Result<T, HookError>) -> Result<T, HookError> {
    // A policy whose code panicked is never run again, so nothing sees what it left half done.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(HookError(format!("panicked: {}", text(&*panic)))))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}
