//! The real programs, as child processes: started with a configuration of the test's own, on free ports, in a folder of
//! their own, and gone when the test is over.

mod client;
mod logs;
mod planes;
mod process;
mod record;
mod setup;

pub use client::{Answer, Ask};
pub use logs::{Level, Line};
pub use planes::{ADMIN_TOKEN, ControlPlane, DataPlane};
pub use process::{Exit, Process, Program, Signal};
pub use record::Record;
pub use setup::{Gateway, Setup, data_plane_section};
