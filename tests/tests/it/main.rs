//! End to end: real clients' requests, real planes, a scripted provider; every output is read by the strict readers.
#![expect(clippy::unwrap_used, reason = "tests")]

mod activity;
mod audit;
mod bad_requests;
mod bytes;
mod compose;
mod configuration;
mod continuations;
mod credentials;
mod debug_logging;
mod dialects;
mod diff;
mod disconnect;
mod disk;
mod gemini;
mod held;
mod leaves;
mod loss;
mod observability;
mod one_process;
mod pairs;
mod planes;
mod policies;
mod postgres;
mod protocol;
mod record;
mod relay;
mod replacement;
mod replay;
mod sdk;
mod secrets;
mod takeover;
mod tool_judge;
mod tool_rules;
mod unaccounted;
mod upstream_faults;
