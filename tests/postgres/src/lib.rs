//! Postgres for tests: a server of their own, in a folder of its own, reached by a Unix socket only;
//! and a network before it that fails as it is told.

mod cluster;
mod programs;
mod relay;

pub use cluster::Cluster;
pub use programs::{HOW_TO_INSTALL, Programs};
pub use relay::{Relay, Weather};
