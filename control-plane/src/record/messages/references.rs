//! What stands in the place of messages, and how they come back.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use crate::record::{Entry, Hash, Period};

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
    requests.flat_map(|request| request.references().collect::<Vec<_>>()).collect()
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

/// An object whose values are not looked into, in its order.
struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

impl Fields<'_> {
    fn references(&self) -> impl Iterator<Item = Reference> {
        self.0.iter().filter(|(name, _)| LISTS.contains(&&**name)).filter_map(|(_, raw)| Reference::read(raw))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<Name, &'de RawValue>()? {
                    fields.push((name.0, Cow::Borrowed(value)));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// A name, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
