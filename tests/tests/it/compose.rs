//! What `compose.yaml` starts as containers, as plain processes with the same environment: two data planes, two control
//! planes, Postgres, a collector of traces.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Command};

use luthien_tests::{
    fixtures,
    harness::{ADMIN_TOKEN, Ask, ControlPlane, DataPlane, Process, Program},
    peers::{Gate, otlp::Collector, upstream::Reply, upstream::Upstream},
    validate::{Dialect, sse},
};
use luthien_tests_postgres::Cluster;
use serde_json::Value;
use tempfile::TempDir;

/// The topology, with the places of this machine where containers have names.
struct Compose {
    services: Value,
    upstream: Upstream,
    collector: Collector,
    database: String,
    folder: TempDir,
}

type Environment = BTreeMap<String, String>;

impl Compose {
    async fn read() -> Self {
        let text = fs::read_to_string(root().join("compose.yaml")).unwrap();
        let compose: Value = serde_saphyr::from_str(&text).unwrap();
        Self {
            services: compose["services"].clone(),
            upstream: Upstream::start().await,
            collector: Collector::start().await,
            database: Cluster::shared().database(),
            folder: TempDir::new().unwrap(),
        }
    }

    /// What the file gives a service, as an operator's shell completes it.
    fn environment(&self, service: &str) -> Environment {
        let given = self.services[service]["environment"].as_object().unwrap();
        let operators =
            BTreeMap::from([("LUTHIEN_ADMIN_TOKEN", ADMIN_TOKEN), ("POSTGRES_PASSWORD", "of-the-database")]);
        given.iter().map(|(name, value)| (name.clone(), substituted(value.as_str().unwrap(), &operators))).collect()
    }

    fn set(&self, environment: &mut Environment, changes: &[(&str, String)]) {
        let all = [
            ("LUTHIEN_CONFIG", root().join("compose/luthien.yaml").display().to_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.collector.url()),
        ];
        for (name, value) in all.iter().chain(changes) {
            let known = environment.insert((*name).to_owned(), value.clone());
            assert!(known.is_some(), "compose.yaml does not set {name}");
        }
        environment.insert("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "20".to_owned());
    }

    async fn control_plane(&self, service: &str) -> ControlPlane {
        let mut environment = self.environment(service);
        assert!(environment["LUTHIEN_DATABASE"].contains(":of-the-database@postgres/"));
        self.set(
            &mut environment,
            &[
                ("LUTHIEN_GRPC_LISTEN", "127.0.0.1:0".to_owned()),
                ("LUTHIEN_HTTP_LISTEN", "127.0.0.1:0".to_owned()),
                ("LUTHIEN_DATABASE", self.database.clone()),
                ("LUTHIEN_JOURNAL", self.folder.path().join(service).display().to_string()),
            ],
        );
        ControlPlane::of(self.start(Program::ControlPlane, &environment)).await
    }

    async fn data_plane(&self, service: &str, control_planes: [&ControlPlane; 2]) -> DataPlane {
        let mut environment = self.environment(service);
        self.set(
            &mut environment,
            &[
                ("LUTHIEN_LISTEN", "127.0.0.1:0".to_owned()),
                ("LUTHIEN_CONTROL_PLANE_1", control_planes[0].url()),
                ("LUTHIEN_CONTROL_PLANE_2", control_planes[1].url()),
                ("OPENAI_BASE_URL", format!("http://{}/v1", self.upstream.address())),
                ("ANTHROPIC_BASE_URL", format!("http://{}", self.upstream.address())),
            ],
        );
        DataPlane::of(self.start(Program::DataPlane, &environment)).await
    }

    fn start(&self, program: Program, environment: &Environment) -> Process {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Process::start(program, self.folder.path(), &["--log-format", "json"], &environment)
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// `${NAME:-default}` and `${NAME:?why}`, as compose has them.
fn substituted(text: &str, operators: &BTreeMap<&str, &str>) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (variable, behind) = rest.split_once('}').unwrap();
    let (name, default) = match variable.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (variable.split_once(":?").map_or(variable, |(name, _)| name), None),
    };
    let value = operators.get(name).copied().or(default);
    let value = value.unwrap_or_else(|| panic!("{name} has no default, and no operator is told of it"));
    format!("{before}{value}{}", substituted(behind, operators))
}

/// The health check of the containers.
fn is_healthy(address: SocketAddr) -> bool {
    let check = Command::new(root().join("compose/healthy")).arg(address.port().to_string()).output();
    check.unwrap().status.success()
}

#[tokio::test]
async fn the_planes_of_compose_work_together_and_do_without_one_control_plane() {
    let compose = Compose::read().await;
    let mut control = [compose.control_plane("control-plane-1").await, compose.control_plane("control-plane-2").await];
    let data = [
        compose.data_plane("data-plane-1", [&control[0], &control[1]]).await,
        compose.data_plane("data-plane-2", [&control[0], &control[1]]).await,
    ];
    for address in control.iter().map(|plane| plane.admin).chain(data.iter().map(|plane| plane.address)) {
        assert!(is_healthy(address), "{address}");
    }

    // A call is under way on each data plane when one of the control planes dies.
    let body = fixtures::streamed(Dialect::Anthropic, "tools_two");
    let (begun, rest) = sse::split_behind(&body, "I will read");
    let gate = Gate::new();
    let mut calls = Vec::new();
    for plane in data.iter().cycle().take(4) {
        compose.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
        let mut answer = plane.ask(Ask::streamed(Dialect::Anthropic)).await;
        answer.until("I will read").await;
        calls.push(answer);
    }
    control[0].process.kill();
    gate.open();
    for answer in calls {
        let id = answer.call_id();
        let turn = answer.stream(Dialect::Anthropic).await;
        assert_eq!(turn.tool_names(), ["read_file", "delete_file"]);
        // Both wrote to one record.
        assert_eq!(control[1].record(&id).await.outcome(), "delivered");
        compose.collector.span("luthien.call", &id).await;
    }
    assert!(!is_healthy(control[0].admin) && is_healthy(data[0].address));
}
