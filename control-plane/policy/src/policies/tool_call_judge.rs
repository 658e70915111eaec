//! `tool_call_judge`: tool calls are held until a model has judged them.
//!
//! Text flows. Each call is judged when it is whole, several calls of a turn at once; one that is refused becomes a text
//! that says why, and the other calls of the turn stay. Equal calls within an answer are asked about once. What can't be
//! judged is refused, unless an operator wrote otherwise. What has no place in the canonical model and looks like a call is
//! judged like one.

mod bench;
mod call;
mod docket;
mod opinion;
mod question;
mod settings;

use std::sync::Arc;

use call::Call;
use luthien_proto::{
    event::Kind,
    message::{CallStarted, FailureMode, Interest, Level},
};
use settings::Settings;
pub(super) use settings::schema;

use super::Common;
use crate::{BuildError, Hook, Hooks, Policy, PolicyCall, set::Fields};

/// The policy.
pub(super) struct ToolCallJudge {
    common: Common,
    settings: Arc<Settings>,
}

impl ToolCallJudge {
    pub fn build(common: Common, fields: &mut Fields) -> Result<Self, BuildError> {
        Ok(Self { common, settings: Arc::new(Settings::read(fields)?) })
    }
}

impl Policy for ToolCallJudge {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::of(&[
            Hook::ToolCallChunk,
            Hook::ToolCallCompleted,
            Hook::OpaqueChunk,
            Hook::Failed,
            Hook::Consulted,
            Hook::ResponseCompleted,
        ])
    }

    fn interest(&self, _: &CallStarted) -> Interest {
        Interest::all(Level::Record).with(Kind::ToolCall, Level::Gate).with(Kind::Opaque, Level::Gate)
    }

    fn failure_mode(&self) -> FailureMode {
        self.common.failure_mode
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Call::new(self.settings.clone()))
    }
}
