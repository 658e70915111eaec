//! How a stream begins: with a call, or with one that had another stream before.

use luthien_proto::{
    Malformed, ToService,
    message::{Admission, CallResumed, CallStarted, capability},
};
use tonic::{Status, Streaming};

use super::{Failure, Gates, Told};

/// What a proxy says first.
pub(super) struct Opening {
    pub(super) started: CallStarted,
    /// Of a call that had another stream before.
    pub(super) resumed: Option<CallResumed>,
}

impl Opening {
    /// Hears it.
    pub(super) async fn hear(requests: &mut Streaming<Told>, gates: &Gates) -> Result<Self, Failure> {
        match next(requests, gates).await? {
            ToService::CallStarted(started) => Ok(Self { started: *started, resumed: None }),
            ToService::CallResumed(resumed) => match next(requests, gates).await? {
                ToService::CallStarted(started) => Ok(Self { started: *started, resumed: Some(*resumed) }),
                ToService::CallResumed(_)
                | ToService::Consultation(_)
                | ToService::Chunks(_)
                | ToService::Block(_)
                | ToService::CallEnded(_) => Err(Failure::Fault("CallStarted has to follow CallResumed".into())),
            },
            ToService::Consultation(_) | ToService::Chunks(_) | ToService::Block(_) | ToService::CallEnded(_) => {
                Err(Failure::Fault("the first message is neither CallStarted nor CallResumed".into()))
            }
        }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.resumed.as_ref().map_or(0, |resumed| resumed.epoch)
    }

    /// What a session before said to the request: the call goes on by it.
    pub(super) fn admission(&self) -> Option<&Admission> {
        self.resumed.as_ref()?.admission.as_ref()
    }

    /// Whether the proxy can go on with another stream.
    pub(super) fn can_resume(&self) -> bool {
        self.started.capabilities.iter().any(|capability| capability == capability::RESUME)
    }
}

async fn next(requests: &mut Streaming<Told>, gates: &Gates) -> Result<ToService, Failure> {
    tokio::select! {
        request = requests.message() => read(request),
        () = gates.cut.cancelled() => Err(Failure::Cut),
        () = gates.handover.cancelled() => Err(Failure::HandedOver),
    }
}

/// What a proxy has said.
pub(super) fn read(told: Result<Option<Told>, Status>) -> Result<ToService, Failure> {
    match told {
        Ok(Some(told)) => told.map_err(|malformed: Malformed| Failure::Fault(malformed.to_string())),
        Ok(None) => Err(Failure::Lost("it closed the stream before CallEnded".into())),
        Err(status) => Err(Failure::Lost(format!("{:?}: {}", status.code(), status.message()))),
    }
}
