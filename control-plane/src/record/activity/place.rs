//! Places in what happened.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A place in the order in which things came to be seen by readers of a store: behind an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The transaction, where they end in another order than they begin.
    pub(in crate::record) transaction: i64,
    /// The row that tells of some entries of a call.
    pub(in crate::record) number: i64,
    /// The entry; the greatest: all of them.
    pub(in crate::record) seq: i64,
}

impl Place {
    /// Before everything.
    pub const START: Self = Self { transaction: 0, number: 0, seq: i64::MAX };

    /// Behind all that a row tells.
    pub(in crate::record) fn behind(transaction: i64, number: i64) -> Self {
        Self { transaction, number, seq: i64::MAX }
    }

    /// As viewers see it: opaque text, safe in a URL and in a header.
    pub fn to_text(self) -> String {
        let numbers = [self.transaction, self.number, self.seq].map(i64::to_be_bytes);
        URL_SAFE_NO_PAD.encode(numbers.concat())
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let number = |at: usize| Some(i64::from_be_bytes(bytes[at..at + 8].try_into().ok()?));
        Some(Self { transaction: number(0)?, number: number(8)?, seq: number(16)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_were_written() {
        for place in [Place::behind(0, 0), Place { transaction: 7, number: i64::MAX, seq: -1 }] {
            assert_eq!(Place::from_text(&place.to_text()), Some(place));
        }
        for text in ["", "AAAA", "nonsense!", &"A".repeat(33)] {
            assert_eq!(Place::from_text(text), None, "{text}");
        }
    }
}
