//! What of a text stands for itself in a JSON string.

use memchr::memchr2;

/// Texts of so many words are looked through word by word, and what is longer by [`memchr2`].
const WORDS: usize = 8;

/// How many bytes there are before the first that does not stand for itself: a quote, a backslash, a control character.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().take(WORDS).enumerate() {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return at * size_of::<u64>() + special.trailing_zeros() as usize / 8;
        }
    }
    if words.len() <= WORDS {
        let is_special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
        return bytes.len() - rest.len() + rest.iter().position(is_special).unwrap_or(rest.len());
    }
    let seen = WORDS * size_of::<u64>();
    let rest = &bytes[seen..];
    let rest = &rest[..memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
    let has_controls = rest.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ';
    let controls = has_controls.then(|| rest.iter().position(|byte| *byte < b' ')).flatten();
    seen + controls.unwrap_or(rest.len())
}

/// The highest bit of each byte that does not stand for itself, up to the first such byte; those above it mean nothing.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & (ONES << 7)
}
