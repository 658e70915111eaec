//! Durations as they are configured: whole numbers with units.

use std::time::Duration;

/// `500ms`, `10s`, `1m30s`; never nothing.
pub(super) fn read(text: &str) -> Result<Duration, &'static str> {
    let parsed = millis(text).filter(|millis| *millis > 0).map(Duration::from_millis);
    parsed.ok_or("expected a duration with its unit, such as 500ms, 10s or 1m30s")
}

fn millis(text: &str) -> Option<u64> {
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
        rest = after;
    }
    Some(total)
}
