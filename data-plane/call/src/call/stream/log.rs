//! What was told, to be told again: many small messages in few blocks.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use luthien_proto::codec::Encoded;

/// A block is as large as all before it, within these.
const BLOCK_MIN: usize = 256;
const BLOCK_MAX: usize = 16 * 1024;

/// Messages, up to a limit.
#[derive(Debug)]
pub(super) struct Log {
    /// Each message behind its length; `None`: they were more than may be kept.
    blocks: Option<Vec<BytesMut>>,
    bytes: usize,
    limit: usize,
}

impl Log {
    pub(super) fn new(limit: usize) -> Self {
        Self { blocks: Some(Vec::new()), bytes: 0, limit }
    }

    /// Whether it has all that was told.
    pub(super) fn is_whole(&self) -> bool {
        self.blocks.is_some()
    }

    /// Takes one more message, unless that is more than may be kept: then nothing is.
    pub(super) fn keep(&mut self, message: &Encoded) {
        self.bytes += message.size();
        let length = u32::try_from(message.size()).ok().filter(|_| self.bytes <= self.limit);
        let (Some(blocks), Some(length)) = (&mut self.blocks, length) else {
            self.blocks = None;
            return;
        };
        let needed = size_of_val(&length) + message.size();
        if blocks.last().is_none_or(|block| block.capacity() - block.len() < needed) {
            let usual = self.bytes.clamp(BLOCK_MIN, BLOCK_MAX);
            blocks.push(BytesMut::with_capacity(needed.max(usual)));
        }
        if let Some(block) = blocks.last_mut() {
            block.put_u32(length);
            block.put_slice(message.as_ref());
        }
    }

    /// All of them, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = Encoded> {
        self.blocks.iter().flatten().flat_map(|block| {
            let mut rest = Bytes::copy_from_slice(block);
            std::iter::from_fn(move || {
                let length = rest.try_get_u32().ok()?;
                Some(rest.split_to(length as usize).into())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Encoded {
        Bytes::from(vec![u8::try_from(size % 251).unwrap(); size]).into()
    }

    #[test]
    fn what_was_kept_comes_back_in_order_whatever_its_sizes() {
        let mut log = Log::new(1 << 20);
        let messages: Vec<_> =
            (0..400).map(|i| message(i * 37 % 3_001)).chain([message(100_000), message(1)]).collect();
        messages.iter().for_each(|message| log.keep(message));
        assert!(log.is_whole());
        assert_eq!(log.messages().collect::<Vec<_>>(), messages);
    }

    #[test]
    fn beyond_the_limit_nothing_is_kept_ever_after() {
        let mut log = Log::new(100);
        log.keep(&message(100));
        assert!(log.is_whole());
        log.keep(&message(1));
        log.keep(&message(0));
        assert!(!log.is_whole());
        assert_eq!(log.messages().count(), 0);
    }
}
