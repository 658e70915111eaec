//! The data plane: HTTP in, HTTP out, and between them, for each call, the verdicts of a policy service.
//!
//! What a call does is decided in `luthien-call`, which has no sockets; here are the sockets. It keeps nothing: each call
//! lives on one thread, from its request to the last word about it, and threads share only what is read.

pub mod config;

mod alarm;
mod answers;
mod asker;
mod auth;
mod budget;
mod client;
mod consults;
mod counting;
mod driver;
mod endpoint;
mod headers;
mod intake;
mod listener;
mod metrics;
mod models;
mod passthrough;
mod plane;
mod policy_service;
mod refusal;
mod relay;
mod reports;
mod routes;
mod run;
mod server;
mod session;
mod trace;
mod upstream;
mod watch;

pub use asker::{Asker, AskerError};
pub use config::Config;
pub use run::{DataPlane, Panicked, Running, StartError, serve};
pub use upstream::{Upstreams, connector};
