//! A server in a folder of its own.

mod guardian;
mod owner;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::programs::{HOW_TO_INSTALL, Programs};
use guardian::Guardian;
use owner::Owner;

/// The role that owns everything in a cluster.
const ROLE: &str = "luthien";
/// What a server's certificate says; it vouches for itself.
const CERTIFICATE: &str = "[req]\ndistinguished_name = name\nx509_extensions = extensions\nprompt = no\n\
    [name]\nCN = localhost\n[extensions]\nsubjectAltName = DNS:localhost\nbasicConstraints = critical, CA:FALSE\n";
/// How long a server may take to start or stop, recovery included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is reached by a Unix socket. It is stopped and its folder removed when it is dropped, and when the process
/// of the test ends in whatever way.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    owner: Owner,
    /// Stops the server before the folder goes.
    _guardian: Guardian,
    folder: TempDir,
}

impl Cluster {
    /// The one that the tests of this process share; nobody stops it.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A new one, for a test that stops it.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start() -> Self {
        let programs = Programs::find().unwrap_or_else(|| panic!("{HOW_TO_INSTALL}"));
        // Short: the path of a Unix socket may have 100 bytes or so.
        let folder = tempfile::Builder::new().prefix("luthien-pg-").tempdir_in("/tmp").expect("a folder in /tmp");
        let owner = Owner::of_servers(folder.path());
        let guardian = Guardian::start(folder.path(), owner);
        let cluster = Self { programs, owner, _guardian: guardian, folder };
        cluster.initialize();
        cluster.start_again();
        cluster
    }

    /// Takes connections by TCP with TLS too, with a certificate for `localhost` that is made for it: its port, and the file
    /// with the certificate. Begins with the next start.
    ///
    /// # Panics
    /// When there is no `openssl`, which comes with Debian's Postgres.
    pub fn listen_with_tls(&self) -> (u16, PathBuf) {
        let folder = self.folder.path();
        fs::write(folder.join("openssl.conf"), CERTIFICATE).expect("the folder can be written");
        let mut openssl = Command::new("openssl");
        self.owner.run(&mut openssl);
        openssl.current_dir(folder).args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
        openssl.args(["-config", "openssl.conf", "-keyout", "data/server.key", "-out", "data/server.crt"]);
        finish(&mut openssl);
        let certificate = folder.join("certificate.pem");
        fs::copy(folder.join("data/server.crt"), &certificate).expect("the folder is ours");
        // Somebody else may take it meanwhile; then the start fails.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let settings = format!("listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\n");
        let path = data(folder).join("postgresql.auto.conf");
        fs::write(path, settings).expect("the folder can be written");
        (port, certificate)
    }

    /// A new, empty database: its URL.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://{ROLE}@localhost/{name}?host={}", self.folder.path().display())
    }

    /// Runs a statement in a database that was made here; tells what it printed.
    ///
    /// # Panics
    /// When it fails, or the URL is another one.
    pub fn ask(&self, url: &str, statement: &str) -> String {
        let name = url.split(['/', '?']).nth(3).expect("a URL of a database");
        self.sql(name, statement)
    }

    /// Where its Unix socket is.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// The id of its first process; `None`: none runs.
    pub fn process_id(&self) -> Option<u32> {
        postmaster(self.folder.path())?.parse().ok()
    }

    /// Runs a statement as the owner of everything; tells what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = self.run_as_owner("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.arg("--host").arg(self.folder.path());
        psql.args(["--username", ROLE, "--dbname", database, "--command", statement]);
        let output = finish(&mut psql);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Stops it at once, without a checkpoint: what is under way is broken off.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self) {
        self.pg_ctl(&["stop", "-w", "-m", "immediate"]);
    }

    /// Kills its first process, without any warning; the others follow.
    ///
    /// # Panics
    /// When none runs.
    pub fn kill(&self) {
        let pid = postmaster(self.folder.path()).expect("a server runs");
        finish(Command::new("kill").args(["-KILL", &pid]));
        let begun = Instant::now();
        while Path::new("/proc").join(&pid).exists() && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it again, and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        let begun = Instant::now();
        // The processes of a server that was killed may still be there: then another one refuses to start.
        while let Err(why) = self.try_to_start() {
            assert!(begun.elapsed() < PATIENCE, "Postgres does not start: {why}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn initialize(&self) {
        let mut initdb = self.run_as_owner("initdb");
        initdb.arg("--pgdata").arg(data(self.folder.path())).args(["--username", ROLE, "--auth", "trust", "--no-sync"]);
        finish(initdb.args(["--encoding", "UTF8", "--locale", "C"]));
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nport = 5432\nfsync = on\nmax_connections = 200\n\
             shared_buffers = 32MB\ndeadlock_timeout = 100ms\nlog_min_messages = warning\n",
            self.folder.path().display(),
        );
        let path = data(self.folder.path()).join("postgresql.conf");
        fs::write(path, settings).expect("the folder can be written");
    }

    fn try_to_start(&self) -> Result<(), String> {
        match self.command_of_pg_ctl(&["start", "-w"]).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(fs::read_to_string(self.log()).unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn pg_ctl(&self, args: &[&str]) {
        let status = self.command_of_pg_ctl(args).status();
        assert!(status.is_ok_and(|status| status.success()), "pg_ctl {args:?} failed");
    }

    /// The server outlives pg_ctl and keeps what it was given to write to: a file, and nothing of ours.
    fn command_of_pg_ctl(&self, args: &[&str]) -> Command {
        let mut pg_ctl = self.run_as_owner("pg_ctl");
        pg_ctl.args(args).arg("-D").arg(data(self.folder.path())).arg("-l").arg(self.log());
        pg_ctl.args(["-t", &PATIENCE.as_secs().to_string(), "-s"]);
        pg_ctl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        pg_ctl
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn run_as_owner(&self, program: &str) -> Command {
        let mut command = self.programs.command(program);
        self.owner.run(&mut command);
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        command
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The id of the first process of the server of a folder, if one runs.
fn postmaster(folder: &Path) -> Option<String> {
    let file = fs::read_to_string(data(folder).join("postmaster.pid")).ok()?;
    file.lines().next().map(str::to_owned)
}

fn finish(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
