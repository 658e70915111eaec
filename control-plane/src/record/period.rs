//! What is forgotten together.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;
/// How many parts a day may have.
const PARTS: u32 = 1000;

/// A day, or a part of one: what is kept together and forgotten together. Nothing that is kept refers to another period, so
/// that a message which is said in two of them is kept in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(u32);

impl Period {
    /// The first part of the day of that moment.
    pub fn of(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = u32::try_from(since.as_secs() / SECONDS_OF_A_DAY).unwrap_or(u32::MAX);
        Self(days.saturating_mul(PARTS))
    }

    /// The next part of the same day; the last one has no next.
    pub fn next_part(self) -> Self {
        if self.0 % PARTS == PARTS - 1 { self } else { Self(self.0 + 1) }
    }

    /// Whether both are of one day.
    pub(super) fn is_of_the_day_of(self, other: Self) -> bool {
        self.0 / PARTS == other.0 / PARTS
    }

    /// Its number: the days since 1970, times 1000, and the number of the part.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The period of that number.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}
