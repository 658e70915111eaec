//! Numbers that look random, and are the same for the same policy in the same call.

use luthien_proto::message::CallStarted;
use sha2::{Digest, Sha256};

/// Steele, Lea and Flood's SplitMix64. Not for secrets.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub fn new(call: &CallStarted, policy: &str) -> Self {
        let digest = Sha256::new().chain_update(call.call_id.as_bytes()).chain_update(policy).finalize();
        Self(digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
