//! What a response counts: its blocks, and its calls of functions.

use luthien_proto::event::BlockKey;

/// The keys of blocks and the ids of calls, none twice.
#[derive(Debug, Default)]
pub(super) struct Counter {
    blocks: u32,
    calls: u32,
    /// What no other response of the conversation has.
    response: String,
}

impl Counter {
    /// For the response of that id; if it has none, for that of which the first chunk is this.
    pub(super) fn begin(&mut self, id: &str, first_chunk: &[u8]) {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        self.response =
            if id.is_empty() { format!("{:016x}", fnv(first_chunk)) } else { id.chars().map(plain).collect() };
    }

    pub(super) fn block(&mut self) -> BlockKey {
        let key = BlockKey(self.blocks);
        self.blocks += 1;
        key
    }

    /// The id of a call that has none: functions are called by name here, other dialects want to know which call a
    /// result is of.
    pub(super) fn call(&mut self) -> String {
        let id = format!("call_{}_{}", self.response, self.calls);
        self.calls += 1;
        id
    }
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
