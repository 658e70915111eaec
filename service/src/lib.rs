//! What both programs share around their cores: the configuration file, listening sockets, logs, metrics, traces, shutdown, exit codes.
//!
//! Nothing here knows a section of either program.

pub mod config;
pub mod exit;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod secret;
pub mod shutdown;
pub mod telemetry;

pub use config::ConfigError;
pub use secret::Secret;
pub use shutdown::Shutdown;
