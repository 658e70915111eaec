//! How a block came: enough to cut what it held into the chunks again that it came in.

use luthien_proto::event::Delta;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
    ser::SerializeSeq,
};
use serde_json::Value;

/// How the original of a block came, chunk by chunk. As JSON a list of `[seq, us, piece]`, or `[seq, us, piece, extras]`
/// where a chunk had unknown fields: its seq and its arrival as steps from those of the chunk before (of the first, from
/// those of the block's first chunk); what it added, as in [`Piece`]; and which of the content's `extras` it had.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deltas {
    /// The chunks, each as a few small numbers: most of a long response of short pieces is this.
    packed: Vec<u8>,
    /// Where the last one was.
    last: (u64, u64),
}

/// A chunk of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaEntry {
    /// Its seq: how many behind the chunk before.
    pub seqs: u64,
    /// Its arrival: how many microseconds behind that of the chunk before.
    pub us: u64,
    /// What it added.
    pub piece: Piece,
    /// Which of the content's `extras` it had.
    pub extras: Option<usize>,
}

/// What a chunk added to a block; as JSON its length, or its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of the text, or of the arguments of a tool call.
    Bytes(usize),
    /// The provider's proof of what was thought; of several the last is on record.
    Signature,
    /// The next of the content's `opaque` pieces.
    Opaque,
    /// Nothing: it began the block. Left out where it had no unknown fields.
    Start,
    /// Nothing: it stopped the block.
    Stop,
}

impl Deltas {
    /// Of a block whose first chunk that is.
    pub(crate) fn behind(first: u64, arrived_us: u64) -> Self {
        Self { packed: Vec::new(), last: (first, arrived_us) }
    }

    pub(crate) fn push(&mut self, seq: u64, arrived_us: u64, piece: Piece, extras: Option<usize>) {
        let (seqs, us) = (seq.saturating_sub(self.last.0), arrived_us.saturating_sub(self.last.1));
        self.last = (seq, arrived_us);
        self.pack(DeltaEntry { seqs, us, piece, extras });
    }

    /// Whether nothing is known of how the block came.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// The chunks, in order.
    pub fn iter(&self) -> impl Iterator<Item = DeltaEntry> {
        let mut packed = self.packed.as_slice();
        std::iter::from_fn(move || {
            let (seqs, us) = (varint::take(&mut packed)?, varint::take(&mut packed)?);
            let code = varint::take(&mut packed)?;
            let extras = if code & HAS_EXTRAS == 0 { None } else { varint::take(&mut packed) };
            let extras = extras.and_then(|at| usize::try_from(at).ok());
            Some(DeltaEntry { seqs, us, piece: Piece::from_code(code >> 1), extras })
        })
    }

    fn pack(&mut self, DeltaEntry { seqs, us, piece, extras }: DeltaEntry) {
        let code = piece.code() << 1 | if extras.is_some() { HAS_EXTRAS } else { 0 };
        let numbers = [Some(seqs), Some(us), Some(code), extras.map(|at| at as u64)];
        numbers.into_iter().flatten().for_each(|number| varint::put(number, &mut self.packed));
    }
}

/// Set in a packed piece behind which follows which extras the chunk had.
const HAS_EXTRAS: u64 = 1;

impl Piece {
    /// A number for it; that of a length is small if the length is.
    fn code(self) -> u64 {
        match self {
            Self::Signature => 0,
            Self::Opaque => 1,
            Self::Start => 2,
            Self::Stop => 3,
            Self::Bytes(length) => length as u64 + 4,
        }
    }

    fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Signature,
            1 => Self::Opaque,
            2 => Self::Start,
            3 => Self::Stop,
            code => Self::Bytes(usize::try_from(code - 4).unwrap_or(usize::MAX)),
        }
    }

    pub(crate) fn of(delta: &Delta) -> Self {
        match delta {
            Delta::Text(text) | Delta::Arguments(text) => Self::Bytes(text.len()),
            Delta::Signature(_) => Self::Signature,
            Delta::Opaque(_) => Self::Opaque,
        }
    }

    fn to_json(self) -> Value {
        match self {
            Self::Bytes(length) => length.into(),
            Self::Signature => "signature".into(),
            Self::Opaque => "opaque".into(),
            Self::Start => "start".into(),
            Self::Stop => "stop".into(),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        match value.as_str() {
            Some("signature") => Some(Self::Signature),
            Some("opaque") => Some(Self::Opaque),
            Some("start") => Some(Self::Start),
            Some("stop") => Some(Self::Stop),
            Some(_) => None,
            None => value.as_u64().and_then(|length| usize::try_from(length).ok()).map(Self::Bytes),
        }
    }
}

impl Serialize for Deltas {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Deltas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut deltas = Self::default();
        Vec::deserialize(deserializer)?.into_iter().for_each(|chunk| deltas.pack(chunk));
        Ok(deltas)
    }
}

impl Serialize for DeltaEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(3 + usize::from(self.extras.is_some())))?;
        list.serialize_element(&self.seqs)?;
        list.serialize_element(&self.us)?;
        list.serialize_element(&self.piece.to_json())?;
        if let Some(extras) = &self.extras {
            list.serialize_element(extras)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for DeltaEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfList;

        impl<'de> Visitor<'de> for OfList {
            type Value = DeltaEntry;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of a seq, a time, a piece, and perhaps extras")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DeltaEntry, A::Error> {
                let missing = || A::Error::custom("a chunk of a block has three or four items");
                let (seqs, us) = (list.next_element()?, list.next_element()?);
                let piece: Option<Value> = list.next_element()?;
                let piece = piece.as_ref().and_then(Piece::from_json).ok_or_else(missing)?;
                let extras = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(DeltaEntry { seqs: seqs.ok_or_else(missing)?, us: us.ok_or_else(missing)?, piece, extras })
            }
        }

        deserializer.deserialize_seq(OfList)
    }
}

/// Numbers in as many bytes as they need, of seven bits each, the lowest first (LEB128).
mod varint {
    pub(super) fn put(mut number: u64, to: &mut Vec<u8>) {
        while number >= 0x80 {
            to.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        to.push(number.to_le_bytes()[0]);
    }

    /// `None`: there is no whole one.
    pub(super) fn take(from: &mut &[u8]) -> Option<u64> {
        let length = from.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let (number, rest) = from.split_at(length);
        *from = rest;
        number.iter().rev().try_fold(0_u64, |all, byte| all.checked_mul(0x80).map(|all| all | u64::from(byte & 0x7f)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_packed_comes_out_again() {
        let pieces =
            [Piece::Start, Piece::Bytes(0), Piece::Bytes(123), Piece::Bytes(usize::MAX >> 3), Piece::Signature];
        let pieces = pieces.into_iter().chain([Piece::Opaque, Piece::Stop]);
        let numbers = [0, 1, 127, 128, 16_383, 16_384, u64::MAX];
        let mut deltas = Deltas::default();
        let all: Vec<DeltaEntry> = pieces
            .zip(numbers)
            .zip([None, Some(0), Some(1), Some(300), None, None, Some(0)])
            .map(|((piece, number), extras)| DeltaEntry { seqs: number, us: u64::MAX - number, piece, extras })
            .collect();
        all.iter().for_each(|chunk| deltas.pack(chunk.clone()));
        assert_eq!(deltas.iter().collect::<Vec<_>>(), all);
        let read: Deltas = serde_json::from_value(serde_json::to_value(&deltas).unwrap()).unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), all);
    }
}
