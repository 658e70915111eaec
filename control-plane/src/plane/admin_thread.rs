//! The thread of the admin API.

use std::io;

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

/// A runtime with one thread. Dropped, it ends whatever still runs there.
pub(super) struct AdminThread(Option<Runtime>);

impl AdminThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("admin").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn spawn<F: Future<Output: Send> + Send + 'static>(&self, work: F) -> JoinHandle<F::Output> {
        match &self.0 {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        }
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
