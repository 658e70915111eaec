//! A batch as bytes: JSON, so that a later version reads what an earlier one has left, in a zstd frame with a checksum, so
//! that whatever was changed on disk is noticed.

use crate::record::{Batch, StoreError};

/// Fast: a batch is read again in a moment.
const LEVEL: i32 = 1;

pub(super) fn pack(batch: &Batch) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(batch).map_err(std::io::Error::from).map_err(unpackable)?;
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(unpackable)?;
    compressor.include_checksum(true).map_err(unpackable)?;
    compressor.compress(&json).map_err(unpackable)
}

/// The batch, or why these bytes are none.
pub(super) fn unpack(packed: &[u8]) -> Result<Batch, String> {
    let json = zstd::stream::decode_all(packed).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

fn unpackable(source: std::io::Error) -> StoreError {
    StoreError::File { path: "a batch for the journal".to_owned(), source }
}
