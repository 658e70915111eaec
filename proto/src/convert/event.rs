//! Chunks, and what happens in each.

use super::{Malformed, extras, json, message, nested, set, status};
use crate::{
    event::{
        BlockDelta, BlockKey, BlockKind, BlockStarted, CallError, Chunk, Delta, Event, FinishReason, Finished, Started,
        Step, ToolCall, ToolForm, Usage,
    },
    wire,
};

impl From<Chunk> for wire::Chunk {
    fn from(chunk: Chunk) -> Self {
        Self { seq: chunk.seq, arrived_us: chunk.arrived_us, event: Some(chunk.event.into()) }
    }
}

impl TryFrom<wire::Chunk> for Chunk {
    type Error = Malformed;

    fn try_from(chunk: wire::Chunk) -> Result<Self, Malformed> {
        if chunk.seq == 0 {
            return Err(Malformed::new("seq", "seqs begin at 1"));
        }
        Ok(Self { seq: chunk.seq, arrived_us: chunk.arrived_us, event: message(chunk.event, "event")? })
    }
}

impl From<Event> for wire::Event {
    fn from(event: Event) -> Self {
        Self { event: Some(event.step.into()), extras_json: event.extras.into_text() }
    }
}

impl TryFrom<wire::Event> for Event {
    type Error = Malformed;

    fn try_from(event: wire::Event) -> Result<Self, Malformed> {
        Ok(Self { step: set(event.event, "event")?.try_into()?, extras: extras(event.extras_json, "extras_json")? })
    }
}

impl From<Step> for wire::event::Event {
    fn from(step: Step) -> Self {
        match step {
            Step::Started(started) => Self::Started(started.into()),
            Step::BlockStarted(started) => Self::BlockStarted(started.into()),
            Step::BlockDelta(delta) => Self::BlockDelta(delta.into()),
            Step::BlockStopped(BlockKey(block)) => Self::BlockStopped(wire::BlockStopped { block }),
            Step::Usage(usage) => Self::Usage(usage.into()),
            Step::Finished(finished) => Self::Finished(finished.into()),
            Step::Opaque(value) => Self::Opaque(wire::Opaque { json: value.to_string() }),
            Step::Ended => Self::Ended(wire::Ended {}),
            Step::Failed(error) => Self::Failed(wire::Failed { error: Some(error.into()) }),
        }
    }
}

impl TryFrom<wire::event::Event> for Step {
    type Error = Malformed;

    fn try_from(event: wire::event::Event) -> Result<Self, Malformed> {
        use wire::event::Event as Wire;
        Ok(match event {
            Wire::Started(started) => Self::Started(started.into()),
            Wire::BlockStarted(started) => Self::BlockStarted(nested(started, "block_started")?),
            Wire::BlockDelta(delta) => Self::BlockDelta(nested(delta, "block_delta")?),
            Wire::BlockStopped(stopped) => Self::BlockStopped(BlockKey(stopped.block)),
            Wire::Usage(usage) => Self::Usage(nested(usage, "usage")?),
            Wire::Finished(finished) => Self::Finished(finished.into()),
            Wire::Opaque(opaque) => Self::Opaque(json(&opaque.json, "opaque.json")?),
            Wire::Ended(wire::Ended {}) => Self::Ended,
            Wire::Failed(failed) => Self::Failed(message(failed.error, "failed.error")?),
        })
    }
}

impl From<Started> for wire::Started {
    fn from(Started { id, model, created }: Started) -> Self {
        Self { id, model, created }
    }
}

impl From<wire::Started> for Started {
    fn from(wire::Started { id, model, created }: wire::Started) -> Self {
        Self { id, model, created }
    }
}

impl From<BlockStarted> for wire::BlockStarted {
    fn from(started: BlockStarted) -> Self {
        Self { block: started.block.0, choice: started.choice, kind: Some(started.kind.into()) }
    }
}

