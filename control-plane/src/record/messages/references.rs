//! What stands in the place of messages, and how they come back.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::record::{Entry, Hash, Period, conversation::elements, fields::Fields};

/// Which message, or which history, stood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::record) enum Reference {
    Message(Period, Hash),
    History(Period, Hash),
}

/// In lists that are never objects, an object is a reference.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", untagged, deny_unknown_fields)]
enum Written {
    Message { message: Hash, period: Period },
    History { history: Hash, period: Period },
}

impl Reference {
    pub(super) fn to_json(self) -> Value {
        match self {
            Self::Message(period, hash) => json!(Written::Message { message: hash, period }),
            Self::History(period, hash) => json!(Written::History { history: hash, period }),
        }
    }

    fn read(raw: &RawValue) -> Option<Self> {
        if !raw.get().starts_with('{') {
            return None;
        }
        match serde_json::from_str(raw.get()).ok()? {
            Written::Message { message, period } => Some(Self::Message(period, message)),
            Written::History { history, period } => Some(Self::History(period, history)),
        }
    }
}

/// The references in those entries.
pub(in crate::record) fn references<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> BTreeSet<Reference> {
    let requests = entries.into_iter().filter_map(|entry| Some(Requesting::read(entry)?.request));
    requests.flat_map(|request| references_in(&request)).collect()
}

/// Puts what is referred to back in its place: of each reference, the messages. One that is not there is left as it is.
pub(in crate::record) fn put_back(entries: &mut [Entry], found: &HashMap<Reference, Vec<String>>) {
    for entry in entries {
        let Some(mut requesting) = Requesting::read(entry) else { continue };
        for (name, raw) in &mut requesting.request.0 {
            let is_list = LISTS.contains(&&**name);
            if is_list
                && let Some(reference) = Reference::read(raw)
                && let Some(bodies) = found.get(&reference)
            {
                let list = match reference {
                    Reference::Message(..) => bodies.concat(),
                    Reference::History(..) => format!("[{}]", bodies.join(",")),
                };
                if let Ok(list) = RawValue::from_string(list) {
                    *raw = Cow::Owned(list);
                }
            }
        }
        if let Some(body) = requesting.written() {
            entry.body = body;
        }
    }
}

/// The messages of a request that are in its entry.
pub(in crate::record) fn inline_messages(entry: &Entry) -> Vec<String> {
    let Some(requesting) = Requesting::read(entry) else { return Vec::new() };
    let messages = requesting.request.0.iter().find(|(name, _)| name == "messages");
    messages.map(|(_, raw)| elements(raw)).unwrap_or_default()
}

const LISTS: [&str; 3] = ["system", "messages", "tools"];

/// An entry that has a request in it.
struct Requesting<'a> {
    fields: Fields<'a>,
    at: usize,
    request: Fields<'a>,
}

impl<'a> Requesting<'a> {
    /// `None`: it has none.
    fn read(entry: &'a Entry) -> Option<Self> {
        let field = match &*entry.kind {
            "request" | "consult" => "request",
            "admission" => "sent",
            _ => return None,
        };
        let fields: Fields = serde_json::from_str(&entry.body).ok()?;
        let at = fields.0.iter().position(|(name, _)| name == field)?;
        let Cow::Borrowed(request) = fields.0[at].1 else { return None };
        let request = serde_json::from_str(request.get()).ok()?;
        Some(Self { fields, at, request })
    }

    fn written(mut self) -> Option<String> {
        let request = serde_json::value::to_raw_value(&self.request).ok()?;
        self.fields.0[self.at].1 = Cow::Owned(request);
        serde_json::to_string(&self.fields).ok()
    }
}

/// Which lists of a request are kept elsewhere.
fn references_in(request: &Fields<'_>) -> Vec<Reference> {
    let lists = request.0.iter().filter(|(name, _)| LISTS.contains(&&**name));
    lists.filter_map(|(_, raw)| Reference::read(raw)).collect()
}
