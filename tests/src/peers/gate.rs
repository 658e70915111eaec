//! A point in a script that waits for the test.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds a script until the test opens it; and lets the test wait until the script has come to it.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    reached: bool,
    open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())) }
    }
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the script go on.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Waits until the script stands at it: everything before it was handed to the connection.
    pub async fn reached(&self) {
        super::within("the script to reach its gate", self.wait(|state| state.reached)).await;
    }

    /// The script's side: says that it is here, and waits.
    pub(super) async fn pass(&self) {
        self.state.send_modify(|state| state.reached = true);
        self.wait(|state| state.open).await;
    }

    async fn wait(&self, wanted: impl FnMut(&State) -> bool) {
        let mut receiver = self.state.subscribe();
        receiver.wait_for(wanted).await.expect("the sender is ours");
    }
}
