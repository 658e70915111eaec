//! A disk that is full, and has room again: a small file system where one may be mounted, and a limit of file sizes, which
//! every system has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use luthien_tests::{
    fixtures,
    harness::{Ask, ControlPlane, DataPlane, Signal, data_plane_section},
    peers::{
        Gate, eventually,
        upstream::{Reply, Upstream},
    },
    validate::{Dialect, sse},
};
use luthien_tests_postgres::Cluster;
use serde_json::{Value, json};
use tempfile::TempDir;

const BEGUN: &str = "re, the radi";
/// In MiB; the database itself needs some.
const SIZE: u32 = 4;

/// How a disk is full.
enum Disk {
    /// A file system with too little room: [`SIZE`].
    Small { _mount: Mount },
    /// Files may not grow.
    Limited,
}

/// A file system in memory, gone when this is.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Result<Self, String> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}m"), "tmpfs"]).arg(at);
        let output = mount.output().map_err(|error| format!("mount: {error}"))?;
        match output.status.success() {
            true => Ok(Self(at.to_owned())),
            false => Err(format!("mount: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A gateway with its record on a disk of its own.
struct Site {
    upstream: Upstream,
    control: ControlPlane,
    data: DataPlane,
    disk: Disk,
    // Behind the disk, which is within.
    folder: TempDir,
    /// Where the record goes from the disk, if it does not stay there. It has room.
    _postgres: Option<Cluster>,
}

/// What is on the disk.
#[derive(Clone, Copy)]
enum Holds {
    /// The record.
    Record,
    /// The journal before Postgres.
    Journal,
}

impl Site {
    async fn start(audit: &str, small: bool, holds: Holds) -> Result<Self, String> {
        let (folder, upstream) = (TempDir::new().unwrap(), Upstream::start().await);
        let place = folder.path().join("disk");
        fs::create_dir(&place).unwrap();
        let disk = if small { Disk::Small { _mount: Mount::new(&place)? } } else { Disk::Limited };
        let postgres = match holds {
            Holds::Record => None,
            Holds::Journal => Some(Cluster::start()),
        };
        let in_file = || format!("sqlite://{}", place.join("luthien.db").display());
        let section = json!({
            "audit": audit,
            "timeouts": {"drain": "1s"},
            "database": postgres.as_ref().map_or_else(in_file, Cluster::database),
            "journal": place.join("journal"),
            "policies": [{"name": "words", "kind": "string_replacement", "config": {"replacements": [["cool", "radical"]]}}],
            "pipeline": ["words"],
        });
        let mut control = ControlPlane::start(folder.path(), "control-plane", &section).await;
        control.process.allow_errors();
        let mut section = data_plane_section(&upstream, &[control.url()]);
        section["timeouts"] = json!({"hold": "1s", "takeover": "500ms"});
        let data = DataPlane::start(folder.path(), "data-plane", &section).await;
        let site = Self { upstream, control, data, disk, folder, _postgres: postgres };
        if let Disk::Limited = site.disk {
            site.control.process.limit_files(None)?;
        }
        Ok(site)
    }

    /// Both kinds of full disk, where they can be had.
    async fn each(audit: &str) -> Vec<Self> {
        let mut sites = Vec::new();
        for (small, holds) in
            [(false, Holds::Record), (true, Holds::Record), (false, Holds::Journal), (true, Holds::Journal)]
        {
            match Self::start(audit, small, holds).await {
                Ok(site) => sites.push(site),
                Err(why) => println!("skipped, for a disk can't be filled so here: {why}"),
            }
        }
        sites
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("disk/filler")
    }

    fn fill(&self) {
        match &self.disk {
            Disk::Small { .. } => {
                let error = fs::write(self.filler(), vec![0; (SIZE as usize) << 20]).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            }
            Disk::Limited => self.control.process.limit_files(Some(0)).unwrap(),
        }
    }

    fn make_room(&self) {
        match &self.disk {
            Disk::Small { .. } => fs::remove_file(self.filler()).unwrap(),
            Disk::Limited => self.control.process.limit_files(None).unwrap(),
        }
    }

    async fn readyz(&self) -> (u16, String) {
        let answer = self.control.ask("/readyz").send(self.control.admin).await;
        (answer.status, String::from_utf8(answer.complete().await).unwrap())
    }

    /// Waits until it is known that nothing can be written.
    async fn is_full(&self) {
        let why = eventually("the control plane to say that it can't write", async || {
            let (status, why) = self.readyz().await;
            (status == 503).then_some(why)
        });
        let why = why.await;
        assert!(why.contains("the record can't be written since"), "{why}");
    }

    async fn has_room(&self) {
        eventually("the record to be written again", async || (self.readyz().await.0 == 200).then_some(())).await;
        assert_eq!(self.metric("luthien_control_plane_record_entries_lost_total").await, "0");
        assert_eq!(self.metric("luthien_control_plane_record_failing").await, "0");
    }

    async fn metric(&self, name: &str) -> String {
        let page = self.control.ask("/metrics").send(self.control.admin).await.complete().await;
        let page = String::from_utf8(page).unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in {page}")).to_owned()
    }

    /// A call that nothing is wrong with.
    async fn call(&self, dialect: Dialect) -> String {
        self.upstream.answer(Reply::stream(&fixtures::streamed(dialect, "text")));
        let answer = self.data.ask(Ask::streamed(dialect)).await;
        let id = answer.call_id();
        assert!(answer.stream(dialect).await.text().contains("radical answer"));
        id
    }
}

#[tokio::test]
async fn under_strict_audit_a_full_disk_holds_calls_then_ends_them_closed_and_they_go_on_when_there_is_room() {
    for site in Site::each("strict").await {
        for dialect in Dialect::ALL {
            let body = fixtures::streamed(dialect, "text");
            let (begun, rest) = sse::split_behind(&body, BEGUN);
            let gate = Gate::new();
            site.upstream.answer(Reply::sse().send(begun).wait(&gate).send(rest));
            let mut answer = site.data.ask(Ask::streamed(dialect)).await;
            answer.until(BEGUN).await;
            site.fill();
            gate.open();
            let id = answer.call_id();
            let (turn, _) = answer.failed_stream(dialect).await;
            assert!(turn.text().ends_with(BEGUN), "{turn:?}");
            site.is_full().await;
            assert_eq!(site.metric("luthien_control_plane_record_failing").await, "1");
            let refused = site.data.ask(Ask::streamed(dialect)).await;
            assert_eq!(refused.status, 503);
            refused.error(dialect).await;

            site.make_room();
            site.has_room().await;
            site.call(dialect).await;
            let record = site.control.record(&id).await;
            assert_eq!(record.outcome(), "failed", "{:?}", record.call);
        }
    }
}

#[tokio::test]
async fn under_relaxed_audit_calls_go_on_with_a_full_disk_and_are_on_record_when_there_is_room() {
    for site in Site::each("relaxed").await {
        site.call(Dialect::OpenAi).await;
        site.fill();
        let mut ids = Vec::new();
        for dialect in Dialect::ALL {
            ids.push(site.call(dialect).await);
        }
        site.is_full().await;
        site.make_room();
        site.has_room().await;
        for id in ids {
            assert_eq!(site.control.record(&id).await.outcome(), "delivered");
        }
    }
}

#[tokio::test]
async fn what_can_not_be_written_before_a_control_plane_has_to_end_is_counted_and_told() {
    for mut site in Site::each("relaxed").await {
        site.fill();
        site.call(Dialect::OpenAi).await;
        site.is_full().await;
        site.control.process.signal(Signal::Term);
        let exit = site.control.process.exit().await;
        assert_eq!(exit.code, Some(1));
        let told =
            site.control.process.lines().into_iter().find(|line| line.text.contains("entries of the record were lost"));
        let told: Value = serde_json::from_str(&told.unwrap().text).unwrap();
        assert!(told["entries"].as_u64().unwrap() > 0, "{told}");
    }
}
