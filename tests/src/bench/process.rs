//! The processes that are measured.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Says where this process listens, to whoever started it.
pub fn say_address(address: SocketAddr) {
    println!("listening {address}");
    let _ = io::stdout().flush();
}

/// The folder of this program, and of those that were built with it.
///
/// # Errors
/// Its path is not known.
pub fn own_folder() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name(""))
}

/// A running process. It is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Nanoseconds on a processor.
    pub cpu_ns: f64,
    /// Resident memory.
    pub rss_kib: f64,
}

impl Usage {
    /// Microseconds on a processor since then.
    pub fn cpu_us_since(&self, before: &Self) -> f64 {
        (self.cpu_ns - before.cpu_ns) / 1e3
    }
}

impl Process {
    /// Starts one of our own roles, and waits for its address.
    ///
    /// # Errors
    /// It does not start, or does not say.
    pub fn role(args: &[String]) -> io::Result<(Self, SocketAddr)> {
        let mut child =
            Command::new(env::current_exe()?).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take();
        let process = Self { child };
        let heard = addresses(stdout, |line| line.strip_prefix("listening ")?.parse().ok());
        Ok((process, first(&heard, "one of the benchmark's own processes")?))
    }

    /// Starts a plane, and waits for the addresses that it logs.
    ///
    /// # Errors
    /// It does not start, or does not say.
    pub fn plane<const N: usize>(program: &Path, folder: &Path, config: &str) -> io::Result<(Self, [SocketAddr; N])> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = folder.join(format!("{name}.yaml"));
        fs::write(&file, config)?;
        let mut command = Command::new(program);
        command.current_dir(folder).env_clear().args(["--log-format", "json", "--config"]).arg(file);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{name} can't be started ({error}): use `cargo xtask bench`"))
        })?;
        let stderr = child.stderr.take();
        let process = Self { child };
        let heard = addresses(stderr, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "listening").then(|| line["addr"].as_str()?.parse().ok())?
        });
        let mut found = [SocketAddr::from(([0, 0, 0, 0], 0)); N];
        for address in &mut found {
            *address = first(&heard, &name)?;
        }
        Ok((process, found))
    }

    /// Starts a command that says on stderr where it listens, behind `http://`.
    ///
    /// # Errors
    /// It does not start, or does not say.
    pub fn service(mut command: Command, name: &str) -> io::Result<(Self, SocketAddr)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take();
        let process = Self { child };
        let heard = addresses(stderr, |line| line.rsplit_once("http://")?.1.trim().parse().ok());
        Ok((process, first(&heard, name)?))
    }

    /// What it has used so far. Nothing where there is no `/proc`.
    pub fn usage(&self) -> Usage {
        usage(&self.child.id().to_string())
    }

    /// Asks it to end, and waits until it has.
    pub fn end(mut self) {
        // One that is gone already needs nobody to ask it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What this process has used so far.
pub fn own_usage() -> Usage {
    usage("self")
}

/// What a process and its children have used so far: those that there are now. Their memory is what they do not share.
pub fn usage_with_children(pid: u32) -> Usage {
    let pid = pid.to_string();
    let mut all = Usage::default();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name().to_string_lossy().into_owned();
        let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
        if name == pid || field(&status, "PPid:") == Some(&pid) {
            all.cpu_ns += cpu_ns(&name).unwrap_or_default();
            all.rss_kib += kib(&status, "RssAnon:");
        }
    }
    all
}

fn usage(pid: &str) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Usage { cpu_ns: cpu_ns(pid).unwrap_or_default(), rss_kib: kib(&status, "VmRSS:") }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

fn kib(status: &str, name: &str) -> f64 {
    field(status, name).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// The scheduler's own account, thread by thread: it is exact, where `stat` counts in hundredths of a second.
fn cpu_ns(pid: &str) -> io::Result<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let account = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        sum += account.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default();
    }
    Ok(sum)
}

/// Reads what a process says, to its end, so that it never waits for us.
fn addresses(
    from: Option<impl Read + Send + 'static>,
    address: impl Fn(&str) -> Option<SocketAddr> + Send + 'static,
) -> mpsc::Receiver<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    if let Some(from) = from {
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if let Some(address) = address(&line) {
                    let _ = sender.send(address);
                } else if line.contains("\"ERROR\"") || line.contains("\"WARN\"") {
                    eprintln!("  {line}");
                }
            }
        });
    }
    receiver
}

fn first(heard: &mpsc::Receiver<SocketAddr>, name: &str) -> io::Result<SocketAddr> {
    let late = |_| io::Error::other(format!("{name} does not say where it listens"));
    heard.recv_timeout(PATIENCE).map_err(late)
}
