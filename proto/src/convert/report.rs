//! What a proxy reports of a call that no service had at its end.

use super::{Malformed, message, nested};
use crate::{
    message::{CallReport, ServiceFailure},
    wire,
};

impl From<CallReport> for wire::CallReport {
    fn from(report: CallReport) -> Self {
        Self {
            epoch: report.epoch,
            call_started: Some((*report.started).into()),
            request_left_out: report.request_left_out,
            call_ended: Some(report.ended.into()),
            cause: wire::ServiceFailure::from(report.cause).into(),
            reason: report.reason,
            revision: report.revision,
            pipeline: report.pipeline,
            usage: report.usage.map(Into::into),
        }
    }
}

impl TryFrom<wire::CallReport> for CallReport {
    type Error = Malformed;

    fn try_from(report: wire::CallReport) -> Result<Self, Malformed> {
        if report.epoch == 0 {
            return Err(Malformed::new("epoch", "a call that is reported had a stream before"));
        }
        let cause = report.cause().into();
        Ok(Self {
            epoch: report.epoch,
            started: Box::new(message(report.call_started, "call_started")?),
            request_left_out: report.request_left_out,
            ended: message(report.call_ended, "call_ended")?,
            cause,
            reason: report.reason,
            revision: report.revision,
            pipeline: report.pipeline,
            usage: report.usage.map(|usage| nested(usage, "usage")).transpose()?,
        })
    }
}

impl From<ServiceFailure> for wire::ServiceFailure {
    fn from(failure: ServiceFailure) -> Self {
        match failure {
            ServiceFailure::NotAdmitted => Self::NotAdmitted,
            ServiceFailure::Lost => Self::Lost,
            ServiceFailure::Faulted => Self::Faulted,
            ServiceFailure::NotRecorded => Self::NotRecorded,
        }
    }
}

impl From<wire::ServiceFailure> for ServiceFailure {
    fn from(failure: wire::ServiceFailure) -> Self {
        match failure {
            wire::ServiceFailure::NotAdmitted => Self::NotAdmitted,
            wire::ServiceFailure::Lost | wire::ServiceFailure::Unspecified => Self::Lost,
            wire::ServiceFailure::Faulted => Self::Faulted,
            wire::ServiceFailure::NotRecorded => Self::NotRecorded,
        }
    }
}
