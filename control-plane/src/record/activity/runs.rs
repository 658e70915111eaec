//! What a batch holds that is told of.

use std::collections::HashMap;

use luthien_proto::message::Outcome as Ended;
use uuid::Uuid;

use super::TOLD;
use crate::record::Batch;

/// Entries of a stream that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::record) struct Run {
    pub(in crate::record) call_id: Uuid,
    pub(in crate::record) epoch: u32,
    pub(in crate::record) first: i64,
    pub(in crate::record) last: i64,
}

impl Run {
    /// Of a stream whose call ended, and nobody told how: what there is to tell is in the summary.
    fn end(call_id: Uuid, epoch: u32) -> Self {
        Self { call_id, epoch, first: -1, last: -1 }
    }
}

/// The runs of a batch, in the order in which they begin.
pub(in crate::record) fn runs(batch: &Batch) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut latest: HashMap<(Uuid, u32), usize> = HashMap::new();
    for entry in batch.entries.iter().filter(|entry| TOLD.contains(&&*entry.kind)) {
        let (stream, seq) = ((entry.call_id, entry.epoch), i64::try_from(entry.seq).unwrap_or(i64::MAX));
        // Entries between two that are told of are none of another stream.
        match latest.get(&stream).map(|&at| &mut runs[at]) {
            Some(run) if run.last < seq => run.last = seq,
            Some(_) | None => {
                latest.insert(stream, runs.len());
                runs.push(Run { call_id: entry.call_id, epoch: entry.epoch, first: seq, last: seq });
            }
        }
    }
    let unknown = batch.summaries.iter().filter(|summary| summary.outcome == Some(Ended::Unknown));
    runs.extend(unknown.map(|summary| Run::end(summary.call_id, summary.epoch)));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Entry;

    fn entry(call: u128, seq: u64, kind: &'static str) -> Entry {
        Entry { call_id: Uuid::from_u128(call), epoch: 0, seq, at_us: 0, kind: kind.into(), body: String::new() }
    }

    #[test]
    fn what_is_told_of_each_stream_is_one_run() {
        let entries = vec![
            entry(1, 0, "request"),
            entry(2, 3, "coverage"),
            entry(1, 1, "step"),
            entry(2, 4, "outcome"),
            entry(1, 2, "verdict"),
            entry(1, 3, "part"),
        ];
        let found: Vec<_> = runs(&Batch { entries, ..Batch::default() })
            .iter()
            .map(|run| (run.call_id.as_u128(), run.first, run.last))
            .collect();
        assert_eq!(found, [(1, 0, 2), (2, 4, 4)]);
    }
}
