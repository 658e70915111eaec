//! Credentials that an upstream repeats in an error: neither a client nor the record is to have them.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use memchr::memmem;

/// What is shorter is no secret, and may be a part of any word.
const SHORTEST: usize = 8;

/// Puts asterisks in the place of credentials, as many as they have bytes. What could be the beginning of one is kept until
/// more is there.
#[derive(Debug, Default)]
pub(crate) struct Masker {
    secrets: Vec<Bytes>,
    kept: BytesMut,
}

impl Masker {
    /// For the credentials in the headers of a request: the values that are marked as sensitive.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.values().filter(|value| value.is_sensitive());
        let secrets = values.map(|value| {
            let value = value.as_bytes();
            let secret = value.strip_prefix(b"Bearer ").unwrap_or(value);
            Bytes::copy_from_slice(secret)
        });
        Self { secrets: secrets.filter(|secret| secret.len() >= SHORTEST).collect(), kept: BytesMut::new() }
    }

    /// The next piece of the body, masked: what is certain of it.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        if self.secrets.is_empty() {
            return piece;
        }
        self.kept.extend_from_slice(&piece);
        for secret in &self.secrets {
            mask(&mut self.kept, secret);
        }
        let begun = self.secrets.iter().map(|secret| beginning(&self.kept, secret)).max().unwrap_or_default();
        self.kept.split_to(self.kept.len() - begun).freeze()
    }

    /// What was kept, now that nothing more comes; empty if all is out.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.kept.split().freeze()
    }

    /// A whole body, masked.
    pub(crate) fn whole(mut self, body: Bytes) -> Bytes {
        let certain = self.push(body);
        match self.rest() {
            rest if rest.is_empty() => certain,
            rest => [certain, rest].concat().into(),
        }
    }
}

fn mask(text: &mut [u8], secret: &[u8]) {
    let places: Vec<usize> = memmem::find_iter(text, secret).collect();
    for at in places {
        text[at..at + secret.len()].fill(b'*');
    }
}

/// How many bytes at the end of a text a secret may begin with.
fn beginning(text: &[u8], secret: &[u8]) -> usize {
    (1..secret.len()).rev().find(|length| text.ends_with(&secret[..*length])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn masker() -> Masker {
        let value = |text: &'static str| {
            let mut value = HeaderValue::from_static(text);
            value.set_sensitive(true);
            value
        };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value("Bearer key-of-many-keys"));
        headers.insert("x-api-key", value("k"));
        headers.insert("x-other", HeaderValue::from_static("no credential"));
        Masker::of(&headers)
    }

    #[test]
    fn a_credential_is_masked_however_it_is_cut() {
        let text = "kk key-of-many-key, key-of-key-of-many-keyskey-of-many-keys no credential key-of";
        let expected = "kk key-of-many-key, key-of-******************************** no credential key-of";
        for size in 1..text.len() {
            let mut masker = masker();
            let pieces = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let mut masked: Vec<u8> = pieces.flat_map(|piece| masker.push(piece)).collect();
            masked.extend_from_slice(&masker.rest());
            assert_eq!(String::from_utf8(masked).unwrap(), expected, "{size}");
        }
        assert_eq!(masker().whole(Bytes::from_static(text.as_bytes())), expected);
    }

    #[test]
    fn what_can_not_be_one_is_not_kept() {
        let mut masker = masker();
        assert_eq!(masker.push(Bytes::from_static(b"a whole line\n")), "a whole line\n");
        assert_eq!(masker.rest(), "");
    }
}
