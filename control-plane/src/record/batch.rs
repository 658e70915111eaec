//! What is written of calls.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Hash, Period, Summary};

/// What is written at once. It can be kept as text and written later, or again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The period that it was made in.
    #[serde(default)]
    pub period: Period,
    /// Calls at a glance, of streams that begin and that are over. Each replaces what is on record of its call if it
    /// [supersedes](Summary::supersedes) that.
    #[serde(default)]
    pub summaries: Vec<Summary>,
    /// Added to the calls' entries. One that is there already is kept as it is.
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// What the entries refer to, as far as it may not be there yet.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// The same of histories. Whatever they consist of is there, or in the same batch.
    #[serde(default)]
    pub histories: Vec<History>,
    /// What the calls are found by.
    #[serde(default)]
    pub texts: Vec<Text>,
}

impl Batch {
    /// This, and then that.
    pub(super) fn and(mut self, then: Self) -> Self {
        let Self { period, summaries, entries, messages, histories, texts } = then;
        self.period = period.max(self.period);
        self.summaries.extend(summaries);
        self.entries.extend(entries);
        self.messages.extend(messages);
        self.histories.extend(histories);
        self.texts.extend(texts);
        self
    }
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The entries that are on record with another content: two streams of a call claim the same epoch.
    pub conflicts: Vec<EntryKey>,
}

/// Which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey {
    /// The call.
    pub call_id: Uuid,
    /// The stream of it.
    pub epoch: u32,
    /// The number within the epoch.
    pub seq: u64,
}

/// One durable item of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The call.
    pub call_id: Uuid,
    /// Which of the call's streams it came from.
    pub epoch: u32,
    /// Its number within the epoch, dense from 0.
    pub seq: u64,
    /// When: microseconds since the call began.
    pub at_us: u64,
    /// What it is: the `type` of its body.
    pub kind: Cow<'static, str>,
    /// The entry as a JSON object. When it is written, references stand in the place of messages; when it is read,
    /// the messages do.
    pub body: String,
}

/// A message, or a list of system blocks or of tools: whatever requests repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The period that it is kept for.
    pub period: Period,
    /// The hash of its body.
    pub hash: Hash,
    /// JSON text.
    pub body: String,
}

/// A message and all that were before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The period that it is kept for; all that it consists of is of the same.
    pub period: Period,
    /// The hash of what follows.
    pub hash: Hash,
    /// The history before; `None`: the message is the first.
    pub parent: Option<Hash>,
    /// The message.
    pub message: Hash,
    /// How many messages there are.
    pub length: u32,
}

/// What was said in some entries of a call, as far as it is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The call.
    pub call_id: Uuid,
    /// The stream of it.
    pub epoch: u32,
    /// The first of the entries.
    pub seq: u64,
    /// What was said, in no particular form.
    pub text: String,
}

impl Entry {
    /// Which one it is.
    pub fn key(&self) -> EntryKey {
        EntryKey { call_id: self.call_id, epoch: self.epoch, seq: self.seq }
    }
}