impl TryFrom<wire::BlockStarted> for BlockStarted {
    type Error = Malformed;

    fn try_from(started: wire::BlockStarted) -> Result<Self, Malformed> {
        let kind = set(started.kind, "kind")?.try_into()?;
        Ok(Self { block: BlockKey(started.block), choice: started.choice, kind })
    }
}

impl From<BlockKind> for wire::block_started::Kind {
    fn from(kind: BlockKind) -> Self {
        match kind {
            BlockKind::Text => Self::Text(wire::Text {}),
            BlockKind::Thinking { field, id } => Self::Thinking(wire::Thinking { field, id }),
            BlockKind::RedactedThinking { data } => Self::RedactedThinking(wire::RedactedThinking { data }),
            BlockKind::Refusal => Self::Refusal(wire::Refusal {}),
            BlockKind::ToolCall(call) => Self::ToolCall(call.into()),
            BlockKind::Opaque(value) => Self::Opaque(wire::OpaqueBlock { json: value.to_string() }),
        }
    }
}

impl TryFrom<wire::block_started::Kind> for BlockKind {
    type Error = Malformed;

    fn try_from(kind: wire::block_started::Kind) -> Result<Self, Malformed> {
        use wire::block_started::Kind as Wire;
        Ok(match kind {
            Wire::Text(wire::Text {}) => Self::Text,
            Wire::Thinking(wire::Thinking { field, id }) => Self::Thinking { field, id },
            Wire::RedactedThinking(wire::RedactedThinking { data }) => Self::RedactedThinking { data },
            Wire::Refusal(wire::Refusal {}) => Self::Refusal,
            Wire::ToolCall(call) => Self::ToolCall(call.into()),
            Wire::Opaque(opaque) => Self::Opaque(json(&opaque.json, "opaque.json")?),
        })
    }
}

impl From<ToolCall> for wire::ToolCall {
    fn from(call: ToolCall) -> Self {
        let form = wire::ToolForm::from(call.form).into();
        Self { id: call.id, name: call.name, form, r#type: call.type_, namespace: call.namespace }
    }
}

impl From<wire::ToolCall> for ToolCall {
    fn from(call: wire::ToolCall) -> Self {
        let form = call.form().into();
        Self { form, id: call.id, name: call.name, type_: call.r#type, namespace: call.namespace }
    }
}

impl From<ToolForm> for wire::ToolForm {
    fn from(form: ToolForm) -> Self {
        match form {
            ToolForm::Function => Self::Function,
            ToolForm::Custom => Self::Custom,
            ToolForm::Legacy => Self::Legacy,
            ToolForm::Server => Self::Server,
        }
    }
}

impl From<wire::ToolForm> for ToolForm {
    fn from(form: wire::ToolForm) -> Self {
        match form {
            wire::ToolForm::Function => Self::Function,
            wire::ToolForm::Custom => Self::Custom,
            wire::ToolForm::Legacy => Self::Legacy,
            wire::ToolForm::Server | wire::ToolForm::Unspecified => Self::Server,
        }
    }
}

impl From<BlockDelta> for wire::BlockDelta {
    fn from(delta: BlockDelta) -> Self {
        Self { block: delta.block.0, delta: Some(delta.delta.into()) }
    }
}

impl TryFrom<wire::BlockDelta> for BlockDelta {
    type Error = Malformed;

    fn try_from(delta: wire::BlockDelta) -> Result<Self, Malformed> {
        Ok(Self { block: BlockKey(delta.block), delta: set(delta.delta, "delta")?.try_into()? })
    }
}

impl From<Delta> for wire::block_delta::Delta {
    fn from(delta: Delta) -> Self {
        match delta {
            Delta::Text(text) => Self::Text(text),
            Delta::Arguments(text) => Self::Arguments(text),
            Delta::Signature(text) => Self::Signature(text),
            Delta::Opaque(value) => Self::OpaqueJson(value.to_string()),
        }
    }
}

impl TryFrom<wire::block_delta::Delta> for Delta {
    type Error = Malformed;

