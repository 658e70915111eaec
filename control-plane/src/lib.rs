//! The control plane: the policy service, the record, the admin API.
//!
//! [`ControlPlane::start`] puts them together on threads of one process. Each part also stands alone, with what it touches
//! of the world passed in: [`policy_service::PolicyService::serve`] takes connections from any listener,
//! [`record::Writer`] writes to any [`record::Store`], [`admin::router`] is served wherever one likes.

pub mod admin;
pub mod config;
pub mod continuation;
pub mod listen;
pub mod policies;
pub mod policy_service;
pub mod record;

mod metrics;
mod plane;
mod trace;

pub use config::Config;
pub use metrics::Metrics;
pub use plane::{ControlPlane, Failed, Running, StartError};
