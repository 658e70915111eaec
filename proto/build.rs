//! Compiles the `.proto` files without a `protoc` on the machine.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=luthien");
    let files = protox::compile(["luthien/v1/policy.proto", "luthien/v1/call.proto"], ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("luthien.bin"), prost_bytes(&files))?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}

/// The descriptors as bytes, for the reflection service.
fn prost_bytes(files: &impl prost::Message) -> Vec<u8> {
    files.encode_to_vec()
}
