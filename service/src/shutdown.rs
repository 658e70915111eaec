//! Shutdown in two steps: take nothing new and finish what runs; then, after a grace period, drop it.

use std::{io, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The two steps, shared by all that run. They can be awaited from every runtime of the process.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing new, finish what runs.
    pub soft: CancellationToken,
    /// Drop what still runs.
    pub hard: CancellationToken,
}

/// Somebody wants the process to end.
#[derive(Clone, Copy, Debug)]
pub struct Signal;

impl Shutdown {
    /// A shutdown that nobody has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the first step. Without [`Self::follow`] the second does not come by itself.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Takes both steps.
    pub fn end_now(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Follows the signals of the process, SIGTERM and SIGINT, in a task of the current runtime. They are caught from now
    /// on.
    ///
    /// # Errors
    /// Signals that can't be caught.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn follow_signals(&self, grace: Duration) -> io::Result<()> {
        let signals = signals()?;
        let shutdown = self.clone();
        tokio::spawn(async move { shutdown.follow(signals, grace).await });
        Ok(())
    }

    /// Takes the first step at the first signal, or when somebody [begins](Self::begin); the second when `grace` is over
    /// or another signal comes.
    pub async fn follow(&self, mut signals: mpsc::Receiver<Signal>, grace: Duration) {
        tokio::select! {
            Some(Signal) = signals.recv() => tracing::info!("draining: nothing new is taken; another signal ends at once"),
            () = self.soft.cancelled() => {}
        }
        self.soft.cancel();
        tokio::select! {
            Some(Signal) = signals.recv() => tracing::warn!("another signal: ending at once"),
            () = tokio::time::sleep(grace) => tracing::warn!(grace_ms = grace.as_millis(), "the grace period is over"),
            () = self.hard.cancelled() => {}
        }
        self.hard.cancel();
    }
}

#[cfg(unix)]
fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(()) = term.recv() => {}
                Some(()) = int.recv() => {}
                else => break,
            }
            if sender.send(Signal).await.is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

#[cfg(not(unix))]
fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && sender.send(Signal).await.is_ok() {} });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use tokio::{task::yield_now, time::advance};

    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn start() -> (Shutdown, mpsc::Sender<Signal>) {
        let shutdown = Shutdown::new();
        let (sender, receiver) = mpsc::channel(2);
        let followed = shutdown.clone();
        tokio::spawn(async move { followed.follow(receiver, GRACE).await });
        (shutdown, sender)
    }

    async fn state(shutdown: &Shutdown) -> (bool, bool) {
        for _ in 0..8 {
            yield_now().await;
        }
        (shutdown.soft.is_cancelled(), shutdown.hard.is_cancelled())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_drains_and_the_second_ends() {
        let (shutdown, signals) = start();
        assert_eq!(state(&shutdown).await, (false, false));
        signals.send(Signal).await.unwrap();
        assert_eq!(state(&shutdown).await, (true, false));
        signals.send(Signal).await.unwrap();
        assert_eq!(state(&shutdown).await, (true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_period_ends_what_still_runs() {
        let (shutdown, signals) = start();
        signals.send(Signal).await.unwrap();
        assert_eq!(state(&shutdown).await, (true, false));
        advance(GRACE - Duration::from_millis(1)).await;
        assert_eq!(state(&shutdown).await, (true, false));
        advance(Duration::from_millis(2)).await;
        assert_eq!(state(&shutdown).await, (true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_begins_by_itself_has_the_same_grace_period() {
        let (shutdown, signals) = start();
        shutdown.begin();
        drop(signals);
        assert_eq!(state(&shutdown).await, (true, false));
        advance(GRACE + Duration::from_millis(1)).await;
        assert_eq!(state(&shutdown).await, (true, true));
    }
}