    fn try_from(delta: wire::block_delta::Delta) -> Result<Self, Malformed> {
        use wire::block_delta::Delta as Wire;
        Ok(match delta {
            Wire::Text(text) => Self::Text(text),
            Wire::Arguments(text) => Self::Arguments(text),
            Wire::Signature(text) => Self::Signature(text),
            Wire::OpaqueJson(text) => Self::Opaque(json(&text, "opaque_json")?),
        })
    }
}

impl From<Usage> for wire::Usage {
    fn from(usage: Usage) -> Self {
        let Usage { input, cache_read, cache_write, output, thinking, raw } = usage;
        Self { input, cache_read, cache_write, output, thinking, json: raw.into_text() }
    }
}

impl TryFrom<wire::Usage> for Usage {
    type Error = Malformed;

    fn try_from(usage: wire::Usage) -> Result<Self, Malformed> {
        let wire::Usage { input, cache_read, cache_write, output, thinking, json } = usage;
        Ok(Self { input, cache_read, cache_write, output, thinking, raw: extras(json, "json")? })
    }
}

impl From<Finished> for wire::Finished {
    fn from(finished: Finished) -> Self {
        let Finished { choice, reason, word, stop_sequence } = finished;
        Self { choice, reason: wire::FinishReason::from(reason).into(), word, stop_sequence }
    }
}

impl From<wire::Finished> for Finished {
    fn from(finished: wire::Finished) -> Self {
        let reason = FinishReason::from_wire(finished.reason).unwrap_or(FinishReason::Other);
        Self { choice: finished.choice, reason, word: finished.word, stop_sequence: finished.stop_sequence }
    }
}

impl From<FinishReason> for wire::FinishReason {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::EndTurn => Self::EndTurn,
            FinishReason::MaxTokens => Self::MaxTokens,
            FinishReason::StopSequence => Self::StopSequence,
            FinishReason::ToolUse => Self::ToolUse,
            FinishReason::Refusal => Self::Refusal,
            FinishReason::ContentFilter => Self::ContentFilter,
            FinishReason::ContextWindow => Self::ContextWindow,
            FinishReason::Pause => Self::Pause,
            FinishReason::Other => Self::Other,
        }
    }
}

impl FinishReason {
    /// The reason of that number; `None`: unspecified. A number that is not known is [`Self::Other`].
    pub(super) fn from_wire(number: i32) -> Option<Self> {
        use wire::FinishReason as Wire;
        match Wire::try_from(number) {
            Ok(Wire::Unspecified) => None,
            Ok(Wire::EndTurn) => Some(Self::EndTurn),
            Ok(Wire::MaxTokens) => Some(Self::MaxTokens),
            Ok(Wire::StopSequence) => Some(Self::StopSequence),
            Ok(Wire::ToolUse) => Some(Self::ToolUse),
            Ok(Wire::Refusal) => Some(Self::Refusal),
            Ok(Wire::ContentFilter) => Some(Self::ContentFilter),
            Ok(Wire::ContextWindow) => Some(Self::ContextWindow),
            Ok(Wire::Pause) => Some(Self::Pause),
            Ok(Wire::Other) | Err(_) => Some(Self::Other),
        }
    }
}

impl From<CallError> for wire::CallError {
    fn from(error: CallError) -> Self {
        let CallError { status, type_, message, code, param } = error;
        Self { status: status.into(), r#type: type_, message, code, param }
    }
}

impl TryFrom<wire::CallError> for CallError {
    type Error = Malformed;

    fn try_from(error: wire::CallError) -> Result<Self, Malformed> {
        let wire::CallError { status: number, r#type: type_, message, code, param } = error;
        Ok(Self { status: status(number, "status")?, type_, message, code, param })
    }
}
