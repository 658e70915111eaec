//! Deltas that differ from the one before them in nothing but their text.
//!
//! Most of a stream is one delta after another, each with the same fields around another piece of text. What is around it
//! is read once, and compared from then on: a JSON text that is the same up to the beginning of a value, and from its end
//! on, says the same but for that value.

use std::{borrow::Cow, fmt, ops::Range};

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, Delta},
    json::{self, Borrowed, Extras, Fields},
};
use memchr::{memchr, memmem, memrchr};

/// The data of an SSE event that was a piece of text, without that.
pub(super) struct Template {
    name: Option<Box<str>>,
    block: BlockKey,
    make: fn(String) -> Delta,
    before: Box<[u8]>,
    behind: Box<[u8]>,
    padding: Option<Padding>,
}

/// A field behind the text that hides how long that is: its letters are random, and mean nothing.
struct Padding {
    field: PaddingField,
    behind: Box<[u8]>,
}

/// The fields of a dialect that differ from one delta to the next.
pub(super) struct Varying {
    /// Those that have a piece of text.
    pub(super) texts: &'static [&'static str],
    pub(super) padding: Option<PaddingField>,
}

/// What pads a delta, and the place of the extras that has nothing but it.
#[derive(Clone, Copy)]
pub(super) struct PaddingField {
    pub(super) place: &'static str,
    pub(super) name: &'static str,
}

impl Template {
    /// What these events, which are all that the data says, have in common with those of others; `None`: they are more
    /// than a piece of text, or it is not clear where it stands.
    pub(super) fn of(name: Option<&str>, data: &[u8], events: &[Event], varying: &Varying) -> Option<Self> {
        let [Event { step: Step::BlockDelta(BlockDelta { block, delta }), extras }] = events else { return None };
        let (text, make): (_, fn(String) -> Delta) = match delta {
            Delta::Text(text) => (text, Delta::Text),
            Delta::Arguments(text) => (text, Delta::Arguments),
            Delta::Signature(_) | Delta::Opaque(_) => return None,
        };
        // Arguments may have been told as an object: then no string of the data is their text.
        if text.is_empty() || text.starts_with('{') || memchr(b'\\', data).is_some() {
            return None;
        }
        let text = find(data, varying.texts, text)?;
        let (mut behind, mut padding) = (text.end..data.len(), None);
        if !extras.is_empty() {
            let field = varying.padding?;
            let found = find(data, &[field.name], only(extras, field)?).filter(|found| found.start >= text.end)?;
            behind = text.end..found.start;
            padding = Some(Padding { field, behind: data[found.end..].into() });
        }
        Some(Self {
            name: name.map(Box::from),
            block: *block,
            make,
            before: data[..text.start].into(),
            behind: data[behind].into(),
            padding,
        })
    }

    /// What an event says that differs in nothing but its text; `None`: it has to be read.
    pub(super) fn read(&self, name: Option<&str>, data: &[u8]) -> Option<Event> {
        let data = data.strip_prefix(&*self.before).filter(|_| name == self.name.as_deref())?;
        let (data, extras) = match &self.padding {
            None => (data, Extras::NONE),
            Some(padding) => padding.take(data)?,
        };
        let text = string(data.strip_suffix(&*self.behind)?).filter(|text| !text.is_empty())?;
        let delta = BlockDelta { block: self.block, delta: (self.make)(text.into_owned()) };
        Some(Event { step: Step::BlockDelta(delta), extras })
    }
}

impl Padding {
    /// Takes it off the end of the data.
    fn take<'a>(&self, data: &'a [u8]) -> Option<(&'a [u8], Extras)> {
        let data = data.strip_suffix(&*self.behind)?;
        let (data, padding) = data.split_at(memrchr(b'"', data.strip_suffix(b"\"")?)?);
        let mut fields = Fields::with_capacity(1);
        fields.push(self.field.name, string(padding)?);
        let mut extras = Extras::NONE;
        extras.insert_fields(self.field.place, fields);
        Some((data, extras))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("block", &self.block).finish_non_exhaustive()
    }
}

/// Where a string stands that is the value of one of these fields. In data without escapes each stands as it is: if it is
/// there once, that is it.
fn find(data: &[u8], fields: &[&str], text: &str) -> Option<Range<usize>> {
    let quoted = format!("\"{text}\"");
    let mut found = memmem::find_iter(data, &quoted);
    let at = found.next().filter(|_| found.next().is_none())?;
    let field = data[..at].trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"")?;
    let field = &field[memrchr(b'"', field)? + 1..];
    fields.iter().any(|known| known.as_bytes() == field).then(|| at..at + quoted.len())
}

/// The padding, if the extras are nothing else.
fn only(extras: &Extras, field: PaddingField) -> Option<&str> {
    let mut places = extras.iter();
    let (place, fields) = places.next().filter(|_| places.next().is_none())?;
    let fields = fields.as_object().filter(|fields| place == field.place && fields.len() == 1)?;
    fields.get(field.name)?.as_str()
}

fn string(json: &[u8]) -> Option<Cow<'_, str>> {
    match json::read(json) {
        Ok(Borrowed::String(text)) => Some(text),
        Ok(_) | Err(_) => None,
    }
}
