//! One call, as the policy service sees it.

use std::{collections::VecDeque, sync::Arc};

use luthien_proto::message::{CallStarted, FromService, ToService};

use crate::{Entry, PolicySet};

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Say this to the proxy.
    Say(FromService),
    /// Put this on record.
    Record(Entry),
    /// The call is over: nothing follows.
    Ended,
}

/// The proxy broke the protocol: the call ends closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `CallStarted` came twice.
    #[error("CallStarted came twice")]
    StartedTwice,
}

/// A call.
pub struct Session {
    outputs: VecDeque<Output>,
}

impl Session {
    /// Begins a call: the policies see the request. The first outputs are its entries and the Admission.
    pub fn begin(set: Arc<PolicySet>, started: CallStarted) -> Self {
        let _ = (set, started);
        Self { outputs: VecDeque::new() }
    }

    /// Takes in what the proxy says.
    ///
    /// # Errors
    /// What it says is out of order. Nothing but [`Self::lost`] is to be called after that.
    pub fn handle(&mut self, message: ToService) -> Result<(), Fault> {
        let _ = message;
        Ok(())
    }

    /// The proxy's stream broke before `CallEnded`: what the client got is not known.
    pub fn lost(&mut self) {}

    /// What is to be done next; `None`: wait for more.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
