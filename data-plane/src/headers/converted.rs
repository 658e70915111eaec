//! The headers of an answer on its way into another dialect: what both say, in the client's words.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use luthien_proto::request::Dialect;

use super::to_client_listed;
use crate::routes::{Family, family};

/// What means the same in every dialect.
const COMMON: &[&str] = &["retry-after", "retry-after-ms", "x-should-retry"];
/// What is counted, by the names that both have for it.
const COUNTED: &[&str] = &["requests", "tokens"];
const OPENAI_ID: &str = "x-request-id";
const ANTHROPIC_ID: &str = "request-id";
/// The most that is said of what was dropped.
const DROPPED_LONGEST: usize = 4096;

/// The headers for a client of one dialect, of an upstream of the other; but for the content type.
pub(crate) fn to_client_converted(upstream: &HeaderMap, from: Dialect, to: Dialect, now: Timestamp) -> HeaderMap {
    if family(from) == family(to) {
        let mut headers = to_client_listed(upstream);
        headers.remove(http::header::CONTENT_TYPE);
        return headers;
    }
    let mut headers = HeaderMap::new();
    for name in COMMON.iter().copied().chain([OPENAI_ID, ANTHROPIC_ID]) {
        copy(upstream, name, &mut headers, name);
    }
    match family(to) {
        Family::OpenAi => copy_missing(upstream, ANTHROPIC_ID, &mut headers, OPENAI_ID),
        Family::Anthropic => copy_missing(upstream, OPENAI_ID, &mut headers, ANTHROPIC_ID),
        Family::Google => {}
    }
    match (family(from), family(to)) {
        (Family::Anthropic, Family::OpenAi) => to_openai_limits(upstream, &mut headers, now),
        (Family::OpenAi, Family::Anthropic) => to_anthropic_limits(upstream, &mut headers, now),
        (Family::OpenAi | Family::Anthropic | Family::Google, _) => {}
    }
    headers
}

/// The names of what was dropped, as the value of their header; `None`: nothing was.
pub(super) fn dropped(fields: &[String]) -> Option<HeaderValue> {
    let mut text = String::new();
    for field in fields {
        // A name may come from the client, and be anything.
        let field: String = field.chars().map(|c| if c.is_ascii_graphic() && c != ',' { c } else { '_' }).collect();
        if text.len() + field.len() + 2 > DROPPED_LONGEST {
            text.push_str(", ...");
            break;
        }
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(&field);
    }
    if text.is_empty() { None } else { HeaderValue::from_str(&text).ok() }
}

fn to_openai_limits(upstream: &HeaderMap, headers: &mut HeaderMap, now: Timestamp) {
    for counted in COUNTED {
        for (said, says) in [("limit", "limit"), ("remaining", "remaining")] {
            copy(
                upstream,
                &format!("anthropic-ratelimit-{counted}-{said}"),
                headers,
                &format!("x-ratelimit-{says}-{counted}"),
            );
        }
        let reset = text(upstream, &format!("anthropic-ratelimit-{counted}-reset"));
        let left = reset.and_then(|at| at.parse::<Timestamp>().ok()).map(|at| period(at.duration_since(now)));
        insert(headers, &format!("x-ratelimit-reset-{counted}"), left);
    }
}

fn to_anthropic_limits(upstream: &HeaderMap, headers: &mut HeaderMap, now: Timestamp) {
    for counted in COUNTED {
        for said in ["limit", "remaining"] {
            copy(
                upstream,
                &format!("x-ratelimit-{said}-{counted}"),
                headers,
                &format!("anthropic-ratelimit-{counted}-{said}"),
            );
        }
        let reset = text(upstream, &format!("x-ratelimit-reset-{counted}")).and_then(read_period);
        let at = reset.and_then(|left| now.checked_add(left).ok()).and_then(|at| at.round(jiff::Unit::Second).ok());
        insert(headers, &format!("anthropic-ratelimit-{counted}-reset"), at.map(|at| at.to_string()));
    }
}

