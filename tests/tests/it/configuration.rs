//! A configuration that can't be meant: exit code 2, with file, line, key and reason.

use std::fs;

use luthien_tests::harness::{Exit, Process, Program};
use tempfile::TempDir;

async fn run(program: Program, yaml: &str) -> Exit {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("luthien.yaml"), yaml).unwrap();
    let mut process = Process::start(program, folder.path(), &["--config", "luthien.yaml"], &[]);
    process.allow_errors();
    process.exit().await
}

async fn refused(program: Program, yaml: &str, line: u32, key: &str) {
    let Exit { code, stderr, .. } = run(program, yaml).await;
    assert_eq!(code, Some(2), "{yaml}\n{stderr}");
    let place = format!("luthien.yaml:{line}:");
    assert!(stderr.contains(&place) && stderr.contains(key), "{place} {key} not in:\n{stderr}");
}

const UPSTREAMS: &str = "  upstreams:\n    openai: { dialect: openai-chat, base_url: http://127.0.0.1:9/v1 }\n";

#[tokio::test]
async fn the_data_plane_names_file_line_and_key() {
    for (yaml, line, key) in [
        ("data_plane:\n  listne: 127.0.0.1:0\n".to_owned(), 2, "listne"),
        (format!("data_plane:\n  listen: nowhere\n{UPSTREAMS}"), 2, "data_plane.listen"),
        ("data_plane:\n  listen: [1]\n".to_owned(), 2, "listen"),
        ("data_plane:\n  listen: ${NOT_SET_ANYWHERE}\n".to_owned(), 2, "NOT_SET_ANYWHERE"),
        ("data_plane:\n  upstreams:\n    openai: { dialect: klingon, base_url: http://x }\n".to_owned(), 3, "dialect"),
        ("data_plane:\n  upstreams:\n    openai: { dialect: openai-chat }\n".to_owned(), 3, "base_url"),
        (format!("data_plane:\n{UPSTREAMS}  routes:\n    - {{ model: '*', upstream: nobody }}\n"), 5, "upstream"),
        (format!("data_plane:\n{UPSTREAMS}  auth: {{ mode: magic }}\n"), 4, "mode"),
        (format!("data_plane:\n{UPSTREAMS}  timeouts:\n    idle: 5\n"), 5, "idle"),
        (format!("data_plane:\n{UPSTREAMS}  limits:\n    body: 5 potatoes\n"), 5, "body"),
        (format!("data_plane:\n{UPSTREAMS}  limits: {{}}\n  limits: {{}}\n"), 5, "limits"),
        ("data_plane:\n  upstreams:\n  - :\n".to_owned(), 3, ""),
    ] {
        refused(Program::DataPlane, &yaml, line, key).await;
    }
}

#[tokio::test]
async fn the_control_plane_names_file_line_and_key() {
    let policies = |policies: &str| format!("control_plane:\n  admin: {{ token: {} }}\n{policies}", "t".repeat(32));
    for (yaml, line, key) in [
        ("control_plane:\n  htp_listen: 127.0.0.1:0\n".to_owned(), 2, "htp_listen"),
        ("control_plane:\n  grpc_listen: 7\n".to_owned(), 2, "grpc_listen"),
        ("control_plane:\n  database: mongodb://x\n".to_owned(), 2, "database"),
        (policies("  pipeline: [nobody]\n"), 3, "pipeline"),
        (policies("  policies:\n    - { name: a, kind: magic }\n"), 4, "kind"),
        (policies("  policies:\n    - { name: a, kind: noop }\n    - { name: a, kind: noop }\n"), 5, "name"),
        (
            policies(
                "  policies:\n    - name: a\n      kind: tool_call_rules\n      config:\n        deny:\n          - { arguments: '(' }\n",
            ),
            8,
            "arguments",
        ),
        (
            policies(
                "  policies:\n    - name: a\n      kind: string_replacement\n      config: { replacements: [[x]] }\n",
            ),
            6,
            "replacements",
        ),
        (
            policies(
                "  policies:\n    - name: a\n      kind: string_replacement\n      config: { replacements: [[a, b]], aply_to: [text] }\n",
            ),
            6,
            "aply_to",
        ),
    ] {
        refused(Program::ControlPlane, &yaml, line, key).await;
    }
}

#[tokio::test]
async fn addresses_that_others_can_reach_need_an_explicit_word() {
    for key in ["grpc_listen", "http_listen"] {
        refused(Program::ControlPlane, &format!("control_plane:\n  {key}: 0.0.0.0:0\n"), 2, key).await;
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_usage() {
    let folder = TempDir::new().unwrap();
    for program in [Program::DataPlane, Program::ControlPlane] {
        for args in [&["--nonsense"][..], &["--config"], &["--config", "not-there.yaml"], &["--log-format", "xml"]] {
            let mut process = Process::start(program, folder.path(), args, &[]);
            process.allow_errors();
            let exit = process.exit().await;
            assert_eq!(exit.code, Some(2), "{args:?}: {}", exit.stderr);
        }
    }
}

#[tokio::test]
async fn values_of_the_environment_are_never_shown() {
    let folder = TempDir::new().unwrap();
    let yaml = "data_plane:\n  upstreams:\n    openai: { dialect: \"${SECRET}\", base_url: \"http://x/${SECRET}\" }\n";
    fs::write(folder.path().join("luthien.yaml"), yaml).unwrap();
    let args = ["--config", "luthien.yaml"];
    let mut process = Process::start(Program::DataPlane, folder.path(), &args, &[("SECRET", "secret-canary")]);
    process.allow_errors();
    let exit = process.exit().await;
    assert_eq!(exit.code, Some(2));
    assert!(!exit.stderr.contains("secret-canary"), "{}", exit.stderr);
}
