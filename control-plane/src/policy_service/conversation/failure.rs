//! Why a stream does not end well, and what that means for the proxy and the record.

use thiserror::Error;
use tonic::Status;
use tracing::{debug, error, info, warn};

use super::guarded::Panicked;
use crate::{metrics, policy_service::streams::NoPlace, record::NotDurable};

#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Fault(String),
    #[error("the proxy was lost: {0}")]
    Lost(String),
    #[error("the policies failed")]
    Panicked(#[from] Panicked),
    #[error("revision {0} of the policies is not known here")]
    UnknownRevision(String),
    #[error("the call goes on with another stream")]
    Superseded,
    #[error("the control plane is shutting down; the call may go on elsewhere")]
    HandedOver,
    #[error("the control plane is shutting down")]
    Cut,
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    #[error("nothing can be put on record at present, and nothing is said of a call that is not on record")]
    NoRecord,
}

/// What the record of a stream that failed says of the call's end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// That it is not known.
    Unknown,
    /// The same, unless the call goes on with another stream.
    UnknownIfNotResumed,
    /// Nothing: the call goes on with another stream.
    GoesOn,
}

impl From<NoPlace> for Failure {
    fn from(reason: NoPlace) -> Self {
        match reason {
            NoPlace::Taken => Self::Fault("another stream of the call has this epoch".into()),
            NoPlace::Late => Self::Superseded,
        }
    }
}

impl Failure {
    pub(super) fn status(&self) -> Status {
        let text = self.to_string();
        match self {
            Self::Fault(_) => Status::invalid_argument(text),
            Self::Lost(_) => Status::cancelled(text),
            Self::Panicked(_) => Status::internal(text),
            Self::UnknownRevision(_) => Status::failed_precondition(text),
            Self::Superseded => Status::aborted(text),
            Self::HandedOver | Self::Cut | Self::NotDurable(_) | Self::NoRecord => Status::unavailable(text),
        }
    }

    pub(super) fn kind(&self) -> metrics::Failure {
        match self {
            Self::Fault(_) => metrics::Failure::Fault,
            Self::Lost(_) => metrics::Failure::Lost,
            Self::Panicked(_) => metrics::Failure::Panicked,
            Self::UnknownRevision(_) => metrics::Failure::UnknownRevision,
            Self::Superseded => metrics::Failure::Superseded,
            Self::HandedOver => metrics::Failure::HandedOver,
            Self::Cut => metrics::Failure::Cut,
            Self::NotDurable(_) | Self::NoRecord => metrics::Failure::NotDurable,
        }
    }

    pub(super) fn aftermath(&self) -> Aftermath {
        match self {
            Self::Lost(_) | Self::NoRecord => Aftermath::UnknownIfNotResumed,
            Self::Superseded | Self::HandedOver => Aftermath::GoesOn,
            Self::Fault(_) | Self::Panicked(_) | Self::UnknownRevision(_) | Self::Cut | Self::NotDurable(_) => {
                Aftermath::Unknown
            }
        }
    }

    pub(super) fn log(&self) {
        match self {
            Self::Fault(fault) => warn!(fault, "the proxy broke the protocol"),
            Self::Lost(why) => debug!(why, "the proxy was lost before it said how the call ended"),
            Self::Panicked(_) => error!("the policies panicked; the call ends closed"),
            Self::UnknownRevision(revision) => {
                info!(revision, "a call of a revision that is not known here was refused")
            }
            Self::Superseded => debug!("the call goes on with another stream"),
            Self::HandedOver => debug!("the call was handed over"),
            Self::Cut | Self::NotDurable(_) | Self::NoRecord => warn!(reason = %self, "the call was cut"),
        }
    }
}
