//! The policies, as an operator looks at them and changes them.

use luthien_control_plane::{
    Config, ControlPlane, StartError,
    policies::{SetStore as _, StoredSet},
    record::Sqlite,
};
use luthien_proto::message::Outcome;
use luthien_service::{Shutdown, config::Document};
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::harness::{Plane, TOKEN, resumed, started, started_to_be_resumed};

const BRAND: &str = "
  policies:
    - { name: brand, kind: string_replacement, config: { replacements: [[foo, bar]] } }
  pipeline: [brand]";

fn noop(name: &str) -> Value {
    json!({ "policies": [{ "name": name, "kind": "noop" }], "pipeline": [name] })
}

async fn put(plane: &Plane, revision: &Value, config: &Value) -> (u16, Value) {
    plane.put("/api/policies", &[], json!({ "revision": revision, "config": config }).to_string()).await
}

/// The pipeline of a call that begins.
async fn pipeline(plane: &Plane) -> Vec<String> {
    let mut stream = plane.enforce().await;
    stream.tell(started(Uuid::now_v7()));
    let admission = stream.admission().await;
    stream.end(Outcome::CutByClient);
    stream.close().await.unwrap();
    admission.pipeline
}

#[tokio::test]
async fn the_current_set_is_shown_with_its_revision() {
    let plane = Plane::start(BRAND);
    let token = format!("Bearer {TOKEN}");
    let response = plane.send("GET", "/api/policies", &[("authorization", &token)]).await;
    let shown: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(response.headers()["etag"], format!("\"{}\"", shown["revision"].as_str().unwrap()));
    assert_eq!(shown["source"], "file");
    assert!(shown["since"].is_string());
    let brand = json!({
        "name": "brand", "kind": "string_replacement", "on_failure": "closed", "config": { "replacements": [["foo", "bar"]] }
    });
    assert_eq!(shown["config"], json!({ "policies": [brand], "pipeline": ["brand"], "bindings": [] }));
    assert_eq!(plane.ask("/api/policies", &[]).await.0, 401);
    assert_eq!(plane.send("PUT", "/api/policies", &[]).await.status(), 401);
}

#[tokio::test]
async fn another_set_judges_the_calls_that_begin_and_no_others() {
    let plane = Plane::start(BRAND);
    let before = plane.get("/api/policies").await;
    let (id, mut running) = (Uuid::now_v7(), plane.enforce().await);
    running.tell(started(id));
    assert_eq!(running.admission().await.pipeline, ["brand"]);

    let (status, after) = put(&plane, &before["revision"], &noop("quiet")).await;
    assert_eq!((status, &after["source"]), (200, &json!("api")));
    assert_eq!(after, plane.get("/api/policies").await);
    assert_eq!(pipeline(&plane).await, ["quiet"]);
    running.end(Outcome::Delivered);
    running.close().await.unwrap();
    assert_eq!(plane.record(id).await["revision"], before["revision"]);
}

#[tokio::test]
async fn what_is_shown_can_be_put_back() {
    let plane = Plane::start(BRAND);
    let shown = plane.get("/api/policies").await;
    let (status, after) = plane.put("/api/policies", &[], shown.to_string()).await;
    assert_eq!((status, &after["revision"]), (200, &shown["revision"]));
}

