//! Quantities, as people write them and as they are used.

use std::time::Duration;

use luthien_service::config::{ByteSize, HumanDuration};
use serde::{Deserialize, Deserializer};

pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    ByteSize::deserialize(deserializer).map(ByteSize::as_usize)
}

pub(super) fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    HumanDuration::deserialize(deserializer).map(Duration::from)
}
