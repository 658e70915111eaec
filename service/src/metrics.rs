//! Metrics: plain atomics, written out in Prometheus's text format when somebody asks.
//!
//! What is counted has a place of its own in a struct: there is no registry, nothing to look up and nothing to lock. Labels
//! are names of the program's own and of its configuration, never what somebody sent.

mod histogram;

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

pub use histogram::{Histogram, LATENCIES_US};

/// The content type of a [`Page`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        if more > 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds the difference between what somebody contributed and what they contribute now.
    pub fn change(&self, before: usize, after: usize) {
        let (before, after) = (i64::try_from(before).unwrap_or(i64::MAX), i64::try_from(after).unwrap_or(i64::MAX));
        if before != after {
            self.0.fetch_add(after - before, Ordering::Relaxed);
        }
    }

    /// The sum of what all contribute.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What `/metrics` answers.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

/// The series of one metric.
#[derive(Debug)]
pub struct Series<'p> {
    page: &'p mut Page,
    name: &'static str,
}

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// A metric that only rises.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Series<'_> {
        self.series(name, help, "counter")
    }

    /// A metric that rises and falls.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Series<'_> {
        self.series(name, help, "gauge")
    }

    /// A metric of times, in seconds.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Series<'_> {
        self.series(name, help, "histogram")
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn series(&mut self, name: &'static str, help: &str, kind: &str) -> Series<'_> {
        self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Series { page: self, name }
    }

    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        more: Option<(&str, &str)>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut open = '{';
        for (key, value) in labels.iter().chain(&more) {
            self.text.push(open);
            self.text.push_str(key);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
        // Writing to a string does not fail.
        let _ = writeln!(self.text, " {value}");
    }
}

impl Series<'_> {
    /// One value.
    pub fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.page.line(self.name, "", labels, None, value);
    }

    /// One distribution.
    pub fn times(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut count = 0;
        for (bound, bucket) in histogram.buckets() {
            count += bucket;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |us| seconds(us).to_string());
            self.page.line(self.name, "_bucket", labels, Some(("le", &bound)), count);
        }
        self.page.line(self.name, "_sum", labels, None, seconds(histogram.sum_us()));
        self.page.line(self.name, "_count", labels, None, count);
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn escape(value: &str, out: &mut String) {
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Page::new();
        let mut calls = page.counter("luthien_calls_total", "Calls.");
        calls.value(&[("dialect", "a\"b\\c\nd"), ("outcome", "failed")], 3);
        calls.value(&[], 4_u64);
        let open = Gauge::default();
        open.change(0, 7);
        open.change(7, 5);
        page.gauge("luthien_open", "Open.").value(&[], open.get());
        let times = Histogram::new(&[500, 1_000_000]);
        for us in [400, 500, 501, 2_000_000] {
            times.observe(Duration::from_micros(us));
        }
        times.merge(&[1, 0, 0], 100);
        page.histogram("luthien_seconds", "Times.").times(&[("upstream", "o")], &times);
        expect![[r#"
            # HELP luthien_calls_total Calls.
            # TYPE luthien_calls_total counter
            luthien_calls_total{dialect="a\"b\\c\nd",outcome="failed"} 3
            luthien_calls_total 4
            # HELP luthien_open Open.
            # TYPE luthien_open gauge
            luthien_open 5
            # HELP luthien_seconds Times.
            # TYPE luthien_seconds histogram
            luthien_seconds_bucket{upstream="o",le="0.0005"} 3
            luthien_seconds_bucket{upstream="o",le="1"} 4
            luthien_seconds_bucket{upstream="o",le="+Inf"} 5
            luthien_seconds_sum{upstream="o"} 2.001501
            luthien_seconds_count{upstream="o"} 5
        "#]]
        .assert_eq(&page.finish());
    }
}
