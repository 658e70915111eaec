//! A distribution of times.

use std::{
    iter,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Bounds for what may take from a millisecond to ten minutes, in microseconds.
pub const LATENCIES_US: &[u64] = &[
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];

/// How many times fell between which bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds_us: &'static [u64],
    /// One for each bound, and one for what lies above the last.
    buckets: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Between these bounds, each of which belongs to the bucket below it.
    pub fn new(bounds_us: &'static [u64]) -> Self {
        let buckets = (0..=bounds_us.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_us, buckets, sum_us: AtomicU64::new(0) }
    }

    /// One more.
    pub fn observe(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[self.bounds_us.partition_point(|bound| *bound < us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What somebody counted for themselves between the same bounds.
    pub fn merge(&self, buckets: &[u64], sum_us: u64) {
        for (bucket, more) in self.buckets.iter().zip(buckets).filter(|(_, more)| **more > 0) {
            bucket.fetch_add(*more, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(sum_us, Ordering::Relaxed);
    }

    /// Each upper bound, and how many fell below it and above the one before; `None`: no bound.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds_us.iter().copied().map(Some).chain(iter::once(None));
        bounds.zip(self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)))
    }

    pub(super) fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }
}
