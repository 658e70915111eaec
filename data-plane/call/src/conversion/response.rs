//! The answer to a converted request, on its way from the upstream's decoder to the client's encoder.
//!
//! It is converted in two places. What arrives is put into the client's names before any policy sees it: tools are called
//! as the client declared them, errors are those that the client's dialect knows. What leaves is made what a provider of
//! the client's own dialect could have said, behind the policies, so that they see all that the upstream said.

mod annotations;
mod arriving;
mod ids;
mod leaving;

use luthien_proto::event::Started;

use super::Bridge;

pub(crate) use arriving::Arriving;
pub(crate) use ids::{call as call_id, prefix as id_prefix};
pub(crate) use leaving::Leaving;

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

    /// `streams`: whether the client is answered by a stream. `stand_in`: what the answer starts with where the upstream
    /// doesn't say.
    pub(crate) fn split(self, streams: bool, stand_in: Started) -> (Arriving, Leaving) {
        let Bridge { client, upstream, model, upstream_model, tools, include_usage, echo } = self.bridge;
        let leaving = leaving::About {
            client,
            upstream,
            upstream_model,
            tells_usage: include_usage || !streams,
            echo,
            stand_in: Started { model, ..stand_in },
        };
        (Arriving::new(client, upstream, tools), Leaving::new(leaving))
    }
}
