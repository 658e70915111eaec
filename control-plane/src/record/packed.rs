//! Texts as databases keep them: compressed, where that saves something.

use std::{cell::RefCell, io};

use zstd::bulk::Compressor;

/// Below this, a frame saves little and costs time.
const COMPRESSED_MIN: usize = 512;
const LEVEL: i32 = 3;
/// Begins every frame, and no text: it is not UTF-8.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

thread_local! {
    /// Making one takes longer than compressing a text.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A text for the database: itself, or a zstd frame.
pub fn pack(text: &str) -> Vec<u8> {
    if text.len() < COMPRESSED_MIN {
        return text.as_bytes().to_vec();
    }
    match compress(text.as_bytes()) {
        Ok(frame) if frame.len() < text.len() => frame,
        Ok(_) | Err(_) => text.as_bytes().to_vec(),
    }
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(compressor) => compressor.compress(bytes),
        None => kept.insert(Compressor::new(LEVEL)?).compress(bytes),
    })
}

/// The text again.
///
/// # Errors
/// It is not what [`pack`] made.
pub fn unpack(bytes: &[u8]) -> io::Result<String> {
    let text = if bytes.starts_with(&MAGIC) { zstd::stream::decode_all(bytes)? } else { bytes.to_vec() };
    String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_packed_is_read_again() {
        let long = "ü".repeat(COMPRESSED_MIN);
        for text in ["", "{}", "(µ/ý", &long[..COMPRESSED_MIN - 2], &long] {
            assert_eq!(unpack(&pack(text)).unwrap(), text);
        }
        assert!(pack(&long).len() < 100);
        assert!(unpack(&[0xff]).is_err());
        assert!(unpack(&pack(&long)[..12]).is_err());
    }
}
