//! Durations as they are configured: numbers with units.

use std::time::Duration;

use jiff::SignedDuration;

/// `500ms`, `10s`, `1m30s`; never nothing.
pub(super) fn read(text: &str) -> Result<Duration, &'static str> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    let parsed = parsed.filter(|duration| *duration >= Duration::from_millis(1));
    parsed.ok_or("expected a duration with its unit, such as 500ms, 10s or 1m30s")
}
