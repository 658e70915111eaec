//! Durations as they are configured: numbers with units.

use std::time::Duration;

use jiff::SignedDuration;

/// What is longer is a slip, and no clock could add it.
const MOST: Duration = Duration::from_hours(24);

/// `500ms`, `10s`, `1m30s`; never nothing.
pub(super) fn read(text: &str) -> Result<Duration, &'static str> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let parsed = parsed.filter(|duration| (Duration::from_millis(1)..=MOST).contains(duration));
    parsed.ok_or("expected a duration with its unit, such as 500ms, 10s or 1m30s, of a day at most")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_units_and_is_neither_nothing_nor_longer_than_a_day() {
        let read_all = ["500ms", "10s", "1m30s", "24h"].map(read);
        assert_eq!(read_all, [500, 10_000, 90_000, 86_400_000].map(|millis| Ok(Duration::from_millis(millis))));
        for text in ["10", "s", "-1s", "1us", "24h1ms", "9223372036854775807s", "99999999999999999999s", "0s", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
