//! Which policies a call goes through.

use luthien_policy::{PolicySet, PolicySetConfig};
use luthien_proto::{
    message::{CallStarted, Header},
    request::Dialect,
};
use serde_json::{Value, json};

use crate::proxy::call;

fn config(bindings: Value) -> PolicySetConfig {
    let policy = |name: &str| json!({ "name": name, "kind": "noop" });
    let policies = ["default", "one", "two"].map(policy);
    serde_json::from_value(json!({ "policies": policies, "pipeline": ["default"], "bindings": bindings })).unwrap()
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

/// The policy that the call goes through, of one binding with that condition and the default.
fn chosen(when: Value, change: impl FnOnce(&mut CallStarted)) -> bool {
    let set = PolicySet::build(config(json!([{ "when": when, "pipeline": ["one"] }]))).unwrap();
    let mut call = call(Dialect::OpenAiChat);
    call.request.model = "gpt-5".to_owned();
    change(&mut call);
    set.pipeline_of(&call).names() == ["one"]
}

#[test]
fn each_condition_looks_at_its_own_part_of_the_call() {
    for (when, expected) in [
        (json!({ "model": "gpt-*" }), true),
        (json!({ "model": "gpt" }), false),
        (json!({ "client": "ci" }), true),
        (json!({ "client": "c*" }), false),
        (json!({ "route": "gpt-*" }), true),
        (json!({ "route": "gpt-5" }), false),
        (json!({ "header": { "x-team": "red" } }), true),
        (json!({ "header": { "X-Team": "red" } }), true),
        (json!({ "header": { "x-team": "Red" } }), false),
        (json!({ "header": { "x-team": "blue" } }), true),
        (json!({ "header": { "x-stage": "red" } }), false),
        (json!({ "header": { "x-team": "red", "x-stage": "prod" } }), true),
        (json!({ "header": { "x-team": "red", "x-stage": "test" } }), false),
        (json!({ "model": "gpt-*", "client": "ci", "route": "gpt-*", "header": { "x-team": "red" } }), true),
        (json!({ "model": "gpt-*", "client": "other" }), false),
    ] {
        let matches = chosen(when.clone(), |call| {
            call.client = "ci".to_owned();
            call.route = "gpt-*".to_owned();
            call.headers = vec![header("x-team", "red"), header("x-team", "blue"), header("x-stage", "prod")];
        });
        assert_eq!(matches, expected, "{when}");
    }
}

#[test]
fn the_first_binding_that_matches_counts_and_else_the_default() {
    let set = PolicySet::build(config(json!([
        { "when": { "model": "gpt-*" }, "pipeline": ["one", "two"] },
        { "when": { "model": "*" }, "pipeline": ["two"] },
    ])));
    let set = set.unwrap();
    let names = |model: &str| {
        let mut call = call(Dialect::OpenAiChat);
        call.request.model = model.to_owned();
        set.pipeline_of(&call).names()
    };
    assert_eq!(names("gpt-5"), ["one", "two"]);
    assert_eq!(names("claude"), ["two"]);
    assert!(
        PolicySet::build(config(json!([]))).unwrap().pipeline_of(&call(Dialect::OpenAiChat)).names() == ["default"]
    );
    assert_eq!(set.names().into_iter().collect::<Vec<_>>(), ["default", "one", "two"]);
}

#[test]
fn bindings_are_part_of_the_revision() {
    let revision = |bindings| PolicySet::build(config(bindings)).unwrap().revision().to_owned();
    let when = |model: &str| json!([{ "when": { "model": model }, "pipeline": ["one"] }]);
    assert_ne!(revision(json!([])), revision(when("a")));
    assert_ne!(revision(when("a")), revision(when("b")));
    let set = PolicySet::build(config(when("fast"))).unwrap();
    assert_eq!(set.pipeline_of(&call(Dialect::OpenAiChat)).revision(), set.revision());
}
