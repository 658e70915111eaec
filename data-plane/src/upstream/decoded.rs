//! A compressed body, read as what it was before: a piece as soon as it is there, and never more at once than a piece
//! may have, whatever the compressed bytes make of themselves.

use std::{error::Error, io};

use bytes::{Buf, Bytes};
use compression_codecs::{
    BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder,
    core::util::{PartialBuffer, WriteBuffer},
    zstd::params::DParameter,
};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// The most that is decoded at once.
const PIECE: usize = 64 * 1024;
/// The largest window that a zstd frame may ask for, as a power of two: 8 MiB, as RFC 9659 has it.
const ZSTD_WINDOW: u32 = 23;

pub(super) type Decoder = Box<dyn DecodeV2 + Send + Sync>;

/// The decoder for a body with these headers; `None`: it is not compressed, or nobody knows how.
pub(super) fn decoder(headers: &HeaderMap) -> Option<Decoder> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let (coding, more) = (codings.next()?, codings.next());
    if more.is_some() {
        return None;
    }
    Some(match coding.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Box::new(GzipDecoder::new()),
        "br" => Box::new(BrotliDecoder::new()),
        "zstd" => Box::new(ZstdDecoder::new_with_params(&[DParameter::window_log_max(ZSTD_WINDOW)])),
        _ => return None,
    })
}

/// A body that is being decoded.
pub(super) struct Decoded {
    body: Incoming,
    inflow: Inflow,
}

impl Decoded {
    pub(super) fn new(body: Incoming, decoder: Decoder) -> Self {
        Self { body, inflow: Inflow::new(decoder) }
    }

    /// The next piece; `None`: that was all. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Box<dyn Error + Send + Sync>> {
        loop {
            if let Some(piece) = self.inflow.piece()? {
                return Ok(Some(piece));
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.inflow.rest = data;
                    }
                }
                None => return Ok(self.inflow.end().map(|()| None)?),
            }
        }
    }
}

/// What has come and was not decoded yet.
struct Inflow {
    decoder: Decoder,
    rest: Bytes,
    /// Whether the decoder may have more to give without being given more.
    full: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    Empty,
    /// Within a member or frame.
    Within,
    /// Behind one: another may follow.
    Behind,
}

impl Inflow {
    fn new(decoder: Decoder) -> Self {
        Self { decoder, rest: Bytes::new(), full: false, state: State::Empty }
    }

    /// What can be decoded of it, up to a piece; `None`: nothing more for now.
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = vec![0; PIECE];
        let mut written = 0;
        while written < PIECE && (!self.rest.is_empty() || self.full) {
            if self.state == State::Behind {
                self.decoder.reinit()?;
            }
            let mut input = PartialBuffer::new(&self.rest[..]);
            let mut output = WriteBuffer::new_initialized(&mut piece[written..]);
            let ended = self.decoder.decode(&mut input, &mut output)?;
            let (taken, given) = (input.written().len(), output.written_len());
            self.rest.advance(taken);
            written += given;
            self.full = !ended && written == PIECE;
            self.state = if ended { State::Behind } else { State::Within };
            if taken == 0 && given == 0 {
                break;
            }
        }
        piece.truncate(written);
        Ok((written > 0).then(|| piece.into()))
    }

    /// Nothing more comes.
    fn end(&self) -> io::Result<()> {
        match self.state {
            State::Within => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the compressed body broke off")),
            State::Empty | State::Behind => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use compression_codecs::{
        BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder, brotli::params::EncoderParams, core::Level,
    };
    use http::HeaderValue;

    use super::*;

    const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

    fn encoder(coding: &str) -> Box<dyn EncodeV2> {
        match coding {
            "gzip" => Box::new(GzipEncoder::new(Level::Default.into())),
            "br" => Box::new(BrotliEncoder::new(EncoderParams::default())),
            _ => Box::new(ZstdEncoder::new(3)),
        }
    }

    /// Each part flushed by itself, and the end.
    fn compressed(coding: &str, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut encoder = encoder(coding);
        let mut buffer = vec![0; 1 << 20];
        let mut pieces = Vec::new();
        for part in parts {
            let mut output = WriteBuffer::new_initialized(&mut buffer);
            let mut input = PartialBuffer::new(*part);
            while !input.unwritten().is_empty() {
                encoder.encode(&mut input, &mut output).unwrap();
            }
            while !encoder.flush(&mut output).unwrap() {}
            pieces.push(output.written().to_vec());
        }
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        while !encoder.finish(&mut output).unwrap() {}
        pieces.push(output.written().to_vec());
        pieces
    }

    fn inflow(coding: &str) -> Inflow {
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap())]);
        Inflow::new(decoder(&headers).unwrap())
    }

    fn take(inflow: &mut Inflow, data: &[u8]) -> io::Result<Vec<u8>> {
        inflow.rest = Bytes::copy_from_slice(data);
        let mut taken = Vec::new();
        while let Some(piece) = inflow.piece()? {
            assert!(piece.len() <= PIECE);
            taken.extend_from_slice(&piece);
        }
        Ok(taken)
    }

    #[test]
    fn what_was_flushed_is_there_at_once_however_the_bytes_are_split() {
        for coding in CODINGS {
            let parts: [&[u8]; 3] = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"];
            let pieces = compressed(coding, &parts);
            let mut whole = inflow(coding);
            let mut bytewise = inflow(coding);
            for (piece, part) in pieces.iter().zip(parts) {
                assert_eq!(take(&mut whole, piece).unwrap(), part, "{coding}");
                let bytes: Vec<u8> = piece.iter().flat_map(|byte| take(&mut bytewise, &[*byte]).unwrap()).collect();
                assert_eq!(bytes, part, "{coding}");
                assert!(whole.end().is_err(), "{coding}");
            }
            assert!(take(&mut whole, &pieces[3]).unwrap().is_empty(), "{coding}");
            whole.end().unwrap();
        }
    }

    #[test]
    fn a_little_that_becomes_much_comes_in_pieces() {
        for coding in CODINGS {
            let much = vec![b'x'; 1_000_000];
            let pieces = compressed(coding, &[&much]).concat();
            assert!(pieces.len() < 10_000, "{coding}");
            assert_eq!(take(&mut inflow(coding), &pieces).unwrap(), much, "{coding}");
        }
    }

    #[test]
    fn what_is_not_compressed_so_is_an_error() {
        for coding in CODINGS {
            assert!(
                take(&mut inflow(coding), b"data: plain text, and nothing compressed at all\n\n").is_err(),
                "{coding}"
            );
        }
    }

    #[test]
    fn codings_that_nobody_knows_have_no_decoder() {
        for coding in ["identity", "compress", "gzip, br", ""] {
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap())]);
            assert!(decoder(&headers).is_none(), "{coding}");
        }
    }
}
