//! What passes unjudged, and what is to be reported of a call that no policy service had at its end.

use luthien_proto::{
    ToService,
    message::{CallReport, Opened, ServiceFailure},
};

use super::life::Call;

/// Why something passes unjudged.
#[derive(Clone, Debug)]
pub struct Opening {
    pub cause: ServiceFailure,
    pub reason: String,
}

/// Why no policy service will have heard how the call ended, or put it on record.
#[derive(Clone, Debug)]
pub struct Unheard {
    pub cause: ServiceFailure,
    pub reason: String,
}

impl Call {
    /// From here on all passes, as an operator wrote; the first reason is the one that counts.
    pub(super) fn let_pass(&mut self, cause: ServiceFailure, reason: String) {
        self.opening.get_or_insert(Opening { cause, reason });
        self.judged.open();
    }

    /// What has passed unjudged.
    pub(super) fn passed_unjudged(&self) -> Option<Opened> {
        let Opening { cause, reason } = self.opening.clone()?;
        let (first, last, chunks) = match cause {
            // Nobody said what was to be gated: it is as if all had been.
            ServiceFailure::NotAdmitted => {
                let last = self.judged.last_seq();
                (last.min(1), last, last)
            }
            ServiceFailure::Lost | ServiceFailure::Faulted | ServiceFailure::NotRecorded => self.judged.opened()?,
        };
        Some(Opened { first, last, chunks, cause, reason })
    }

    /// What is to be reported, if no policy service heard how the call ended.
    pub(super) fn take_report(&mut self) -> Option<Box<CallReport>> {
        let Unheard { cause, reason } = self.unheard.take()?;
        let first = self.stream.first();
        // What was told by us can be read by us.
        let Ok(ToService::CallStarted(mut started)) = first.decode() else { return None };
        started.headers.clear();
        let (revision, pipeline) = match &self.admission {
            Some(admission) => (admission.revision.clone(), admission.pipeline.clone()),
            None => (String::new(), Vec::new()),
        };
        let is_too_large = first.size() > self.limits.resume;
        let mut report = Box::new(CallReport {
            epoch: self.stream.epoch().saturating_add(1),
            started,
            request_left_out: false,
            ended: self.ended(),
            cause,
            reason,
            revision,
            pipeline,
            usage: self.heard.usage.clone(),
        });
        if is_too_large {
            report.leave_request_out();
        }
        Some(report)
    }
}
