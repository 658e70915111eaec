//! `luthien`: both planes in one process.

use std::fs;

use luthien_tests::{
    fixtures,
    harness::{ADMIN_TOKEN, Ask, Process, Program, Signal, data_plane_section},
    peers::upstream::{Reply, Upstream},
    validate::Dialect,
};
use serde_json::json;
use tempfile::TempDir;

#[tokio::test]
async fn the_demo_shows_what_the_client_and_the_record_say() {
    let folder = TempDir::new().unwrap();
    let mut demo = Process::start(Program::Luthien, folder.path(), &["demo"], &[]);
    let exit = demo.exit().await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert_eq!(exit.stderr, "");
    for text in ["the model said", "the client's socket got", "on record", "outcome: delivered"] {
        assert!(exit.stdout.contains(text), "{text:?} is not in:\n{}", exit.stdout);
    }
    assert!(!exit.stdout.contains('\u{1b}'), "colours without a terminal:\n{}", exit.stdout);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the demo left something behind");
}

#[tokio::test]
async fn up_serves_clients_and_operators_and_says_how() {
    let folder = TempDir::new().unwrap();
    let upstream = Upstream::start().await;
    let mut data_plane = data_plane_section(&upstream, &[]);
    data_plane.as_object_mut().unwrap().remove("control_plane");
    data_plane["listen"] = json!("127.0.0.1:0");
    let config = json!({
        "data_plane": data_plane,
        "control_plane": {
            "grpc_listen": "127.0.0.1:0",
            "http_listen": "127.0.0.1:0",
            "admin": {"token": ADMIN_TOKEN},
            "database": "sqlite://luthien.db",
            "policies": [
                {"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}},
            ],
            "pipeline": ["words"],
        },
    });
    fs::write(folder.path().join("luthien.yaml"), config.to_string()).unwrap();
    let args = ["up", "--config", "luthien.yaml", "--log-format", "json"];
    let mut up = Process::start(Program::Luthien, folder.path(), &args, &[]);
    let base = up.said("ANTHROPIC_BASE_URL=http://").await;
    let clients = base.split("http://").nth(1).unwrap().trim().parse().unwrap();
    up.said("OPENAI_BASE_URL=http://").await;
    let admin = up.said("/api/calls").await;
    let admin = admin.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();

    for dialect in Dialect::ALL {
        upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let turn = Ask::streamed(dialect).send(clients).await.stream(dialect).await;
        assert_eq!(turn.text(), "Hello there, the radically radical answer is 42. Grüße 🦀!");
    }
    assert_eq!(Ask::get("/api/calls").send(admin).await.status, 401);
    let ask = Ask::get("/api/calls").header("authorization", &format!("Bearer {ADMIN_TOKEN}"));
    assert_eq!(ask.send(admin).await.status, 200);

    up.signal(Signal::Term);
    let exit = up.exit().await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(!exit.stdout.contains(ADMIN_TOKEN) && !exit.stderr.contains(ADMIN_TOKEN));
}

#[tokio::test]
async fn a_token_that_nobody_configured_is_made_and_only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let yaml = "data_plane: { listen: 127.0.0.1:0 }\n\
                control_plane: { grpc_listen: 127.0.0.1:0, http_listen: 127.0.0.1:0 }\n";
    fs::write(folder.path().join("luthien.yaml"), yaml).unwrap();
    let env = [("OPENAI_API_KEY", "upstream-key-canary")];
    let mut up = Process::start(Program::Luthien, folder.path(), &["up", "--config", "luthien.yaml"], &env);
    let shown = up.said("$(cat ").await;
    let path = folder.path().join(shown.split("$(cat ").nth(1).unwrap().split(')').next().unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let admin = shown.rsplit("http://").next().unwrap().split('/').next().unwrap().parse().unwrap();
    let token = fs::read_to_string(&path).unwrap();
    let ask = Ask::get("/api/calls").header("authorization", &format!("Bearer {}", token.trim()));
    assert_eq!(ask.send(admin).await.status, 200);
    up.signal(Signal::Term);
    let exit = up.exit().await;
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(!exit.stderr.contains(token.trim()) && !exit.stderr.contains("canary"));
}
