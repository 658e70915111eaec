//! What operators see of a call while and after it runs: metrics, traces, log lines; and that nothing of them has content.

mod metrics;
mod traces;
