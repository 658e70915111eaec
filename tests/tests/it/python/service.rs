//! Programs in Python that have the package.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use luthien_tests::{
    environment::package::{package, python},
    peers::eventually,
};

/// A policy service. It is killed when it is dropped.
pub struct Service {
    script: PathBuf,
    address: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a program has said so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Service {
    /// Starts an example of the package; `None`: there is no Python to run it with.
    pub async fn example(name: &str) -> Option<Self> {
        Self::start(&package().join("examples").join(name).with_extension("py")).await
    }

    /// Starts a script that serves a policy, on a free port.
    pub async fn start(script: &Path) -> Option<Self> {
        let python = interpreter().await?;
        Some(Self::listening(script, python, "127.0.0.1:0").await)
    }

    async fn listening(script: &Path, python: &Path, listen: &str) -> Self {
        let mut command = Command::new(python);
        command.arg(script).env_clear().env("PYTHONDONTWRITEBYTECODE", "1").env("LUTHIEN_POLICY_LISTEN", listen);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        let mut service = Self { script: script.to_owned(), address: String::new(), child, stdout, stderr };
        let line = service.stderr.find("listens on http://").await;
        line.rsplit_once("http://").unwrap().1.clone_into(&mut service.address);
        service
    }

    /// Where it is reached, for a configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a line of its stdout that contains the text.
    pub async fn said(&self, text: &str) -> String {
        self.stdout.find(text).await
    }

    /// It is killed, and another comes to its place.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// Another comes to the place of one that was killed.
    pub async fn start_again(&mut self) {
        let python = interpreter().await.unwrap();
        *self = Self::listening(&self.script.clone(), python, &self.address.clone()).await;
    }

    /// It is killed, and nothing comes to its place.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- {} said:\n{}", self.script.display(), self.stderr.all().join("\n"));
        }
    }
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let read = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                read.0.lock().unwrap().push(line);
            }
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn find(&self, text: &str) -> String {
        eventually(&format!("{text:?} of a program in Python"), async || {
            self.all().into_iter().find(|line| line.contains(text))
        })
        .await
    }
}

/// Runs a script in a folder, with the examples beside it, and gives what it said; `None`: there is no Python to run it with.
///
/// # Panics
/// When it fails.
pub async fn script(code: &str, folder: &Path, arguments: &[&str]) -> Option<String> {
    let python = interpreter().await?;
    let mut command = Command::new(python);
    command.args(["-c", code]).args(arguments).current_dir(folder).env_clear();
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1").env("PYTHONPATH", package().join("examples"));
    Some(run(command).await)
}

/// Runs the package's own tests.
///
/// # Panics
/// When they fail.
pub async fn own_tests() {
    let Some(python) = interpreter().await else { return };
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).current_dir(package());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
    run(command).await;
}

async fn interpreter() -> Option<&'static Path> {
    tokio::task::spawn_blocking(python).await.unwrap()
}

async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "it failed:\n{stdout}\n{stderr}");
    stdout.into_owned()
}
