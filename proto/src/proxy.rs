//! What whoever speaks as a proxy needs, a data plane or a policy service that asks another one: what to tell and when,
//! in which kinds, and which events can be written.

pub mod turn;

mod reporter;
mod view;

pub use reporter::Reporter;
pub use turn::Turn;
pub use view::View;