/// As OpenAI writes it: `6m0s`, `1.5s`, `20ms`.
fn period(left: SignedDuration) -> String {
    let millis = left.as_millis().max(0);
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let seconds = format!("{:.3}", (millis % 60_000) as f64 / 1000.0);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn read_period(text: &str) -> Option<SignedDuration> {
    let (mut rest, mut seconds) = (text.trim(), 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += match &rest[..unit] {
            "d" => number * 86_400.0,
            "h" => number * 3_600.0,
            "m" => number * 60.0,
            "s" => number,
            "ms" => number / 1_000.0,
            _ => return None,
        };
        rest = &rest[unit..];
    }
    SignedDuration::try_from_secs_f64(seconds).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn copy(from: &HeaderMap, name: &str, to: &mut HeaderMap, as_name: &str) {
    if let (Some(value), Ok(name)) = (from.get(name), HeaderName::try_from(as_name)) {
        to.insert(name, value.clone());
    }
}

fn copy_missing(from: &HeaderMap, name: &str, to: &mut HeaderMap, as_name: &str) {
    if !to.contains_key(as_name) {
        copy(from, name, to, as_name);
    }
}

fn insert(headers: &mut HeaderMap, name: &str, text: Option<String>) {
    if let (Some(Ok(value)), Ok(name)) = (text.map(HeaderValue::try_from), HeaderName::try_from(name)) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(from: Dialect, to: Dialect, lines: &str, expected: &Expect) {
        let mut headers = HeaderMap::new();
        for line in lines.split_whitespace() {
            let (name, value) = line.split_once('=').unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let converted = to_client_converted(&headers, from, to, now);
        let mut left: Vec<String> =
            converted.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        left.sort();
        expected.assert_eq(&left.join("\n"));
    }

    const ANTHROPIC: &str = "content-type=text/event-stream request-id=req_1 anthropic-organization-id=o retry-after=3 \
         x-should-retry=true anthropic-ratelimit-requests-limit=50 anthropic-ratelimit-requests-remaining=49 \
         anthropic-ratelimit-requests-reset=2026-11-23T10:06:00Z anthropic-ratelimit-tokens-remaining=7 \
         anthropic-ratelimit-tokens-reset=2026-11-23T09:00:00Z anthropic-ratelimit-unified-status=allowed set-cookie=c";
    const OPENAI: &str = "content-type=application/json x-request-id=req_2 openai-processing-ms=4 retry-after-ms=1500 \
         x-ratelimit-limit-requests=500 x-ratelimit-remaining-tokens=9 x-ratelimit-reset-requests=120ms \
         x-ratelimit-reset-tokens=6m0s x-codex-primary-used-percent=3";

    #[test]
    fn rate_limits_and_ids_are_told_in_the_clients_words() {
        check(
            Dialect::AnthropicMessages,
            Dialect::OpenAiResponses,
            ANTHROPIC,
            &expect![[r#"
                request-id=req_1
                retry-after=3
                x-ratelimit-limit-requests=50
                x-ratelimit-remaining-requests=49
                x-ratelimit-remaining-tokens=7
                x-ratelimit-reset-requests=6m0s
                x-ratelimit-reset-tokens=0ms
                x-request-id=req_1
                x-should-retry=true"#]],
        );
        check(
            Dialect::OpenAiChat,
            Dialect::AnthropicMessages,
            OPENAI,
            &expect![[r#"
                anthropic-ratelimit-requests-limit=500
                anthropic-ratelimit-requests-reset=2026-11-23T10:00:00Z
                anthropic-ratelimit-tokens-remaining=9
                anthropic-ratelimit-tokens-reset=2026-11-23T10:06:00Z
                request-id=req_2
                retry-after-ms=1500
                x-request-id=req_2"#]],
        );
    }

    #[test]
    fn within_a_family_headers_stay_and_from_others_only_what_all_understand() {
        check(
            Dialect::OpenAiResponses,
            Dialect::OpenAiChat,
            OPENAI,
            &expect![[r#"
                openai-processing-ms=4
                retry-after-ms=1500
                x-codex-primary-used-percent=3
                x-ratelimit-limit-requests=500
                x-ratelimit-remaining-tokens=9
                x-ratelimit-reset-requests=120ms
                x-ratelimit-reset-tokens=6m0s
                x-request-id=req_2"#]],
        );
        check(
            Dialect::Gemini,
            Dialect::OpenAiChat,
            "server=x x-gemini-service-tier=s retry-after=1",
            &expect!["retry-after=1"],
        );
    }

    #[test]
    fn periods_are_read_as_they_are_written() {
        for text in ["20ms", "1s", "1.5s", "6m0s", "1h2m3s"] {
            assert_eq!(read_period(text).map(period).as_deref(), Some(text));
        }
        for text in ["", "soon", "5", "s", "1x"] {
            assert_eq!(read_period(text), None, "{text}");
        }
    }

    #[test]
    fn names_of_what_was_dropped_fit_in_a_header() {
        let told = |fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(|&field| field.to_owned()).collect();
            dropped(&fields).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&["top_k", "a,b\r\nx: ü"]).as_deref(), Some("top_k, a_b__x:__"));
        assert!(told(&["x".repeat(3000).as_str(), "y".repeat(3000).as_str()]).unwrap().ends_with("xxx, ..."));
    }
}