#[tokio::test]
async fn of_two_writers_who_saw_the_same_one_is_told_so() {
    let plane = Plane::start(BRAND);
    let other = plane.beside(BRAND);
    let seen = plane.get("/api/policies").await["revision"].clone();
    let (one, two) = (noop("one"), noop("two"));
    let (one, two) = tokio::join!(put(&plane, &seen, &one), put(&other, &seen, &two));
    let mut statuses = [one.0, two.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn which_set_is_replaced_has_to_be_said() {
    let plane = Plane::start(BRAND);
    let revision = plane.get("/api/policies").await["revision"].as_str().unwrap().to_owned();
    let (tag, other) = (format!("\"{revision}\""), "\"0000\"");
    let body = |revision: Value| json!({ "revision": revision, "config": noop("n") }).to_string();
    for (if_match, body, status) in [
        (None, body(Value::Null), 428),
        (Some(other), body(Value::Null), 409),
        (None, body(json!("0000")), 409),
        (Some(other), body(json!(revision)), 400),
        (Some("W/\"0000\""), body(Value::Null), 400),
        (Some(&*revision), body(Value::Null), 400),
        (Some(&tag), body(json!(revision)), 200),
        (Some("*"), body(Value::Null), 200),
    ] {
        let headers: Vec<_> = if_match.map(|value| ("if-match", value)).into_iter().collect();
        let (answered, told) = plane.put("/api/policies", &headers, body).await;
        assert_eq!(answered, status, "{if_match:?}: {told}");
    }
}

#[tokio::test]
async fn a_set_that_cannot_be_used_changes_nothing_and_is_told_where_it_is_wrong() {
    let plane = Plane::start(BRAND);
    let before = plane.get("/api/policies").await;
    let broken = json!({
        "policies": [{ "name": "brand", "kind": "string_replacement", "config": { "replacements": [["", "x"]] } }],
        "pipeline": ["brand"],
    });
    let unknown = json!({ "policies": [], "pipeline": ["guard"] });
    let misspelt = json!({ "policies": [{ "name": "a", "kind": "noop", "on_failure": "shut" }] });
    for (config, key, said) in [
        (&broken, "config.policies[0] (brand).config.replacements[0]", "the string to find is empty"),
        (&unknown, "config.pipeline[0]", "no policy is called \"guard\""),
        (&misspelt, "config.policies[0].on_failure", "unknown variant `shut`"),
        (&json!({ "polices": [] }), "config.polices", "unknown field `polices`"),
    ] {
        let (status, told) = put(&plane, &before["revision"], config).await;
        assert_eq!((status, &told["error"]["key"]), (422, &json!(key)), "{told}");
        assert!(told["error"]["message"].as_str().unwrap().contains(said), "{told}");
    }
    for body in ["", "{", "[]", "policies: []", "{} {}"] {
        let (status, told) = plane.put("/api/policies", &[("if-match", "*")], body.to_owned()).await;
        assert!(status == 400 || status == 422, "{body}: {status} {told}");
    }
    let (status, told) = plane.put("/api/policies", &[("if-match", "*")], " ".repeat(3 << 20)).await;
    assert_eq!(status, 413, "{told}");
    assert_eq!(plane.get("/api/policies").await, before);
    assert_eq!(pipeline(&plane).await, ["brand"]);
}

#[tokio::test]
async fn every_control_plane_of_the_database_takes_a_set_over() {
    let one = Plane::start(BRAND);
    let two = one.beside(BRAND);
    let revision = one.get("/api/policies").await["revision"].clone();
    assert_eq!(put(&one, &revision, &noop("quiet")).await.0, 200);
    for _ in 0..500 {
        if two.get("/api/policies").await["source"] == "api" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(pipeline(&two).await, ["quiet"]);
    assert_eq!(two.get("/api/policies").await, one.get("/api/policies").await);
}

#[tokio::test]
async fn a_set_of_the_api_survives_a_restart_until_the_file_says_something_new() {
    let plane = Plane::start(BRAND);
    assert_eq!(put(&plane, &plane.get("/api/policies").await["revision"], &noop("quiet")).await.0, 200);
    let plane = plane.restarted(BRAND).await;
    assert_eq!(pipeline(&plane).await, ["quiet"]);
    let plane = plane.restarted("  policies: [{ name: new, kind: noop }]\n  pipeline: [new]").await;
    assert_eq!(pipeline(&plane).await, ["new"]);
    assert_eq!(plane.get("/api/policies").await["source"], "file");
    let plane = plane.restarted(BRAND).await;
    assert_eq!(pipeline(&plane).await, ["brand"]);
}

#[tokio::test]
async fn a_call_goes_on_by_the_set_that_it_began_with_on_a_control_plane_that_has_another() {
    let plane = Plane::start(BRAND);
    let id = Uuid::now_v7();
    let mut stream = plane.enforce().await;
    stream.tell(started_to_be_resumed(id));
    let admission = stream.admission().await;
    assert_eq!(put(&plane, &plane.get("/api/policies").await["revision"], &noop("quiet")).await.0, 200);
    let plane = plane.restarted(BRAND).await;
    assert_eq!(stream.close().await.unwrap_err().code(), Code::Unavailable);

    let mut stream = plane.enforce().await;
    stream.tell(resumed(1, Some(admission.clone()), 0));
    stream.tell(started_to_be_resumed(id));
    stream.end(Outcome::CutByClient);
    stream.close().await.unwrap();
    let record = plane.record(id).await;
    assert_eq!((&record["revision"], &record["pipeline"]), (&json!(admission.revision), &json!(["brand"])));
    assert_eq!(pipeline(&plane).await, ["quiet"]);
}

#[tokio::test]
async fn each_kind_tells_what_its_configuration_may_be() {
    let kinds = Plane::start("").get("/api/policies/kinds").await;
    let names: Vec<_> = kinds.as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect();
    assert!(["noop", "string_replacement", "tool_call_rules"].iter().all(|name| names.contains(name)), "{names:?}");
    for kind in kinds.as_array().unwrap() {
        assert!(kind["about"].is_string() && kind["config"]["type"] == "object", "{kind}");
    }
}

#[tokio::test]
async fn a_set_that_a_control_plane_cannot_use_leaves_it_with_the_one_before_and_not_ready() {
    let plane = Plane::start(BRAND);
    let store = Sqlite::open(&plane.database()).await.unwrap();
    let config = json!({ "policies": [{ "name": "n", "kind": "of-a-later-version" }], "pipeline": ["n"] }).to_string();
    let set = StoredSet { revision: "f".repeat(64), config, now_us: 0 };
    store.replace(None, &set).await.unwrap();
    let mut ready = (200, Value::Null);
    for _ in 0..500 {
        ready = plane.ask("/readyz", &[]).await;
        if ready.0 != 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(ready.0, 503);
    assert!(
        ready.1["error"]["message"].as_str().unwrap().contains("unknown kind \"of-a-later-version\""),
        "{}",
        ready.1
    );
    assert_eq!(pipeline(&plane).await, ["brand"]);
    assert!(metrics(&plane).await.contains("luthien_control_plane_policies_failing 1\n"));
    let (status, told) = put(&plane, &json!(set.revision), &noop("quiet")).await;
    assert_eq!(status, 200, "{told}");
    let page = metrics(&plane).await;
    let revision = told["revision"].as_str().unwrap();
    assert!(page.contains("luthien_control_plane_policies_failing 0\n"));
    assert!(page.contains(&format!("luthien_control_plane_policies_info{{revision=\"{revision}\"}} 1\n")), "{page}");
    assert_eq!(plane.ask("/readyz", &[]).await.0, 200);

    store.replace(None, &set).await.unwrap();
    let text = format!(
        "control_plane:\n  grpc_listen: 127.0.0.1:0\n  http_listen: 127.0.0.1:0\n  database: sqlite://{}{BRAND}",
        plane.database().display()
    );
    let document = Document::parse("luthien.yaml", &text, |_| None).unwrap();
    let error = ControlPlane::start(Config::load(&document).unwrap(), &Shutdown::new()).err().unwrap();
    assert!(matches!(error, StartError::Policies(_)), "{error}");
    assert!(error.to_string().contains(&set.revision), "{error}");
}

async fn metrics(plane: &Plane) -> String {
    String::from_utf8(plane.send("GET", "/metrics", &[]).await.body().to_vec()).unwrap()
}
