//! How long each plane takes from its start until it is ready, with a database that has calls; and how large the programs are.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path as File,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    cell::{Cell, Kind, Pace},
    client,
    goals::{self, Goal},
    machine,
    measure::{under_way, warm},
    path::Path,
    planes::{control_plane, data_plane, replacing, sqlite},
    running::Setting,
};

/// How often; the median counts.
const TIMES: usize = 11;
/// How long calls are put on record first.
const CALLS: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(20);
const READY_MS: f64 = 100.0;
const SIZE_MB: f64 = 25.0;

/// The programs, of which the third holds both planes.
const PROGRAMS: [&str; 3] = ["luthien-data-plane", "luthien-control-plane", "luthien"];

/// Measures, and says what came of it.
///
/// # Errors
/// A process does not start, or is never ready.
pub async fn run(setting: &Setting) -> io::Result<String> {
    let cell = Cell::new(Kind::Whole, 16, Pace::Full, 500);
    let running = warm(Path::Passed, cell, setting).await?;
    let load = client::begin(running.talk, cell);
    under_way(&load.seen, cell).await?;
    tokio::time::sleep(CALLS).await;
    drop(load);
    let folder = running.end().ok_or_else(|| io::Error::other("no folder"))?;
    let database = folder.path().join("luthien.db");
    let size = fs::metadata(&database)?.len() as f64 / 1e6;

    let ports = [free_port()?, free_port()?, free_port()?];
    let [grpc, http, listen] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let config =
        control_plane("relaxed", &replacing("#never#"), &sqlite(&database), folder.path(), [ports[0], ports[1]]);
    let control = Plane::new(setting, "luthien-control-plane", folder.path(), &config.to_string(), http)?;
    let config = data_plane(setting.upstream, grpc, ports[2]);
    let data = Plane::new(setting, "luthien-data-plane", folder.path(), &config.to_string(), listen)?;

    let control_ms = median(|| control.ready_ms())?;
    let (_running, _) = control.start()?;
    let data_ms = median(|| data.ready_ms())?;
    let mut goals = vec![
        goal("start to ready, data plane: ms", "a control plane that is there", data_ms, READY_MS),
        goal("start to ready, control plane: ms", &format!("SQLite of {size:.0} MB"), control_ms, READY_MS),
    ];
    for name in PROGRAMS {
        if let Ok(file) = fs::metadata(setting.programs.join(name)) {
            goals.push(goal("stripped program: MB", name, file.len() as f64 / 1e6, SIZE_MB));
        }
    }
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write!(out, "{}; of {TIMES} starts the median.\n\n{}", machine::description(), goals::table(&goals));
    Ok(out)
}

fn goal(what: &'static str, load: &str, measured: f64, most: f64) -> Goal {
    Goal { what, load: load.to_owned(), measured, most }
}

fn median(mut measure: impl FnMut() -> io::Result<f64>) -> io::Result<f64> {
    let mut all = (0..TIMES).map(|_| measure()).collect::<io::Result<Vec<f64>>>()?;
    all.sort_by(f64::total_cmp);
    Ok(all[TIMES / 2])
}

/// Somebody else may take it meanwhile; then the start fails.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A plane that can be started again and again.
struct Plane<'a> {
    program: std::path::PathBuf,
    folder: &'a File,
    config: std::path::PathBuf,
    /// Where it says that it is ready.
    ready: SocketAddr,
}

/// It is killed when it is dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl<'a> Plane<'a> {
    fn new(setting: &Setting, name: &str, folder: &'a File, config: &str, ready: SocketAddr) -> io::Result<Self> {
        let file = folder.join(format!("{name}.yaml"));
        fs::write(&file, config)?;
        Ok(Self { program: setting.programs.join(name), folder, config: file, ready })
    }

    /// Starts it, and gives the milliseconds until it is ready.
    fn start(&self) -> io::Result<(Started, f64)> {
        let mut command = Command::new(&self.program);
        command.current_dir(self.folder).env_clear().arg("--config").arg(&self.config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let mut started = Started(command.spawn()?);
        while !is_ready(self.ready) {
            if begun.elapsed() > PATIENCE || started.0.try_wait()?.is_some() {
                return Err(io::Error::other(format!("{} is never ready", self.program.display())));
            }
            thread::sleep(LOOK);
        }
        Ok((started, begun.elapsed().as_secs_f64() * 1e3))
    }

    /// The same, and ends it in good order.
    fn ready_ms(&self) -> io::Result<f64> {
        let (mut started, ms) = self.start()?;
        Command::new("kill").arg(started.0.id().to_string()).status()?;
        started.0.wait()?;
        Ok(ms)
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
