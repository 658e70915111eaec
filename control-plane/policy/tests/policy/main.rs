//! The policies and their session, through the messages that a proxy exchanges with them.
//!
//! `proxy` plays the other side and keeps the gate's rules by itself: what it releases is what a client would get.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests: what is unexpected fails them")]

mod answers;
mod audit;
mod bindings;
mod config;
mod consult;
mod debug_logging;
mod edits;
mod guards;
mod interest;
mod judge;
mod llm_judge;
mod parallel;
mod peers;
mod pipeline;
mod presets;
mod proxy;
mod record;
mod remote;
mod replacement;
mod replay;
mod response;
mod resume;
mod rules;
mod scripted;
mod served;
mod session;
