//! Writing JSON, as serde_json would.

use std::fmt::{self, Write};

use super::{
    fields::{Borrowed, Fields},
    text::plain_len,
};

impl Fields<'_> {
    /// Writes them as a JSON object, without white space.
    pub fn write(&self, out: &mut String) {
        out.push('{');
        for (at, (key, value)) in self.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_text(key, out);
            out.push(':');
            write_value(value, out);
        }
        out.push('}');
    }
}

/// As JSON.
impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

fn write_value(value: &Borrowed<'_>, out: &mut String) {
    match value {
        Borrowed::Null => out.push_str("null"),
        Borrowed::Bool(true) => out.push_str("true"),
        Borrowed::Bool(false) => out.push_str("false"),
        Borrowed::Number(number) => write_to(out, format_args!("{number}")),
        Borrowed::String(text) => write_text(text, out),
        Borrowed::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Borrowed::Object(fields) => fields.write(out),
    }
}

fn write_text(mut text: &str, out: &mut String) {
    out.push('"');
    loop {
        let (plain, rest) = text.split_at(plain_len(text.as_bytes()));
        out.push_str(plain);
        let Some(special) = rest.bytes().next() else { break };
        match special {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => write_to(out, format_args!("\\u{control:04x}")),
        }
        text = &rest[1..];
    }
    out.push('"');
}

fn write_to(out: &mut String, what: fmt::Arguments<'_>) {
    // A string takes all.
    let _ = out.write_fmt(what);
}
