//! Tells policy services of what waits, until it is told.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tonic::{Code, Status};
use tracing::{info, warn};

use super::{Report, Reports};
use crate::policy_service::Services;

/// How many are told at once, while services answer.
const AT_ONCE: usize = 32;
/// How long is waited after one that could not be told.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// What became of a report.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It is durable.
    Durable,
    /// Another time.
    Later,
    /// As it is, it is not taken.
    Refused,
    /// Reports are not taken.
    Unknown,
}

impl Reports {
    /// Tells what waits, and what comes. Dropped, it forgets what is just being told.
    pub(crate) async fn tell(&self, services: &Services) {
        let mut pause = None;
        loop {
            if self.waiting.subscribe().wait_for(|waiting| !waiting.queue.is_empty()).await.is_err() {
                return; // not while the sender is here
            }
            // Whether anybody is there again is found out by one.
            let at_once = if pause.is_none() { AT_ONCE } else { 1 };
            let tellings = self.take(at_once).into_iter().map(async |report| {
                let answer = services.report(report.said().clone()).await;
                (report, answer)
            });
            let answers = join_all(tellings).await;
            let is_reached = answers.iter().all(|(_, answer)| told(answer) != Told::Later);
            // The first one is to be in front again.
            for (report, answer) in answers.into_iter().rev() {
                self.answered(report, &answer);
            }
            pause = match pause {
                _ if is_reached => None,
                None => Some(PAUSE_FIRST),
                Some(pause) => Some(PAUSE_LAST.min(pause * 2)),
            };
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
    }

    pub(super) fn take(&self, at_once: usize) -> Vec<Report> {
        let mut taken = Vec::new();
        self.waiting.send_modify(|waiting| {
            taken.extend(waiting.queue.drain(..at_once.min(waiting.queue.len())));
            waiting.telling += taken.len();
        });
        taken
    }

    pub(super) fn answered(&self, mut report: Report, answer: &Result<(), Status>) {
        let (call_id, bytes) = (report.call_id, report.bytes());
        let again = match (told(answer), report.full.is_some()) {
            (Told::Durable, _) => {
                self.told.one();
                info!(%call_id, "a control plane was told how the call ended");
                false
            }
            (Told::Later, _) => true,
            (Told::Refused, true) => {
                report.full = None;
                true
            }
            (Told::Refused, false) | (Told::Unknown, _) => {
                self.lost.one();
                let error = answer.as_ref().err().map(ToString::to_string);
                warn!(%call_id, error, "how the call ended will not be on record: the report is not taken");
                false
            }
        };
        self.waiting.send_modify(|waiting| {
            waiting.telling -= 1;
            waiting.bytes -= bytes;
            if again {
                waiting.bytes += report.bytes();
                waiting.queue.push_front(report);
            }
        });
    }
}

fn told(answer: &Result<(), Status>) -> Told {
    match answer.as_ref().map_err(Status::code) {
        Ok(()) => Told::Durable,
        Err(Code::InvalidArgument | Code::OutOfRange) => Told::Refused,
        Err(Code::Unimplemented) => Told::Unknown,
        Err(
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated,
        ) => Told::Later,
    }
}
