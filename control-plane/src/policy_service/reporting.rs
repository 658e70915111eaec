//! Reports of calls that no control plane had at their end: put on record, and answered when that is durable.

use std::sync::Arc;

use luthien_policy::ReportEntry;
use luthien_proto::{Malformed, message::CallReport, wire};
use tonic::Status;
use tracing::{info, warn};

use super::PolicyService;
use crate::record::Summary;

/// Puts a report on record.
pub(super) async fn report(
    service: Arc<PolicyService>,
    report: wire::CallReport,
) -> Result<wire::CallReported, Status> {
    let report = CallReport::try_from(report).map_err(|malformed: Malformed| {
        warn!(error = %malformed, "a report can't be read");
        Status::invalid_argument(malformed.to_string())
    })?;
    let CallReport { epoch, cause, .. } = report;
    let (call_id, outcome) = (report.started.call_id, report.ended.outcome);
    service.streams.supersede(call_id, epoch);
    let mut record = service.recorder.call(Summary { epoch, ..Summary::new(&report.started) });
    ReportEntry::entries(report).into_iter().for_each(|entry| record.push(entry));
    service.continuations.remember(record.summary());
    record.close().await.map_err(|not| Status::unavailable(not.to_string()))?;
    service.metrics.reported(cause);
    info!(%call_id, cause = cause.name(), outcome = outcome.name(), "a call was reported that no control plane had at its end");
    Ok(wire::CallReported {})
}
