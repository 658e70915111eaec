//! What a policy is.

mod consult;
mod hooks;
mod output;

use std::sync::Arc;

use luthien_proto::{
    event::{BlockKey, Event, Kind, ToolCall},
    message::{CallStarted, FailureMode, Interest, Outcome},
};

pub use consult::{ConsultId, Consulted, Question};
pub use hooks::{Hook, Hooks};
pub use output::{ConsultedOutput, Held, HookOutput, MootOutput, RequestOutput, SummaryOutput};
pub(crate) use output::{Notes, Ruling, Stop, Voice};

use crate::Remote;

/// Configured behaviour. Immutable: what it knows of a call is in the [`PolicyCall`] that it begins.
pub trait Policy: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// The hooks that it has. No other is run, and its coverage is counted from these.
    fn hooks(&self) -> Hooks;

    /// What it wants of each kind of content in this call. What it does not gate, it can't change.
    fn interest(&self, call: &CallStarted) -> Interest;

    /// What becomes of a call in which it fails.
    fn failure_mode(&self) -> FailureMode;

    /// Its state for one call.
    fn begin(&self, call: &CallStarted) -> Box<dyn PolicyCall + Send>;

    /// The policies that it is made of, if it is a group of judges that work at once. They are run instead of it, each under
    /// its own name; what one of them refuses is refused.
    fn members(&self) -> &[Arc<dyn Policy>] {
        &[]
    }

    /// How it is reached, if somebody else serves it: then its hooks are not run, and it is told of the call.
    fn remote(&self) -> Option<&Arc<Remote>> {
        None
    }
}

/// A policy failed at its work: what its failure mode says happens to the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HookError(pub String);

/// How a hook ends.
pub type HookResult = Result<(), HookError>;

/// A policy in one call. Hooks are synchronous and pure: what they do depends on nothing but what they are shown, and
/// they speak through their output. Saying nothing passes the chunk.
///
/// Of a kind that is gated or observed, the `*_chunk` hooks run for each chunk (a block's start, its pieces, its stop;
/// for text and tool calls the stop runs the `*_completed` hook instead). Of a kind that is only recorded, the
/// `*_completed` hooks alone run. A block that is cut off because the response is over runs the hook of its stop too,
/// with [`Seen::stopped`] false, before the last chunk does; and so, once more, does a block of which the stop is still
/// held then.
#[expect(unused_variables, reason = "the names are documentation")]
pub trait PolicyCall {
    /// The request, before anything is sent upstream.
    fn on_request(&mut self, call: &CallStarted, out: &mut RequestOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The model began to answer.
    fn on_response_started(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// Any chunk, before the hook of its kind. What that one says stands.
    fn on_chunk_started(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The start or a piece of a text block.
    fn on_content_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The stop of a text block.
    fn on_content_completed(&mut self, text: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The start, a piece or the stop of a thinking block, redacted or not.
    fn on_thinking_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The start, a piece or the stop of a refusal.
    fn on_refusal_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The start or a piece of a tool call.
    fn on_tool_call_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The stop of a tool call, and its arguments as the model wrote them.
    fn on_tool_call_completed(&mut self, arguments: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The start, a piece or the stop of an opaque block; an opaque piece of any block; an opaque step.
    fn on_opaque_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// Tokens so far.
    fn on_usage(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// A choice is complete.
    fn on_finished(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The response failed.
    fn on_failed(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        Ok(())
    }

    /// A model answered. It does not come once the response is over by a policy's word, nor for what was cancelled.
    fn on_consulted(&mut self, consulted: &Consulted<'_>, out: &mut ConsultedOutput<'_>) -> HookResult {
        Ok(())
    }

    /// In a group: another policy has refused a block. What this one holds of it was let go of, and nothing more of it
    /// will be shown to it.
    fn on_moot(&mut self, block: BlockKey, out: &mut MootOutput<'_>) -> HookResult {
        Ok(())
    }

    /// The call is over. Always, and once, whatever happened. What the policy asked and was not answered, it will not be.
    fn on_response_completed(&mut self, outcome: Outcome, out: &mut SummaryOutput<'_>) -> HookResult {
        Ok(())
    }
}

/// What a hook is shown.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The seq of the last chunk that the event was made from.
    pub seq: u64,
    /// When that arrived: microseconds since the call began.
    pub arrived_us: u64,
    /// What happened.
    pub event: &'a Event,
    /// The block that it belongs to, if any.
    pub block: Option<SeenBlock<'a>>,
    /// Whether the event really came. False only for a [`luthien_proto::Step::BlockStopped`] that stands for the stop
    /// that never came, because the response is over.
    pub stopped: bool,
}

/// The block that an event belongs to.
#[derive(Clone, Copy, Debug)]
pub struct SeenBlock<'a> {
    /// Its key.
    pub key: BlockKey,
    /// The alternative answer that it belongs to.
    pub choice: u32,
    /// What it is.
    pub kind: Kind,
    /// The tool call's head, if it is one.
    pub tool: Option<&'a ToolCall>,
}

/// Where an event belongs, for interest and coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// To content of that kind.
    Kind(Kind),
    /// To no block.
    Call,
}

impl Place {
    /// Every place.
    pub(crate) const ALL: [Self; 6] = [
        Self::Kind(Kind::Text),
        Self::Kind(Kind::Thinking),
        Self::Kind(Kind::Refusal),
        Self::Kind(Kind::ToolCall),
        Self::Kind(Kind::Opaque),
        Self::Call,
    ];

    /// Its name in the record.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.name(),
            Self::Call => "call",
        }
    }

    /// Its position in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Kind(kind) => kind as usize,
            Self::Call => Kind::ALL.len(),
        }
    }
}
