//! The strings inside JSON: in parsed values, and in texts that ought to be JSON but need not be.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

/// Whether a text is JSON.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Every string of a value, keys included, in order.
pub(super) fn every_string<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str)) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| every_string(item, visit)),
        Value::Object(map) => {
            for (key, value) in map {
                visit(key);
                every_string(value, visit);
            }
        }
    }
}

/// The value with its strings changed, keys aside; `None`: there was nothing to change.
pub(super) fn change_strings(value: &Value, change: &impl Fn(&str) -> Option<String>) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => change(text).map(Value::String),
        Value::Array(items) => {
            let changed: Vec<Option<Value>> = items.iter().map(|item| change_strings(item, change)).collect();
            let is_changed = changed.iter().any(Option::is_some);
            let items = changed.into_iter().zip(items).map(|(changed, item)| changed.unwrap_or_else(|| item.clone()));
            is_changed.then(|| Value::Array(items.collect()))
        }
        Value::Object(map) => {
            let mut changed = None;
            for (key, value) in map {
                if let Some(value) = change_strings(value, change) {
                    changed.get_or_insert_with(|| map.clone()).insert(key.clone(), value);
                }
            }
            changed.map(Value::Object)
        }
    }
}

/// A part of a text that is, or looks like, JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// What stands between strings.
    Between(&'a str),
    /// A string between its quotes, still escaped. The last one may lack its closing quote.
    Quoted { escaped: &'a str, is_key: bool, is_closed: bool },
}

/// Takes a text apart at its quotes. Works on any text; of JSON it gives each string.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    let mut is_quoted = false;
    std::iter::from_fn(move || {
        if rest.is_empty() && !is_quoted {
            return None;
        }
        let part = if is_quoted { quoted(&mut rest) } else { between(&mut rest) };
        is_quoted = !is_quoted && matches!(part, Part::Between(text) if text.ends_with('"'));
        Some(match part {
            Part::Between(text) if is_quoted => Part::Between(&text[..text.len() - 1]),
            part @ (Part::Between(_) | Part::Quoted { .. }) => part,
        })
    })
}

/// Up to and with the next quote.
fn between<'a>(rest: &mut &'a str) -> Part<'a> {
    let end = rest.find('"').map_or(rest.len(), |at| at + 1);
    let (part, after) = rest.split_at(end);
    *rest = after;
    Part::Between(part)
}

/// Up to the quote that closes, which is taken as well.
fn quoted<'a>(rest: &mut &'a str) -> Part<'a> {
    let text = *rest;
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    });
    let (escaped, after) = end.map_or((text, ""), |end| (&text[..end], &text[end + 1..]));
    *rest = after;
    Part::Quoted { escaped, is_key: after.trim_start().starts_with(':'), is_closed: end.is_some() }
}

/// A string without its escapes, as far as they are any.
pub(super) fn unescape(escaped: &str) -> Cow<'_, str> {
    if !escaped.contains('\\') {
        return Cow::Borrowed(escaped);
    }
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let (char, length) = escape_at(&rest[at..]);
        text.push(char);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// A string with the escapes that JSON needs, without quotes.
pub(super) fn escape(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The character that an escape stands for, and the escape's length. What is none stands for its backslash.
fn escape_at(text: &str) -> (char, usize) {
    let simple = match text.as_bytes().get(1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape_at(text),
        Some(_) | None => return ('\\', 1),
    };
    (simple, 2)
}

fn unicode_escape_at(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let Some(first) = unit(0) else { return ('\\', 1) };
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    match (char::from_u32(first.into()), pair) {
        (Some(char), _) => (char, 6),
        (None, Some(char)) => (char, 12),
        (None, None) => (char::REPLACEMENT_CHARACTER, 6),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strings(text: &str) -> Vec<String> {
        let quoted = parts(text).filter_map(|part| match part {
            Part::Between(_) => None,
            Part::Quoted { escaped, is_key, is_closed } => {
                let (key, open) = (if is_key { "key:" } else { "" }, if is_closed { "" } else { "…" });
                Some(format!("{key}{}{open}", unescape(escaped)))
            }
        });
        quoted.collect()
    }

    #[test]
    fn every_string_is_found_in_json_and_in_what_only_looks_like_it() {
        assert_eq!(
            strings(r#"{"a" : ["x\"y", {"b":"\u0072m"}], "":""}"#),
            ["key:a", "x\"y", "key:b", "rm", "key:", ""]
        );
        assert_eq!(strings(r#"{"cmd": "rm -"#), ["key:cmd", "rm -…"]);
        assert_eq!(strings(r#"""#), ["…"]);
        assert_eq!(strings(r#"rm "a\"#), [r"a\…"]);
        assert_eq!(strings("plain"), [""; 0]);
    }

    #[test]
    fn the_parts_make_up_the_whole() {
        let show = |part| match part {
            Part::Between(text) => text.to_owned(),
            Part::Quoted { escaped, is_closed, .. } => format!("\"{escaped}{}", if is_closed { "\"" } else { "" }),
        };
        for text in [r#"{"a":"b\\","c":1}"#, r#"x"y"#, r#""""""#, "", "plain", r#"""#] {
            assert_eq!(parts(text).map(show).collect::<String>(), text);
        }
    }

    #[test]
    fn escapes_are_undone_and_what_is_none_stays() {
        assert_eq!(unescape(r"\u00e9\n\/\ud83d\ude00"), "é\n/😀");
        assert_eq!(unescape(r"\ud83d\u00e9 \uzz \q \"), "\u{fffd}é \\uzz \\q \\");
        assert_eq!(unescape(&escape("\"é\n\u{1}\\😀")), "\"é\n\u{1}\\😀");
    }

    #[test]
    fn strings_are_changed_where_they_are_values() {
        let change = |text: &str| text.contains('a').then(|| text.replace('a', "b"));
        let value = json!({ "a": ["a", 1, { "k": "cat" }], "n": null });
        assert_eq!(change_strings(&value, &change), Some(json!({ "a": ["b", 1, { "k": "cbt" }], "n": null })));
        assert_eq!(change_strings(&json!({ "a": ["x"] }), &change), None);
    }
}
