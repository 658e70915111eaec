//! The answer to a converted request, on its way from the upstream's decoder to the client's encoder.

use super::Bridge;

/// Makes the steps of an answer ones that a provider of the client's own dialect could have said.
#[derive(Clone, Debug)]
pub struct Response {
    bridge: Bridge,
}

impl Response {
    /// For the answer to the request that the bridge is of.
    pub fn new(bridge: Bridge) -> Self {
        Self { bridge }
    }

    /// What is known of the request.
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }
}
