//! A session as it was told: the conversation once, not once per call.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{
    Cursor, Entry, FullCall, Hash, Period, Summary,
    messages::{Reference, inline_messages, references},
};

/// Some calls of a session, in the order in which they began.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// The calls.
    pub turns: Vec<Turn>,
    /// Where to go on, if there are more.
    pub next: Option<Cursor>,
}

/// A call of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// At a glance.
    pub call: Summary,
    /// Which of its epochs is told of.
    pub epoch: u32,
    /// The messages of its request that no call of the session before it had, as JSON. One that was said again counts as
    /// new; one that is only at another place does not.
    pub messages: Vec<String>,
    /// What happened in it: the entries of that epoch, but for the request.
    pub entries: Vec<Entry>,
}

/// A message of a request.
pub(super) enum Said {
    Kept(Period, Hash),
    Inline(String),
}

/// What a history consists of: the one before it, and a message.
pub(super) type Link = (Option<Hash>, Hash);

/// What was said in a session so far.
pub(super) struct Telling {
    links: HashMap<(Period, Hash), Link>,
    /// How often each message was in one request, at most.
    told: HashMap<Hash, usize>,
}

impl Telling {
    /// Of a session with such histories.
    pub(super) fn new(links: HashMap<(Period, Hash), Link>) -> Self {
        Self { links, told: HashMap::new() }
    }

    /// The messages of the next request that are new.
    pub(super) fn next(&mut self, request: &Entry) -> Vec<Said> {
        let mut counts: HashMap<Hash, usize> = HashMap::new();
        let mut new = Vec::new();
        for (hash, said) in self.messages_of(request) {
            let count = counts.entry(hash).or_default();
            *count += 1;
            if *count > self.told.get(&hash).copied().unwrap_or_default() {
                new.push(said);
            }
        }
        for (hash, count) in counts {
            let told = self.told.entry(hash).or_default();
            *told = count.max(*told);
        }
        new
    }

    fn messages_of(&self, request: &Entry) -> Vec<(Hash, Said)> {
        let Some((period, head)) = histories([request]).next() else {
            let inline = inline_messages(request).into_iter();
            return inline.map(|message| (Hash::of(&message), Said::Inline(message))).collect();
        };
        let mut messages = Vec::new();
        let mut at = Some(head);
        while let Some(&(parent, message)) = at.and_then(|at| self.links.get(&(period, at))) {
            messages.push((message, Said::Kept(period, message)));
            at = parent;
        }
        messages.reverse();
        messages
    }
}

/// The histories that requests refer to.
pub(super) fn histories<'a>(requests: impl IntoIterator<Item = &'a Entry>) -> impl Iterator<Item = (Period, Hash)> {
    references(requests).into_iter().filter_map(|reference| match reference {
        Reference::History(period, hash) => Some((period, hash)),
        Reference::Message(..) => None,
    })
}

/// What is shown of a call, without its request; and that.
pub(super) fn shown(call: FullCall) -> (Turn, Option<Entry>) {
    let epoch = call.epoch();
    let (requests, entries): (Vec<_>, Vec<_>) =
        call.entries.into_iter().filter(|entry| entry.epoch == epoch).partition(|entry| entry.kind == "request");
    (Turn { call: call.summary, epoch, messages: Vec::new(), entries }, requests.into_iter().next())
}

/// The elements of a JSON list, each as text; none, if it is no list.
pub(super) fn elements(list: &RawValue) -> Vec<String> {
    let elements: Vec<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    elements.into_iter().map(|element| element.get().to_owned()).collect()
}
