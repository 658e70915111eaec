//! The verdict protocol: its `.proto` files are the specification; this crate turns them into Rust.
//!
//! [`wire`] is the generated code and stays at the wire. Both planes work with the checked, owned types of [`event`],
//! [`request`] and [`message`]: whatever is unset, unknown or malformed fails, or is read as the strictest, in the one
//! conversion between the two, and nowhere later.

pub mod codec;
pub mod event;
pub mod json;
pub mod message;
pub mod proxy;
pub mod request;

mod convert;

pub use convert::Malformed;
pub use event::{Chunk, Event, Step};
pub use message::{FromService, ToService};
pub use request::Request;

/// The generated code.
#[expect(missing_docs, clippy::all, reason = "generated")]
pub mod wire {
    tonic::include_proto!("luthien.v1");

    /// The descriptors of the package, as an encoded `FileDescriptorSet`: for gRPC server reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/luthien.bin"));
}
