//! `noop`: everything passes, and is recorded.

use luthien_proto::message::{CallStarted, FailureMode, Interest, Level};

use serde_json::{Value, json};

use super::{Common, object};
use crate::{Hooks, Policy, PolicyCall};

/// The policy.
pub(super) struct Noop {
    common: Common,
}

/// It has no hooks, so its coverage says that it saw nothing.
struct Call;

impl PolicyCall for Call {}

impl Noop {
    pub fn new(common: Common) -> Self {
        Self { common }
    }
}

/// There is nothing to configure.
pub(super) fn schema() -> Value {
    object(json!({}), &[], json!([{}]))
}

impl Policy for Noop {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn hooks(&self) -> Hooks {
        Hooks::NONE
    }

    fn interest(&self, _: &CallStarted) -> Interest {
        Interest::all(Level::Record)
    }

    fn failure_mode(&self) -> FailureMode {
        self.common.failure_mode
    }

    fn begin(&self, _: &CallStarted) -> Box<dyn PolicyCall + Send> {
        Box::new(Call)
    }
}
