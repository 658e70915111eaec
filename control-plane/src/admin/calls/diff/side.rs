//! One thing before and after the policies.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::words::{Budget, By, Word, compare};

/// What the policies did to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DiffStatus)]
pub(super) enum Status {
    /// Nothing.
    Unchanged,
    /// Something else stands in its place.
    Changed,
    /// Nothing of it was let through.
    Withheld,
    /// They made it.
    Made,
}

impl Status {
    /// Of something that has parts.
    pub fn of_all<'a>(parts: impl IntoIterator<Item = &'a Sides>) -> Self {
        let is_same = parts.into_iter().all(|part| part.status == Self::Unchanged);
        if is_same { Self::Unchanged } else { Self::Changed }
    }
}

/// One thing before and after the policies.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sides {
    pub status: Status,
    /// `null`: a policy made it.
    original: Value,
    /// `null`: nothing of it was let through.
    #[serde(rename = "final")]
    settled: Value,
    /// What of them is compared: `text`, `arguments`, or all of it as `json`. Left out, as the next two, where nothing differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    words_of: Option<&'static str>,
    /// How finely: a text that has changed too much is compared line by line, or as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    words_by: Option<By>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<Word>>,
}

impl Sides {
    pub fn unchanged(original: Value) -> Self {
        let settled = original.clone();
        Self { status: Status::Unchanged, settled, original, words_of: None, words_by: None, words: None }
    }

    /// Compares them; `null` is none.
    pub fn of(original: Value, settled: Value, budget: &mut Budget) -> Self {
        let status = match (&original, &settled) {
            _ if original == settled => return Self::unchanged(original),
            (Value::Null, _) => Status::Made,
            (_, Value::Null) => Status::Withheld,
            _ => Status::Changed,
        };
        let (words_of, before, after) = texts(&original, &settled);
        let (words_by, words) = compare(&before, &after, budget);
        let (words_of, words_by, words) = (Some(words_of), Some(words_by), Some(words));
        Self { status, original, settled, words_of, words_by, words }
    }
}

/// What is worth comparing of two sides that differ: the text that they are about; if the difference is elsewhere, all.
fn texts(original: &Value, settled: &Value) -> (&'static str, String, String) {
    for field in ["text", "arguments"] {
        let [before, after] = [original, settled].map(|side| side[field].as_str());
        if (before.is_some() || after.is_some()) && before != after {
            let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
            return (field, own(before), own(after));
        }
    }
    match (original, settled) {
        (Value::String(before), Value::String(after)) => ("text", before.clone(), after.clone()),
        _ => ("json", pretty(original), pretty(settled)),
    }
}

fn pretty(side: &Value) -> String {
    match side {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => format!("{side:#}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(original: Value, settled: Value, expected: Expect) {
        let sides = Sides::of(original, settled, &mut Budget::default());
        let mut json = serde_json::to_value(sides).unwrap();
        for side in ["original", "final"] {
            json.as_object_mut().unwrap().remove(side);
        }
        expected.assert_eq(&json.to_string());
    }

    #[test]
    fn texts_are_compared_where_they_differ() {
        check(
            json!({ "text": "a cool day" }),
            json!({ "text": "a radical day" }),
            expect![[
                r#"{"status":"changed","words":[{"op":"equal","text":"a "},{"op":"delete","text":"cool"},{"op":"insert","text":"radical"},{"op":"equal","text":" day"}],"words_by":"words","words_of":"text"}"#
            ]],
        );
        check(
            json!({ "arguments": "{\"a\":1}" }),
            json!({ "arguments": "{\"a\":2}" }),
            expect![[
                r#"{"status":"changed","words":[{"op":"equal","text":"{\"a\":"},{"op":"delete","text":"1"},{"op":"insert","text":"2"},{"op":"equal","text":"}"}],"words_by":"words","words_of":"arguments"}"#
            ]],
        );
        check(json!({ "text": "same" }), json!({ "text": "same" }), expect![[r#"{"status":"unchanged"}"#]]);
        check(
            json!("fast"),
            json!("gpt-5-mini"),
            expect![[
                r#"{"status":"changed","words":[{"op":"delete","text":"fast"},{"op":"insert","text":"gpt-5-mini"}],"words_by":"words","words_of":"text"}"#
            ]],
        );
    }

    #[test]
    fn a_difference_elsewhere_is_compared_as_json() {
        check(
            json!({ "text": "same", "opaque": [1] }),
            json!({ "text": "same", "opaque": [2] }),
            expect![[
                r#"{"status":"changed","words":[{"op":"equal","text":"{\n  \"text\": \"same\",\n  \"opaque\": [\n    "},{"op":"delete","text":"1"},{"op":"insert","text":"2"},{"op":"equal","text":"\n  ]\n}"}],"words_by":"words","words_of":"json"}"#
            ]],
        );
    }

    #[test]
    fn one_side_may_be_missing() {
        check(
            Value::Null,
            json!({ "text": "made" }),
            expect![[
                r#"{"status":"made","words":[{"op":"insert","text":"made"}],"words_by":"words","words_of":"text"}"#
            ]],
        );
        check(
            json!({ "arguments": "{}" }),
            Value::Null,
            expect![[
                r#"{"status":"withheld","words":[{"op":"delete","text":"{}"}],"words_by":"words","words_of":"arguments"}"#
            ]],
        );
        check(
            json!({ "json": {} }),
            Value::Null,
            expect![[
                r#"{"status":"withheld","words":[{"op":"delete","text":"{\n  \"json\": {}\n}"}],"words_by":"words","words_of":"json"}"#
            ]],
        );
    }
}
