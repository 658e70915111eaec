//! What a file says, and what an error says of it.

use std::collections::HashMap;

use expect_test::{Expect, expect};

use super::*;
use crate::Secret;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Plane {
    listen: Option<String>,
    port: Option<u16>,
    ratio: Option<f64>,
    verbose: bool,
    on_loss: Mode,
    idle: Option<HumanDuration>,
    window: Option<ByteSize>,
    upstreams: HashMap<String, Upstream>,
    keys: Vec<Key>,
    limits: Limits,
    even: Option<Even>,
    auth: Option<Auth>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Closed,
    Open,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Upstream {
    base_url: String,
    api_key: Option<Secret>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "expected a key, or a mapping of name and key")]
enum Key {
    Plain(Secret),
    Named { name: String, key: Secret },
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    calls: Option<u32>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
enum Auth {
    Passthrough,
    Keys { keys: Vec<Key> },
}

/// A type with errors of its own, which show what they refuse.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(try_from = "Numbers")]
struct Even(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Numbers {
    One(String),
    Two { first: String },
}

impl TryFrom<Numbers> for Even {
    type Error = String;

    fn try_from(numbers: Numbers) -> Result<Self, String> {
        let (Numbers::One(text) | Numbers::Two { first: text }) = numbers;
        let odd = || format!("{text:?} is odd");
        text.parse().ok().filter(|number| number % 2 == 0).map(Self).ok_or_else(odd)
    }
}

type Data = File<Plane>;

fn env(name: &str) -> Option<String> {
    let variables = [
        ("PORT", "8000"),
        ("NAME", "gate: {way}\n- x"),
        ("SECRET", "sk-abc"),
        ("EMPTY", ""),
        ("TRUE", "true"),
        ("RATIO", "-0.5"),
        ("IDLE", "5s"),
    ];
    variables.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

fn plane(section: &str) -> Plane {
    let indented: String = section.lines().map(|line| format!("  {line}\n")).collect();
    parse::<Data>("luthien.yaml", &format!("data_plane:\n{indented}"), env).unwrap().data_plane.unwrap_or_default()
}

fn check(text: &str, expected: &Expect) {
    let error = parse::<Data>("luthien.yaml", text, env).unwrap_err();
    expected.assert_eq(&format!("{error}\n"));
}

#[test]
fn a_program_reads_its_section_and_leaves_the_other_alone() {
    let text = "data_plane: { listen: a }\ncontrol_plane: { whatever: [\"${NOT_SET}\"] }\n";
    let file: Data = parse("luthien.yaml", text, env).unwrap();
    assert_eq!(file.data_plane.unwrap().listen.as_deref(), Some("a"));
    assert!(file.control_plane.is_some());
}

#[test]
fn an_empty_file_and_an_empty_section_are_defaults() {
    for text in ["", "# nothing\n", "---\n", "data_plane:\n"] {
        assert!(parse::<Data>("luthien.yaml", text, env).unwrap().data_plane.is_none(), "{text:?}");
    }
    assert_eq!(plane("limits:"), Plane::default());
}

#[test]
fn a_value_of_variables_is_what_the_program_asks_for() {
    let read = plane(concat!(
        "listen: \"127.0.0.1:${PORT}\"\n",
        "port: ${PORT}\n",
        "ratio: \"${RATIO}\"\n",
        "verbose: ${TRUE}\n",
        "idle: ${IDLE}\n",
        "window: ${PORT}\n",
        "limits: { calls: \"${PORT}\" }\n",
        "on_loss: ${MODE:-open}\n",
    ));
    let expected = Plane {
        listen: Some("127.0.0.1:8000".to_owned()),
        port: Some(8000),
        ratio: Some(-0.5),
        verbose: true,
        idle: Some(HumanDuration::secs(5)),
        window: Some(ByteSize(8000)),
        limits: Limits { calls: Some(8000) },
        on_loss: Mode::Open,
        ..Plane::default()
    };
    assert_eq!(read, expected);
}

#[test]
fn a_variable_adds_no_yaml() {
    assert_eq!(plane("listen: ${NAME}").listen.as_deref(), Some("gate: {way}\n- x"));
    assert_eq!(plane("listen: '${NAME}'").listen.as_deref(), Some("gate: {way}\n- x"));
}

#[test]
fn defaults_stand_in_for_unset_and_empty_variables_and_a_dollar_escapes() {
    let cases = [
        ("'${NOT_SET:-http://x:80/}'", Some("http://x:80/")),
        ("'${EMPTY:-x}'", Some("x")),
        ("'${PORT:-x}'", Some("8000")),
        ("'a ${EMPTY}b ${PORT}${PORT}'", Some("a b 80008000")),
        ("'${EMPTY}'", None),
        ("${NOT_SET:-}", None),
        ("'$${PORT} $PORT $$ ^a$'", Some("${PORT} $PORT $$ ^a$")),
        ("''", Some("")),
    ];
    for (text, expected) in cases {
        assert_eq!(plane(&format!("listen: {text}")).listen.as_deref(), expected, "{text}");
    }
}

#[test]
fn keys_and_tagged_types_take_variables_too() {
    let secret = |text| Secret::new(text).unwrap();
    let read = plane("auth: { mode: keys, keys: [\"${SECRET}\", { name: ci, key: \"${PORT}\" }] }").auth.unwrap();
    let keys = vec![Key::Plain(secret("sk-abc")), Key::Named { name: "ci".to_owned(), key: secret("8000") }];
    assert_eq!(read, Auth::Keys { keys });
}

#[test]
fn anchors_and_merge_keys_work() {
    let read = plane("upstreams:\n  a: &a { base_url: x, api_key: k }\n  b:\n    <<: *a\n    base_url: y");
    assert_eq!(read.upstreams["b"].api_key, read.upstreams["a"].api_key);
    assert_eq!(read.upstreams["b"].base_url, "y");
}

#[test]
fn an_error_names_line_column_key_and_reason() {
    let cases = [
        (
            "data_plane:\n  listne: 1\n",
            expect![[r#"
            luthien.yaml:2:3: data_plane.listne: unknown key; expected one of listen, port, ratio, verbose, on_loss, idle, window, upstreams, keys, limits, even, auth
        "#]],
        ),
        (
            "dataplane:\n  listen: 1\n",
            expect![[r#"
            luthien.yaml:1:1: dataplane: unknown key; expected one of data_plane, control_plane
        "#]],
        ),
        (
            "data_plane:\n  limits: { callz: 1 }\n",
            expect![[r#"
            luthien.yaml:2:13: data_plane.limits.callz: unknown key; the only one is calls
        "#]],
        ),
        (
            "data_plane:\n  listen: 8000\n",
            expect![[r#"
            luthien.yaml:2:11: data_plane.listen: expected a string, found a number; put it in quotes
        "#]],
        ),
        (
            "data_plane:\n  listen:\n    - a\n",
            expect![[r#"
            luthien.yaml:3:5: data_plane.listen: expected a string, found a list
        "#]],
        ),
        (
            "data_plane:\n  port: 70000\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.port: expected a whole number from 0 to 65535, found 70000
        "#]],
        ),
        (
            "data_plane:\n  port: -1\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.port: expected a whole number from 0 to 65535, found -1
        "#]],
        ),
        (
            "data_plane:\n  port: \"8000\"\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.port: expected a whole number from 0 to 65535, found a string
        "#]],
        ),
        (
            "data_plane:\n  ratio: high\n",
            expect![[r#"
            luthien.yaml:2:10: data_plane.ratio: expected a number, found a string
        "#]],
        ),
        (
            "data_plane:\n  verbose: yes please\n",
            expect![[r#"
            luthien.yaml:2:12: data_plane.verbose: expected true or false, found a string
        "#]],
        ),
        (
            "data_plane:\n  on_loss: opened\n",
            expect![[r#"
            luthien.yaml:2:12: data_plane.on_loss: `opened` is not one of closed, open
        "#]],
        ),
        (
            "data_plane:\n  idle: 5\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.idle: expected a duration with its unit, such as 200ms, 5s or 1m30s, found a number
        "#]],
        ),
        (
            "data_plane:\n  idle: 5 seconds\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.idle: expected a duration with its unit, such as 200ms, 5s or 1m30s, found "5 seconds"
        "#]],
        ),
        (
            "data_plane:\n  window: 16MB\n",
            expect![[r#"
            luthien.yaml:2:11: data_plane.window: expected a number of bytes, such as 65536, 64KiB or 16MiB, found "16MB"
        "#]],
        ),
        (
            "data_plane:\n  upstreams:\n    a: { api_key: x }\n",
            expect![[r#"
            luthien.yaml:3:8: data_plane.upstreams.a: the key base_url is missing
        "#]],
        ),
        (
            "data_plane:\n  upstreams:\n    a: { base_url: x, api_key: \"\" }\n",
            expect![[r#"
            luthien.yaml:3:32: data_plane.upstreams.a.api_key: expected a key or token: a string of visible ASCII characters, not empty, found an empty string
        "#]],
        ),
        (
            "data_plane:\n  upstreams: [a]\n",
            expect![[r#"
            luthien.yaml:2:14: data_plane.upstreams: expected a mapping, found a list
        "#]],
        ),
        (
            "data_plane:\n  keys:\n    - { name: x }\n",
            expect![[r#"
                luthien.yaml:3:7: data_plane.keys[0]: expected a key, or a mapping of name and key
            "#]],
        ),
        (
            "data_plane:\n  keys:\n",
            expect![[r#"
            luthien.yaml:2:7: data_plane.keys: expected a list, found nothing
        "#]],
        ),
        (
            "data_plane:\n  even: { first: \"3\" }\n",
            expect![[r#"
                luthien.yaml:2:9: data_plane.even: "3" is odd
            "#]],
        ),
        (
            "data_plane:\n  auth: { mode: password }\n",
            expect![[r#"
            luthien.yaml:2:17: data_plane.auth.mode: `password` is not one of passthrough, keys
        "#]],
        ),
        (
            "- a\n",
            expect![[r#"
                luthien.yaml:1:1: expected a mapping, found a list
            "#]],
        ),
    ];
    for (text, expected) in cases {
        check(text, &expected);
    }
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place_and_none_of_its_values() {
    let cases = [
        (
            "data_plane:\n  listen: [a\n",
            expect![[r#"
                luthien.yaml:2:11: unclosed bracket '['
            "#]],
        ),
        (
            "data_plane:\n  listen: a\n  listen: b\n",
            expect![[r#"
                luthien.yaml:3:3: duplicate mapping key `listen` is not allowed here
            "#]],
        ),
        (
            "data_plane:\n\tlisten: a\n",
            expect![[r#"
                luthien.yaml:2:2: tabs disallowed within this context (block indentation)
            "#]],
        ),
        (
            "data_plane: {}\n---\ndata_plane: {}\n",
            expect![[r#"
                luthien.yaml:3:1: only single YAML document expected but multiple found
            "#]],
        ),
        (
            "data_plane: *nowhere\n",
            expect![[r#"
                luthien.yaml:1:13: reference to unknown value
            "#]],
        ),
        (
            "data_plane:\n  listen: ${PORT}:{x: \"sk-secret\n",
            expect![[r#"
                luthien.yaml:2:21: mapping values are not allowed in this context
            "#]],
        ),
    ];
    for (text, expected) in cases {
        check(text, &expected);
    }
}

#[test]
fn a_variable_that_is_missing_or_malformed_is_named_with_its_place() {
    let cases = [
        (
            "data_plane:\n  upstreams:\n    a:\n      base_url: x\n      api_key: \"${KEY}\"\n",
            expect![[r#"
            luthien.yaml:5:16: data_plane.upstreams.a.api_key: the environment variable KEY is not set; set it, or write ${KEY:-default} to do without
        "#]],
        ),
        (
            "data_plane:\n  keys:\n    - ok\n    - { name: ci, key: \"${KEY}\" }\n",
            expect![[r#"
            luthien.yaml:4:24: data_plane.keys[1].key: the environment variable KEY is not set; set it, or write ${KEY:-default} to do without
        "#]],
        ),
        (
            "data_plane:\n  port: ${KEY}\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.port: the environment variable KEY is not set; set it, or write ${KEY:-default} to do without
        "#]],
        ),
        (
            "data_plane:\n  listen: \"a ${1} b\"\n",
            expect![[r#"
            luthien.yaml:2:11: data_plane.listen: `${` has to begin a variable, as ${NAME} or ${NAME:-default}; write `$${` for the characters themselves
        "#]],
        ),
        (
            "data_plane:\n  listen: \"${PORT\"\n",
            expect![[r#"
            luthien.yaml:2:11: data_plane.listen: `${` has to begin a variable, as ${NAME} or ${NAME:-default}; write `$${` for the characters themselves
        "#]],
        ),
        (
            "data_plane:\n  listen: \"${PORT:?}\"\n",
            expect![[r#"
            luthien.yaml:2:11: data_plane.listen: `${` has to begin a variable, as ${NAME} or ${NAME:-default}; write `$${` for the characters themselves
        "#]],
        ),
    ];
    for (text, expected) in cases {
        check(text, &expected);
    }
}

#[test]
fn an_error_never_shows_the_value_of_a_variable() {
    let cases = [
        (
            "data_plane:\n  port: ${SECRET}\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.port: the value of ${SECRET} is not a whole number from 0 to 65535
        "#]],
        ),
        (
            "data_plane:\n  verbose: \"${SECRET}\"\n",
            expect![[r#"
            luthien.yaml:2:12: data_plane.verbose: the value of ${SECRET} is not true or false
        "#]],
        ),
        (
            "data_plane:\n  on_loss: ${SECRET}\n",
            expect![[r#"
            luthien.yaml:2:12: data_plane.on_loss: the value of ${SECRET} is not one of closed, open
        "#]],
        ),
        (
            "data_plane:\n  idle: \"${SECRET}s\"\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.idle: the value of ${SECRET} is not a duration with its unit, such as 200ms, 5s or 1m30s
        "#]],
        ),
        (
            "data_plane:\n  window: ${SECRET}\n",
            expect![[r#"
            luthien.yaml:2:11: data_plane.window: the value of ${SECRET} is not a number of bytes, such as 65536, 64KiB or 16MiB
        "#]],
        ),
        (
            "data_plane:\n  even: ${SECRET}\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.even: the value of ${SECRET} is not accepted (why is not shown: it might show the value)
        "#]],
        ),
        (
            "data_plane:\n  even: { first: \"${SECRET}\" }\n",
            expect![[r#"
            luthien.yaml:2:9: data_plane.even: not accepted (why is not shown: it might show the value of ${SECRET})
        "#]],
        ),
        (
            "data_plane:\n  auth: { mode: \"${SECRET}\" }\n",
            expect![[r#"
            luthien.yaml:2:17: data_plane.auth.mode: the value of ${SECRET} is not one of passthrough, keys
        "#]],
        ),
        (
            "data_plane:\n  upstreams: \"${SECRET}\"\n",
            expect![[r#"
            luthien.yaml:2:14: data_plane.upstreams: the value of ${SECRET} is not a mapping
        "#]],
        ),
        (
            "data_plane:\n  upstreams:\n    a: { base_url: x, api_key: \"${NAME}\" }\n",
            expect![[r#"
            luthien.yaml:3:32: data_plane.upstreams.a.api_key: the value of ${NAME} is not a key or token: a string of visible ASCII characters, not empty
        "#]],
        ),
        (
            "data_plane: ${SECRET}\n",
            expect![[r#"
            luthien.yaml:1:13: data_plane: the value of ${SECRET} is not a mapping
        "#]],
        ),
    ];
    for (text, expected) in cases {
        check(text, &expected);
    }
}

#[test]
fn a_document_tells_the_place_of_what_is_found_wrong_later() {
    let text = "control_plane:\n  policies:\n    - { name: a }\n    - name: b\n      config:\n        calls: many\n";
    let document = Document::parse("luthien.yaml", text, env).unwrap();
    let at = |path| document.error_at(path, "no").to_string();
    assert_eq!(at("control_plane.policies[1].name"), "luthien.yaml:4:13: control_plane.policies[1].name: no");
    assert_eq!(at("control_plane.policies[0].kind"), "luthien.yaml:3:7: control_plane.policies[0].kind: no");
    assert_eq!(at("data_plane"), "luthien.yaml:1:1: data_plane: no");

    let error = document.at::<Limits>("control_plane.policies[1].config").unwrap_err();
    expect![[r#"
        luthien.yaml:6:16: control_plane.policies[1].config.calls: expected a whole number, not negative, found a string
    "#]]
    .assert_eq(&format!("{error}\n"));
    assert_eq!(document.at::<Limits>("control_plane.policies[0].config").unwrap(), Limits::default());
    assert_eq!(document.at::<Option<Limits>>("nowhere").unwrap(), None);
}

#[test]
fn a_file_is_loaded_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("luthien.yaml");
    std::fs::write(&path, "data_plane: { port: 1 }").unwrap();
    assert_eq!(load::<Data>(&path).unwrap().data_plane.unwrap().port, Some(1));

    std::fs::write(&path, b"data_plane: \xff").unwrap();
    let error = load::<Data>(&path).unwrap_err().to_string();
    assert_eq!(error, format!("{}: the file is not UTF-8", path.display()));
}

#[test]
fn quantities_are_read_and_written_as_people_do() {
    let durations = [("0s", "0s"), ("200ms", "200ms"), ("90s", "90s"), ("1m30s", "90s"), ("2h", "2h"), ("3600s", "1h")];
    for (text, shown) in durations {
        assert_eq!(text.parse::<HumanDuration>().unwrap().to_string(), shown);
    }
    for text in ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "5s5", "99999999999999999999h", "9999999999999999h"] {
        assert!(text.parse::<HumanDuration>().is_err(), "{text}");
    }
    for (text, shown) in [("0", "0B"), ("1500", "1500B"), ("64KiB", "64KiB"), ("16 MiB", "16MiB"), ("1024MiB", "1GiB")]
    {
        assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), shown);
    }
    for text in ["", "MiB", "16MB", "16mib", "1.5MiB", "-1", "99999999999GiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
}
