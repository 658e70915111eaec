//! A program as a child process.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::logs::{Level, Line, Logs};
use crate::peers::{PATIENCE, eventually};

/// The programs under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `luthien-data-plane`.
    DataPlane,
    /// `luthien-control-plane`.
    ControlPlane,
    /// `luthien`.
    Luthien,
}

impl Program {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataPlane => "luthien-data-plane",
            Self::ControlPlane => "luthien-control-plane",
            Self::Luthien => "luthien",
        }
    }

    /// Its file: in the folder that `LUTHIEN_PROGRAMS` names, or where cargo puts it, beside the tests' own.
    fn path(self) -> PathBuf {
        if let Some(folder) = env::var_os("LUTHIEN_PROGRAMS") {
            return Path::new(&folder).join(self.name());
        }
        let test = env::current_exe().expect("a running program has a path");
        let folder = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
        let path = folder.join(self.name());
        assert!(path.exists(), "{} is missing: run `cargo xtask test` (it builds the binaries)", path.display());
        path
    }
}

/// What is sent to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Finish in good order.
    Term,
    /// Stand still.
    Stop,
    /// Go on.
    Cont,
}

/// How a program ended, and all that it said.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its exit code; none after a signal.
    pub code: Option<i32>,
    /// Its stderr.
    pub stderr: String,
    /// Its stdout.
    pub stdout: String,
}

/// A running program. It is killed when it is dropped, and the test fails then if it logged an error that was not expected.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
    logs: Logs,
    said: Logs,
    may_log_errors: bool,
}

impl Process {
    /// Starts a program in a folder, with the arguments and with nothing of the environment but what is given.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(program: Program, folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new("/bin/sh");
        // What grows beyond a limit of file sizes is told so, and not killed.
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program.path());
        command.current_dir(folder).args(args).env_clear().envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.name()));
        let logs = Logs::read(child.stderr.take().expect("stderr is piped"));
        let said = Logs::read(child.stdout.take().expect("stdout is piped"));
        Self { program, child, logs, said, may_log_errors: false }
    }

    /// Lines of level ERROR are part of this test.
    pub fn allow_errors(&mut self) {
        self.may_log_errors = true;
    }

    /// What it logged so far.
    pub fn lines(&self) -> Vec<Line> {
        self.logs.lines()
    }

    /// Waits for a line of its log.
    pub async fn line(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.logs.find(&format!("{} of {}", what, self.program.name()), wanted).await
    }

    /// Waits for a line of its stdout that contains the text.
    pub async fn said(&self, text: &str) -> String {
        let what = format!("{text:?} on the stdout of {}", self.program.name());
        self.said.find(&what, |line| line.text.contains(text)).await.text
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Term => "TERM",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        };
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(kill.is_ok_and(|status| status.success()), "no {} to send {name} to", self.program.name());
        if signal == Signal::Stop {
            self.wait_until_it_stands_still();
        }
    }

    /// A signal is sent before every thread has heard it. Where there is no `/proc` to look at, a while has to do.
    fn wait_until_it_stands_still(&self) {
        let threads = format!("/proc/{}/task", self.child.id());
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match stopped(&threads) {
                Ok(true) => return,
                Ok(false) => thread::sleep(Duration::from_millis(1)),
                Err(_) => return thread::sleep(Duration::from_millis(200)),
            }
        }
        panic!("{} does not stand still", self.program.name());
    }

    /// No file that it writes may grow beyond that, as on a disk that is full; `None`: any may. Those who can't say so to
    /// the system are told why.
    ///
    /// # Errors
    /// The reason.
    pub fn limit_files(&self, bytes: Option<u64>) -> Result<(), String> {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let mut prlimit = Command::new("prlimit");
        prlimit.arg("--pid").arg(self.child.id().to_string()).arg(format!("--fsize={limit}:"));
        let output = prlimit.output().map_err(|error| format!("prlimit: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("prlimit: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Kills it, without any warning, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it has ended by itself.
    pub async fn exit(&mut self) -> Exit {
        let what = format!("{} to end", self.program.name());
        let status = eventually(&what, async || self.child.try_wait().expect("it is our child")).await;
        self.logs.complete().await;
        self.said.complete().await;
        Exit { code: status.code(), stderr: self.logs.text(), stdout: self.said.text() }
    }
}

/// Whether every thread of a process is stopped, by its folder in `/proc`.
fn stopped(threads: &str) -> io::Result<bool> {
    for entry in fs::read_dir(threads)? {
        let stat = fs::read_to_string(entry?.path().join("stat"))?;
        // The state stands behind the name, which is in parentheses and may hold anything.
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- {} said:\n{}", self.program.name(), self.logs.text());
            return;
        }
        let errors: Vec<String> =
            self.lines().into_iter().filter(|line| line.level() == Level::Error).map(|line| line.text).collect();
        assert!(self.may_log_errors || errors.is_empty(), "{} logged errors: {errors:#?}", self.program.name());
    }
}
