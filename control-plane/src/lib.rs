//! The control plane: policy service, record, admin API.

pub mod admin;
pub mod record;
