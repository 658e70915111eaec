//! What luthien costs: a load, the paths that it takes, and what was measured on each.
//!
//! A *path* is what stands between the client and the upstream: nothing; a bare relay, which is the floor; luthien with
//! one policy or another. A *cell* is a load: so many streams, at such a pace, with deltas of such a size. All paths of a
//! cell are measured one after the other, in the same run, so that their rows can be compared.
//!
//! Upstream, relay and judge are processes of their own, as the planes are, with one current-thread runtime each. The
//! load client is the process that measures.

pub mod cell;
pub mod client;
pub mod compare;
pub mod dialect;
pub mod flat;
pub mod goals;
pub mod judge;
pub mod machine;
pub mod measure;
pub mod path;
mod planes;
pub mod process;
pub mod relay;
pub mod run;
pub mod running;
pub mod scenario;
pub mod soak;
pub mod stamp;
pub mod start;
pub mod table;
pub mod upstream;
