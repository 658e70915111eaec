//! Reading JSON in one pass, without copying what has no escapes.
//!
//! The grammar's plain forms are walked here. What a number with a fraction or a string with escapes means is
//! serde_json's to say ([`super::strict`]), and so is all of a text in which anything else is met: it is read once more,
//! for what it means or for what is wrong with it. So this never accepts what serde_json does not.

use memchr::memchr2;
use serde_json::Error;

use super::{
    fields::{Borrowed, Fields},
    strict::{self, Keys},
};

/// Deeper is rare.
const DEPTH: usize = 32;
/// What a message of a provider has room for at once.
const ROOM: usize = 16;

/// Reads one JSON text.
pub(super) fn read(bytes: &[u8]) -> Result<Borrowed<'_>, Error> {
    match str::from_utf8(bytes).ok().and_then(Reader::whole) {
        Some(value) => Ok(value),
        None => strict::read(bytes),
    }
}

/// Where a text is read; `None` from any of its methods: it has to be read otherwise.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Whether there are bytes that may not stand in a string.
    has_controls: bool,
}

impl<'a> Reader<'a> {
    fn whole(text: &'a str) -> Option<Borrowed<'a>> {
        let mut reader = Self { text, at: 0, has_controls: has_controls(text.as_bytes()) };
        let value = match reader.next()? {
            b'{' => Borrowed::Object(reader.object(Fields::with_capacity(ROOM), DEPTH)?),
            first => reader.value(first, DEPTH)?,
        };
        reader.next().is_none().then_some(value)
    }

    /// The next byte that is no white space; it is read.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
        }
    }

    /// The value that begins with the byte that was read last.
    fn value(&mut self, first: u8, depth: usize) -> Option<Borrowed<'a>> {
        match first {
            b'"' => self.string(),
            b'{' => self.object(Fields::new(), depth.checked_sub(1)?).map(Borrowed::Object),
            b'[' => self.array(depth.checked_sub(1)?).map(Borrowed::Array),
            b'n' => self.word("ull", Borrowed::Null),
            b't' => self.word("rue", Borrowed::Bool(true)),
            b'f' => self.word("alse", Borrowed::Bool(false)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn object(&mut self, mut fields: Fields<'a>, depth: usize) -> Option<Fields<'a>> {
        let mut keys = Keys::default();
        let mut next = self.next()?;
        if next == b'}' {
            return Some(fields);
        }
        loop {
            let Borrowed::String(key) = (next == b'"').then(|| self.string())?? else { return None };
            if self.next()? != b':' || !keys.insert(&fields, &key) {
                return None;
            }
            let first = self.next()?;
            let value = self.value(first, depth)?;
            fields.push(key, value);
            match self.next()? {
                b',' => next = self.next()?,
                b'}' => return Some(fields),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Vec<Borrowed<'a>>> {
        let mut items = Vec::new();
        let mut next = self.next()?;
        if next == b']' {
            return Some(items);
        }
        loop {
            items.push(self.value(next, depth)?);
            match self.next()? {
                b',' => next = self.next()?,
                b']' => return Some(items),
                _ => return None,
            }
        }
    }

    /// A string, of which the quote was read.
    fn string(&mut self) -> Option<Borrowed<'a>> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        let mut is_plain = true;
        loop {
            self.at += memchr2(b'"', b'\\', bytes.get(self.at..)?)? + 1;
            if bytes[self.at - 1] == b'"' {
                break;
            }
            is_plain = false;
            self.at += 1;
        }
        let text = self.text.get(begin..self.at - 1)?;
        if is_plain && !(self.has_controls && has_controls(text.as_bytes())) {
            return Some(text.into());
        }
        strict::read(bytes.get(begin - 1..self.at)?).ok()
    }

    /// A number, of which the first byte was read.
    fn number(&mut self) -> Option<Borrowed<'a>> {
        let begin = self.at - 1;
        let rest = &self.text.as_bytes()[self.at..];
        let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        self.at += rest.iter().position(|byte| !is_of_number(byte)).unwrap_or(rest.len());
        let number = self.text.get(begin..self.at)?;
        match number.parse::<u64>() {
            Ok(whole) if !number.starts_with('0') => Some(whole.into()),
            Ok(_) | Err(_) => strict::read(number.as_bytes()).ok(),
        }
    }

    /// The rest of a word.
    fn word(&mut self, rest: &str, value: Borrowed<'a>) -> Option<Borrowed<'a>> {
        let end = self.at + rest.len();
        let is_it = self.text.get(self.at..end)? == rest;
        self.at = end;
        is_it.then_some(value)
    }
}

fn has_controls(bytes: &[u8]) -> bool {
    bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < 0x20
}
