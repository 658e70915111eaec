//! Reading JSON: what is read in one pass means what serde_json says.

use luthien_proto::json::{self, Borrowed, Extras, Fields};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

/// A JSON text, spelled in whatever way.
fn text() -> BoxedStrategy<String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |number| number.is_finite())
            .prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?",
        string(),
    ];
    scalar
        .prop_recursive(5, 60, 6, |inner| {
            let separated = |parts: Vec<String>| parts.join(",");
            let field = (space(), string(), space(), space(), inner.clone(), space());
            let field = field.prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
            let item = (space(), inner, space()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
            prop_oneof![
                vec(field, 0..6).prop_map(move |fields| format!("{{{}}}", separated(fields))),
                vec(item, 0..6).prop_map(move |items| format!("[{}]", separated(items))),
            ]
        })
        .boxed()
}

fn space() -> &'static str {
    "[ \n\t\r]{0,2}"
}

/// Few keys, so that some come twice; escapes of every sort, halves of surrogates too.
fn string() -> BoxedStrategy<String> {
    let piece = prop_oneof![
        3 => "[a-c]{0,2}",
        1 => "[ -!#-\\[\\]-~]{0,40}",
        1 => "\\PC{0,8}".prop_map(|text| text.replace(['"', '\\'], "")),
        1 => r#"\\["\\/bfnrt]"#,
        1 => r"\\u[0-9a-fA-F]{4}",
        1 => r"\\u[dD][89abAB][0-9a-f]{2}\\u[dD][c-fC-F][0-9a-f]{2}",
    ];
    vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat())).boxed()
}

/// The same bytes with a few of them changed.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![Just(None), prop::sample::select(&b"{}[]\",:\\0-1e.tn \x01\xff"[..]).prop_map(Some)],
    );
    (text(), vec(change, 1..4)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, change) in changes {
            let at = at.index(bytes.len() + 1);
            match change {
                Some(byte) => bytes.insert(at, byte),
                None => drop((at < bytes.len()).then(|| bytes.remove(at))),
            }
        }
        bytes
    })
}

fn serde_json_says(text: &[u8]) -> Result<Borrowed<'_>, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn has_no_key_twice(text: &str) -> bool {
    json::parse(text.as_bytes()).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_text_means_what_serde_json_says_however_it_is_spelled(text in text()) {
        let read = json::read(text.as_bytes()).map_err(|error| error.to_string());
        prop_assert_eq!(&read, &serde_json_says(text.as_bytes()));
        if has_no_key_twice(&text) {
            let value: Value = serde_json::from_str(&text).unwrap();
            let read = Fields::from_iter([("it", read.unwrap())]);
            prop_assert_eq!(read.to_string(), json!({"it": value}).to_string());
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), read.to_string());
            prop_assert_eq!(json::parse(text.as_bytes()).unwrap(), value);
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_serde_jsons_error(text in broken()) {
        let read = json::read(&text).map_err(|error| error.to_string());
        prop_assert_eq!(read, serde_json_says(&text));
    }
}

proptest! {
    /// The characters around those that are escaped, at each place of the words that are looked at together.
    #[test]
    fn a_text_is_written_as_serde_json_writes_it(text in "[\\x00-#\\[-\\]~-\u{a0}é漢]{0,40}") {
        let written = Fields::from_iter([(text.as_str(), text.as_str().into())]).to_string();
        prop_assert_eq!(written, json!({ text.as_str(): text }).to_string());
    }

    #[test]
    fn extras_are_the_same_as_text_and_taken_apart(text in text()) {
        let Ok(fields) = json::parse_object(text.as_bytes()) else { return Ok(()) };
        let known = Extras::from(fields.clone());
        let Ok(Borrowed::Object(read)) = json::read(text.as_bytes()) else { panic!("an object") };
        let mut extras = Extras::from(read.clone());
        prop_assert_eq!(&extras, &known);
        prop_assert_eq!(extras.is_empty(), fields.is_empty());
        prop_assert_eq!(extras.to_text(), known.to_text());
        prop_assert!(fields.keys().all(|key| extras.get(key) == fields.get(key)));
        prop_assert_eq!(extras.clone().into_map(), fields.clone());
        extras.insert_fields("a", read);
        let mut inserted = known;
        if !fields.is_empty() {
            inserted.insert("a", Value::Object(fields));
        }
        prop_assert_eq!(extras.to_text(), inserted.to_text());
    }
}

#[test]
fn nesting_ends_where_serde_jsons_does() {
    for depth in [1, 31, 32, 33, 126, 127, 128, 129, 1000] {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(json::read(text.as_bytes()).is_ok(), depth < 128, "{depth}");
        assert_eq!(serde_json_says(text.as_bytes()).is_ok(), depth < 128, "{depth}");
    }
}

#[test]
fn a_key_that_comes_twice_is_found_among_many() {
    let fields: Map<String, Value> = (0..1000).map(|at| (format!("key {at}"), Value::from(at))).collect();
    let text = Value::Object(fields).to_string();
    assert!(json::read(text.as_bytes()).is_ok());
    for twice in ["key 0", "key 31", "key 32", "key 999"] {
        let text = format!("{},\"{twice}\":null}}", text.strip_suffix('}').unwrap());
        assert!(json::read(text.as_bytes()).unwrap_err().to_string().starts_with("duplicate key"), "{twice}");
    }
}
