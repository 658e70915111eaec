//! The processes of a path, while they run.

use std::{io, net::SocketAddr, path::PathBuf, rc::Rc};

use luthien_tests_postgres::Cluster;
use tempfile::TempDir;

use super::{
    client::Talk,
    process::{Process, Usage, usage_with_children},
};

/// Where paths are started.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Where the upstream listens.
    pub upstream: SocketAddr,
    /// What runs there.
    pub upstream_process: Rc<Process>,
    /// The folder of the planes' programs.
    pub programs: PathBuf,
}

impl Setting {
    /// Starts an upstream, for planes whose programs are in that folder.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(programs: PathBuf) -> io::Result<Self> {
        let (process, upstream) = Process::role(&["upstream".into()])?;
        Ok(Self { upstream, upstream_process: Rc::new(process), programs })
    }
}

/// The processes of a path.
#[derive(Debug)]
pub struct Running {
    /// How to talk to it.
    pub talk: Talk,
    /// The relay or the data plane; then the judge, or who gives verdicts, one behind the other.
    processes: Vec<Process>,
    database: Option<Cluster>,
    folder: Option<TempDir>,
}

impl Running {
    pub(super) fn of(talk: Talk, processes: Vec<Process>) -> Self {
        Self { talk, processes, database: None, folder: None }
    }

    /// With what it needs for as long as it runs.
    pub(super) fn with(mut self, folder: TempDir, database: Option<Cluster>) -> Self {
        (self.folder, self.database) = (Some(folder), database);
        self
    }

    /// What its processes have used so far; the server of a database is one, and comes last.
    pub fn usage(&self) -> Vec<Usage> {
        let database = self.database.as_ref().and_then(Cluster::process_id).map(usage_with_children);
        self.processes.iter().map(Process::usage).chain(database).collect()
    }

    /// Whether all its processes still run.
    pub fn is_whole(&mut self) -> bool {
        self.processes.iter_mut().all(Process::is_running)
    }

    /// Ends it in good order, and leaves its folder.
    pub fn end(mut self) -> Option<TempDir> {
        self.processes.drain(..).for_each(Process::end);
        self.folder.take()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The processes end before what they use does.
        self.processes.clear();
        drop(self.database.take());
        drop(self.folder.take());
    }
}
