//! Messages are kept once. An agent sends its whole history with each call; what is written of it is what is new.

mod known;
mod references;

use serde_json::Value;

use super::{Batch, Hash, History, Message, Period};
pub(super) use known::Known;
pub(super) use references::{Reference, inline_messages, put_back, references};

/// Puts references in the place of what a request repeats, and into the batch what may not be on record yet. Tells what
/// of its messages is new.
pub(super) fn take_out(request: &mut Value, period: Period, known: &mut Known, batch: &mut Batch) -> Vec<Value> {
    let mut new = Vec::new();
    let mut out = TakingOut { period, known, batch };
    for field in ["system", "tools"] {
        if let Some(list @ Value::Array(_)) = request.get_mut(field) {
            let (hash, is_new) = out.message(list);
            let list = std::mem::replace(list, Reference::Message(period, hash).to_json());
            new.extend((is_new && field == "system").then_some(list));
        }
    }
    if let Some(messages) = request.get_mut("messages")
        && let Value::Array(list) = messages
        && let Some(history) = out.history(list, &mut new)
    {
        *messages = Reference::History(period, history).to_json();
    }
    new
}

struct TakingOut<'a> {
    period: Period,
    known: &'a mut Known,
    batch: &'a mut Batch,
}

impl TakingOut<'_> {
    /// `None`: there are no messages.
    fn history(&mut self, messages: &mut [Value], new: &mut Vec<Value>) -> Option<Hash> {
        let (period, mut parent) = (self.period, None);
        for (length, message) in (1..).zip(messages) {
            let (hash, is_new) = self.message(message);
            let history = Hash::of_history(parent, hash);
            if self.known.is_new(history) {
                self.batch.histories.push(History { period, hash: history, parent, message: hash, length });
            }
            new.extend(is_new.then(|| message.take()));
            parent = Some(history);
        }
        parent
    }

    fn message(&mut self, message: &Value) -> (Hash, bool) {
        let body = message.to_string();
        let hash = Hash::of(&body);
        let is_new = self.known.is_new(hash);
        if is_new {
            self.batch.messages.push(Message { period: self.period, hash, body });
        }
        (hash, is_new)
    }
}
