//! The whole control plane in this process, on loopback: asked as a proxy asks it, and as an operator does.

#![expect(clippy::unwrap_used, reason = "tests")]

mod activity;
mod admin;
mod audit;
mod calls;
mod export;
mod harness;
mod lifecycle;
mod openapi;
mod policies;
mod reports;
mod resume;
mod sessions;
