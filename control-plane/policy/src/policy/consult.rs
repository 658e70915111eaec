//! Questions of policies to models.

use std::time::Duration;

use luthien_proto::{
    Event, Request, Step,
    event::{BlockDelta, BlockKind, CallError, Delta},
    message::Credentials,
};

/// What a model is asked, beside the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is asked. Its model is the proxy's to route, unless `upstream` says where it is.
    pub request: Request,
    /// The name, in the proxy's configuration, of the upstream to ask; empty: where the proxy's routes lead the model.
    pub upstream: String,
    /// With whose credentials.
    pub credentials: Credentials,
    /// How long the answer may take; `None`: as long as the proxy lets it.
    pub deadline: Option<Duration>,
    /// Whether the answer to an equal question of the same session will do, if the proxy still has it.
    pub reuse: bool,
}

/// A consult of a policy, within one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsultId(pub(crate) u64);

/// The answer to a consult.
#[derive(Clone, Copy, Debug)]
pub struct Consulted<'a> {
    /// The consult.
    pub id: ConsultId,
    /// What the model said, as of any response; the last one is Ended or Failed.
    pub events: &'a [Event],
}

impl<'a> Consulted<'a> {
    /// All text of the first choice.
    ///
    /// # Errors
    /// The consult failed: how.
    pub fn text(&self) -> Result<String, &'a CallError> {
        let mut texts = Vec::new();
        let mut whole = String::new();
        for event in self.events {
            match &event.step {
                Step::BlockStarted(started) if started.choice == 0 && started.kind == BlockKind::Text => {
                    texts.push(started.block);
                }
                Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }) if texts.contains(block) => {
                    whole.push_str(text);
                }
                Step::Failed(error) => return Err(error),
                Step::Started(_)
                | Step::BlockStarted(_)
                | Step::BlockDelta(_)
                | Step::BlockStopped(_)
                | Step::Usage(_)
                | Step::Finished(_)
                | Step::Opaque(_)
                | Step::Ended => {}
            }
        }
        Ok(whole)
    }
}
