//! The record in Postgres: the server goes, comes back, is slow, and dies; calls go on, and all of it is on record, once.

use std::{fs, path::Path};

use http::Method;
use luthien_tests::{
    fixtures,
    harness::{ADMIN_TOKEN, Ask, ControlPlane, DataPlane, Exit, Process, Program, Signal, data_plane_section},
    peers::{
        eventually,
        upstream::{Reply, Upstream},
    },
    validate::Dialect,
};
use luthien_tests_postgres::Cluster;
use serde_json::{Value, json};
use tempfile::TempDir;

const REPLACED: &str = "Hello there, the radically radical answer is 42. Grüße 🦀!";

/// A control plane's section: a database, a journal of its own, and a policy that changes texts.
pub fn section(database: &str, folder: &Path, name: &str) -> Value {
    json!({
        "database": database,
        "journal": folder.join(format!("{name}-journal")),
        "policies": [
            {"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}},
        ],
        "pipeline": ["words"],
    })
}

/// What is not as it must be in a database: entries that are there twice, or are missing between others.
pub fn wrong_entries(cluster: &Cluster, database: &str) -> String {
    let doubled = "SELECT count(*) - count(DISTINCT (call_id, epoch, seq)) FROM entries";
    let gaps = "SELECT coalesce(sum(gap), 0) FROM (SELECT max(seq) + 1 - count(*) AS gap FROM entries GROUP BY call_id, epoch) AS gaps";
    format!("{} doubled, {} missing", cluster.ask(database, doubled), cluster.ask(database, gaps))
}

/// A server, a control plane and a data plane.
struct Rig {
    cluster: Cluster,
    database: String,
    folder: TempDir,
    upstream: Upstream,
    control: ControlPlane,
    data: DataPlane,
}

impl Rig {
    async fn start() -> Self {
        let (cluster, folder) = (Cluster::start(), TempDir::new().unwrap());
        let database = cluster.database();
        let control = ControlPlane::start(folder.path(), "only", &section(&database, folder.path(), "only")).await;
        let upstream = Upstream::start().await;
        let mut data = data_plane_section(&upstream, &[control.url()]);
        data["timeouts"] = json!({"takeover": "20s"});
        let data = DataPlane::start(folder.path(), "data-plane", &data).await;
        Self { cluster, database, folder, upstream, control, data }
    }

    /// The same control plane, with what it says more.
    async fn again(&mut self, more: &Value, ready: bool) {
        let mut section = section(&self.database, self.folder.path(), "only");
        section["grpc_listen"] = json!(self.control.grpc.to_string());
        for (key, value) in more.as_object().unwrap() {
            section[key] = value.clone();
        }
        self.control.process.kill();
        self.control = match ready {
            true => ControlPlane::start(self.folder.path(), "only", &section).await,
            false => ControlPlane::begin(self.folder.path(), "only", &section, &[]).await,
        };
    }

    async fn call(&self, dialect: Dialect) -> String {
        self.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let answer = self.data.ask(Ask::streamed(dialect)).await;
        let id = answer.call_id();
        assert_eq!(answer.stream(dialect).await.text(), REPLACED);
        id
    }

    async fn readyz(&self) -> (u16, String) {
        let answer = Ask::get("/readyz").send(self.control.admin).await;
        (answer.status, String::from_utf8(answer.complete().await).unwrap())
    }

    async fn metric(&self, name: &str) -> f64 {
        let page = Ask::get("/metrics").send(self.control.admin).await.complete().await;
        let page = String::from_utf8(page).unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    async fn check(&self, ids: &[String]) {
        for id in ids {
            assert_eq!(self.control.record(id).await.outcome(), "delivered", "{id}");
        }
        assert_eq!(wrong_entries(&self.cluster, &self.database), "0 doubled, 0 missing");
        assert_eq!(self.cluster.ask(&self.database, "SELECT count(*) FROM calls"), ids.len().to_string());
    }
}

#[tokio::test]
async fn calls_go_on_while_the_database_is_down_and_are_on_record_when_it_is_back() {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    for going in [Cluster::stop, Cluster::kill] {
        for dialect in Dialect::ALL {
            ids.push(rig.call(dialect).await);
        }
        rig.check(&ids).await;
        going(&rig.cluster);
        for dialect in Dialect::ALL {
            ids.push(rig.call(dialect).await);
        }
        let answer = rig.control.ask(&format!("/api/calls/{}", ids[0])).send(rig.control.admin).await;
        let (status, body) = (answer.status, String::from_utf8(answer.complete().await).unwrap());
        assert!(status == 503 && body.contains("the database can't be asked"), "{status} {body}");
        let warned = eventually("a warning", async || {
            let (status, body) = rig.readyz().await;
            assert_eq!(status, 200, "{body}");
            body.contains("warnings").then_some(body)
        });
        assert!(warned.await.contains("wait in the journal"));
        assert!(rig.metric("luthien_control_plane_journal_entries").await > 0.0);
        assert!(rig.metric("luthien_control_plane_journal_lag_seconds").await > 0.0);

        rig.cluster.start_again();
        rig.check(&ids).await;
        eventually("an empty journal", async || {
            (rig.metric("luthien_control_plane_journal_entries").await == 0.0).then_some(())
        })
        .await;
        let (status, body) = rig.readyz().await;
        assert_eq!((status, body.as_str()), (200, r#"{"status":"ready"}"#));
    }
}

#[tokio::test]
async fn what_a_killed_control_plane_has_in_its_journal_is_on_record_after_its_next_start() {
    let mut rig = Rig::start().await;
    rig.cluster.stop();
    let ids = [rig.call(Dialect::OpenAi).await, rig.call(Dialect::Anthropic).await];
    rig.again(&json!({}), true).await;
    rig.cluster.start_again();
    rig.check(&ids).await;
}

#[tokio::test]
async fn without_its_database_a_relaxed_control_plane_starts_and_a_strict_one_is_not_ready() {
    let mut rig = Rig::start().await;
    rig.cluster.stop();
    rig.again(&json!({"audit": "relaxed"}), true).await;
    let id = rig.call(Dialect::OpenAi).await;
    let (status, body) = rig.readyz().await;
    assert!(status == 200 && body.contains("which policies are current"), "{body}");

    rig.again(&json!({"audit": "strict"}), false).await;
    let (status, body) = rig.readyz().await;
    assert!(status == 503 && body.contains("before the database was reached"), "{body}");
    let before = rig.upstream.exchanges().len();
    let waiting = rig.data.begin(Ask::streamed(Dialect::OpenAi));
    rig.upstream.answer(Reply::stream(&fixtures::streamed(Dialect::OpenAi, "text")));
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(rig.upstream.exchanges().len(), before, "a call went on that nobody had admitted");

    rig.cluster.start_again();
    let answer = waiting.await.unwrap();
    let taken = answer.call_id();
    assert_eq!(answer.stream(Dialect::OpenAi).await.text(), REPLACED);
    rig.check(&[id, taken]).await;
}

#[tokio::test]
async fn policies_that_were_set_are_there_also_when_the_database_is_not() {
    let mut rig = Rig::start().await;
    let put = |words: &str| {
        let config = json!({"replacements": [["cool", words]]});
        let set = json!({"policies": [{"name": "words", "kind": "string_replacement", "config": config}], "pipeline": ["words"]});
        let body = json!({"config": set}).to_string();
        let ask = Ask::new(Method::PUT, "/api/policies", body.into_bytes());
        ask.header("authorization", &format!("Bearer {ADMIN_TOKEN}")).header("if-match", "*")
    };
    let answer = put("groovy").send(rig.control.admin).await;
    let (status, body) = (answer.status, String::from_utf8(answer.complete().await).unwrap());
    assert_eq!(status, 200, "{body}");
    let text = async |rig: &Rig| {
        rig.upstream.answer(Reply::stream(&fixtures::streamed(Dialect::OpenAi, "text")));
        rig.data.ask(Ask::streamed(Dialect::OpenAi)).await.stream(Dialect::OpenAi).await.text()
    };
    assert!(text(&rig).await.contains("groovy"));

    rig.cluster.stop();
    rig.again(&json!({}), true).await;
    assert!(text(&rig).await.contains("groovy"), "a restart has brought the file's policies back");
    assert_eq!(put("neat").send(rig.control.admin).await.status, 503);
    rig.cluster.start_again();
    eventually("the database to have its say", async || {
        (rig.readyz().await.1 == r#"{"status":"ready"}"#).then_some(())
    })
    .await;
    assert!(text(&rig).await.contains("groovy"));

    // A file that has changed counts, as it would with the database.
    rig.cluster.stop();
    let config = json!({"replacements": [["cool", "swell"]]});
    let policies = json!([{"name": "words", "kind": "string_replacement", "config": config}]);
    rig.again(&json!({"policies": policies}), true).await;
    assert!(text(&rig).await.contains("swell"));
    rig.cluster.start_again();
    eventually("the database to have its say", async || {
        (rig.readyz().await.1 == r#"{"status":"ready"}"#).then_some(())
    })
    .await;
    assert!(text(&rig).await.contains("swell"));
}

#[tokio::test]
async fn a_shutdown_leaves_nothing_in_the_journal_and_does_not_wait_for_a_database_that_is_down() {
    let mut rig = Rig::start().await;
    let id = rig.call(Dialect::OpenAi).await;
    rig.control.process.signal(Signal::Term);
    assert_eq!(rig.control.process.exit().await.code, Some(0));
    let ended = format!("SELECT outcome FROM calls WHERE call_id = '{id}'");
    assert_eq!(rig.cluster.ask(&rig.database, &ended), "delivered");

    rig.again(&json!({}), true).await;
    rig.cluster.stop();
    let other = rig.call(Dialect::OpenAi).await;
    rig.control.process.signal(Signal::Term);
    assert_eq!(rig.control.process.exit().await.code, Some(0));
    rig.cluster.start_again();
    rig.again(&json!({}), true).await;
    rig.check(&[id, other]).await;
}

async fn refused(folder: &Path, section: Value) -> String {
    let config = json!({"control_plane": section});
    fs::write(folder.join("refused.yaml"), config.to_string()).unwrap();
    let mut process = Process::start(Program::ControlPlane, folder, &["--config", "refused.yaml"], &[]);
    process.allow_errors();
    let Exit { code, stderr, .. } = process.exit().await;
    assert_eq!(code, Some(1), "{stderr}");
    stderr
}

#[tokio::test]
async fn what_can_not_be_used_as_it_is_ends_the_start_with_a_clear_text() {
    let rig = Rig::start().await;
    let with = |database: &str, name: &str| {
        let mut section = section(database, rig.folder.path(), name);
        section["grpc_listen"] = json!("127.0.0.1:0");
        section["http_listen"] = json!("127.0.0.1:0");
        section
    };
    let text = refused(rig.folder.path(), with(&rig.database, "only")).await;
    assert!(text.contains("is the journal of another control plane that runs"), "{text}");
    let elsewhere = format!("postgres://luthien@localhost/nowhere?{}", rig.database.split('?').nth(1).unwrap());
    let text = refused(rig.folder.path(), with(&elsewhere, "other")).await;
    assert!(text.contains("database \"nowhere\" does not exist"), "{text}");
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (900, 'later', TRUE, '\\x00', 0)";
    rig.cluster.ask(&rig.database, later);
    let text = refused(rig.folder.path(), with(&rig.database, "other")).await;
    assert!(text.contains("schema version 900"), "{text}");
}

#[tokio::test]
async fn the_password_of_the_database_is_nowhere_to_be_read() {
    let (cluster, folder) = (Cluster::start(), TempDir::new().unwrap());
    let database = cluster.database().replace("luthien@", "luthien:password-canary@");
    let control = ControlPlane::start(folder.path(), "only", &section(&database, folder.path(), "only")).await;
    cluster.stop();
    let list = control.ask("/api/calls").send(control.admin).await;
    assert_eq!(list.status, 503);
    let ready = Ask::get("/readyz").send(control.admin).await.complete().await;
    let texts = [String::from_utf8(list.complete().await).unwrap(), String::from_utf8(ready).unwrap()];
    let logged = control.process.lines().into_iter().map(|line| line.text);
    for text in texts.into_iter().chain(logged) {
        assert!(!text.contains("canary"), "{text}");
    }
}
