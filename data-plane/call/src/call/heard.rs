//! What the upstream's answer says of itself.

use luthien_proto::event::{Event, FinishReason, Started, Step, Usage};

/// For those who tell of a call: the head of the answer, its ends, and what it cost.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Its head.
    pub started: Option<Started>,
    /// Why each choice was finished, in the order in which they were.
    pub finishes: Vec<FinishReason>,
    /// Tokens, as far as they were told.
    pub usage: Option<Usage>,
}

impl Heard {
    pub(super) fn hear(&mut self, event: &Event) {
        match &event.step {
            Step::Started(started) => self.started = Some(started.clone()),
            Step::Finished(finished) => self.finishes.push(finished.reason),
            Step::Usage(usage) => {
                let known = self.usage.get_or_insert_default();
                known.input = usage.input.or(known.input);
                known.cache_read = usage.cache_read.or(known.cache_read);
                known.cache_write = usage.cache_write.or(known.cache_write);
                known.output = usage.output.or(known.output);
                known.thinking = usage.thinking.or(known.thinking);
            }
            Step::BlockStarted(_)
            | Step::BlockDelta(_)
            | Step::BlockStopped(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => {}
        }
    }
}
