//! Writing JSON, as serde_json would.

use std::fmt::{self, Write};

use super::fields::{Borrowed, Fields};

impl Fields<'_> {
    /// Writes them as a JSON object, without white space.
    ///
    /// # Errors
    /// `out` can't be written to.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        out.write_char('{')?;
        for (at, (key, value)) in self.iter().enumerate() {
            if at > 0 {
                out.write_char(',')?;
            }
            write_text(key, out)?;
            out.write_char(':')?;
            write_value(value, out)?;
        }
        out.write_char('}')
    }
}

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

fn write_value(value: &Borrowed<'_>, out: &mut impl Write) -> fmt::Result {
    match value {
        Borrowed::Null => out.write_str("null"),
        Borrowed::Bool(true) => out.write_str("true"),
        Borrowed::Bool(false) => out.write_str("false"),
        Borrowed::Number(number) => write!(out, "{number}"),
        Borrowed::String(text) => write_text(text, out),
        Borrowed::Array(items) => {
            out.write_char('[')?;
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.write_char(',')?;
                }
                write_value(item, out)?;
            }
            out.write_char(']')
        }
        Borrowed::Object(fields) => fields.write(out),
    }
}

fn write_text(mut text: &str, out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    loop {
        let (plain, rest) = text.split_at(plain_len(text.as_bytes()));
        out.write_str(plain)?;
        let Some(special) = rest.bytes().next() else { break };
        match special {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            0x08 => out.write_str("\\b")?,
            0x0c => out.write_str("\\f")?,
            control => write!(out, "\\u{control:04x}")?,
        }
        text = &rest[1..];
    }
    out.write_char('"')
}

/// How many bytes stand for themselves in a JSON string before the first that does not: a quote, a backslash, a control
/// character.
fn plain_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return at * size_of::<u64>() + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    bytes.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The highest bit of each byte that does not stand for itself, up to the first such byte; those above it mean nothing.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & (ONES << 7)
}
