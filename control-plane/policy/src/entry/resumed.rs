//! How a call goes on: taken over from a service that was lost, or with less interest than before.

use luthien_proto::message::{Applied, CallResumed};
use serde::Serialize;
use serde_json::Value;

/// The state in which a call was taken over. The record is nevertheless that of the whole call: what the proxy had been
/// told comes again, and what had been decided is decided again.
#[derive(Clone, Debug, Serialize)]
pub struct ResumedEntry {
    /// How many streams of the call there were before.
    pub epoch: u32,
    /// Whether the call had been admitted or rejected.
    pub admitted: bool,
    /// The last chunk that had its verdict; 0: none.
    pub settled: u64,
    /// The events that were injected behind it.
    pub injected: u64,
    /// Whether the policies had ended the response.
    pub ended: bool,
    /// The revision of the policies that the call goes on with.
    pub revision: String,
}

/// What the policies want of each kind from here on.
#[derive(Clone, Debug, Serialize)]
pub struct InterestEntry {
    /// `record`, `observe`, `gate`, by kind.
    pub interest: Value,
}

impl ResumedEntry {
    pub(crate) fn new(resumed: &CallResumed, revision: &str) -> Self {
        let Applied { settled, injected, ended } = resumed.applied;
        let (epoch, admitted, revision) = (resumed.epoch, resumed.admission.is_some(), revision.to_owned());
        Self { epoch, admitted, settled, injected, ended, revision }
    }
}
