//! When a delta was sent, in its text: five bytes, a mark and 24 bits of microseconds.
//!
//! Sender and receiver are on the same machine and read the same clock. The mark stands nowhere else in a response, so a
//! reader need not parse anything to find the stamps; a policy that replaces the mark leaves the time as it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// How a stamp begins.
pub const MARK: u8 = b'~';
/// What a policy makes of [`MARK`].
pub const REPLACED_MARK: u8 = b'^';
/// How long a stamp is.
pub const LEN: usize = 5;

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const WRAP: u32 = 1 << 24;

/// A time, in microseconds; it starts anew every 16.8 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u32);

impl Stamp {
    /// This moment.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self((since.as_micros() % u128::from(WRAP)) as u32)
    }

    /// As text.
    pub fn bytes(self) -> [u8; LEN] {
        let digit = |i: u32| DIGITS[(self.0 >> (6 * i) & 63) as usize];
        [MARK, digit(3), digit(2), digit(1), digit(0)]
    }

    /// The microseconds from this one to a later one. One that seems earlier by less than a second was set back by the
    /// clock's keeper: that is no time at all.
    pub fn until(self, later: Self) -> u32 {
        let passed = later.0.wrapping_sub(self.0) % WRAP;
        if passed > WRAP - 1_000_000 { 0 } else { passed }
    }
}

/// Finds the stamps in the bytes of a response, however they were cut.
#[derive(Debug, Default)]
pub struct Finder {
    under_way: Option<(u8, u32)>,
    replaced: u64,
}

impl Finder {
    /// How many of the stamps had their mark replaced.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Tells the stamps in these bytes.
    pub fn find(&mut self, mut bytes: &[u8], mut found: impl FnMut(Stamp)) {
        loop {
            let Some((mut digits, mut value)) = self.under_way.take() else {
                let mark = bytes.iter().position(|byte| matches!(*byte, MARK | REPLACED_MARK));
                let Some(mark) = mark else { return };
                self.replaced += u64::from(bytes[mark] == REPLACED_MARK);
                bytes = &bytes[mark + 1..];
                self.under_way = Some((0, 0));
                continue;
            };
            while digits < 4 {
                let Some((first, rest)) = bytes.split_first() else {
                    self.under_way = Some((digits, value));
                    return;
                };
                (digits, value, bytes) = (digits + 1, value << 6 | digit(*first), rest);
            }
            found(Stamp(value));
        }
    }
}

fn digit(byte: u8) -> u32 {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    u32::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_however_the_bytes_are_cut() {
        let stamps = [0, 1, 63, 64, 1_234_567, WRAP - 1].map(Stamp);
        let mut text = b"data: ".to_vec();
        for stamp in stamps {
            text.extend_from_slice(&stamp.bytes());
            text.extend_from_slice(b" and more\n\n");
        }
        for size in 1..text.len() {
            let (mut finder, mut found) = (Finder::default(), Vec::new());
            text.chunks(size).for_each(|piece| finder.find(piece, |stamp| found.push(stamp)));
            assert_eq!(found, stamps, "pieces of {size}");
        }
    }

    #[test]
    fn time_passes_over_the_wrap_and_never_backward() {
        assert_eq!(Stamp(WRAP - 3).until(Stamp(4)), 7);
        assert_eq!(Stamp(10).until(Stamp(4)), 0);
    }
}
