//! The marker of its session that an agent sends with each of its calls.

use std::borrow::Cow;

use http::HeaderMap;
use luthien_proto::Request;
use serde_json::Value;

/// Headers that name a session; the first that is there counts. Whoever sends the first does so on purpose; the others
/// are what Claude Code and Codex send by themselves.
const HEADERS: &[&str] =
    &["x-session-id", "x-claude-code-session-id", "session-id", "session_id", "thread-id", "conversation_id"];

/// What is longer is no marker.
const LONGEST: usize = 256;

/// The agent's own marker of its session; empty: none came.
pub(crate) fn marker(headers: &HeaderMap, request: &Request) -> String {
    let named = HEADERS.iter().filter_map(|name| headers.get(*name)?.to_str().ok()).map(Cow::Borrowed);
    let found = named.chain(of_user_id(request)).chain([Cow::Borrowed(cache_key(request))]);
    let mut usable = found.map(|marker| marker.trim().to_owned()).filter(|marker| is_usable(marker));
    usable.next().unwrap_or_default()
}

fn is_usable(marker: &str) -> bool {
    !marker.is_empty() && marker.len() <= LONGEST && !marker.chars().any(char::is_control)
}

/// What Claude Code says of its session in `metadata.user_id`, which names the user as well: that stays where it is.
/// Either an object, `{"device_id": …, "account_uuid": …, "session_id": …}`, or `user_…_account_…_session_…`.
fn of_user_id(request: &Request) -> Option<Cow<'_, str>> {
    let user_id = match request.service.end_user.as_str() {
        "" => request.extras.get("metadata")?.get("user_id")?.as_str()?,
        end_user => end_user,
    };
    if let Ok(Value::Object(object)) = serde_json::from_str(user_id) {
        return Some(Cow::Owned(object.get("session_id")?.as_str()?.to_owned()));
    }
    user_id.rsplit_once("_session_").map(|(_, session)| Cow::Borrowed(session))
}

fn cache_key(request: &Request) -> &str {
    match request.service.cache_key.as_str() {
        "" => request.extras.get("prompt_cache_key").and_then(Value::as_str).unwrap_or_default(),
        key => key,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderName;
    use luthien_call::dialect::decode_request;
    use luthien_proto::request::Dialect;

    use super::*;

    fn check(dialect: Dialect, headers: &[(&'static str, &str)], fields: &str, expected: &str) {
        let body = format!(r#"{{"model":"m","messages":[],"input":[]{fields}}}"#);
        let request = decode_request(dialect, Bytes::from(body)).unwrap().request;
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        assert_eq!(marker(&headers.collect(), &request), expected, "{fields}");
    }

    #[test]
    fn the_agents_own_marker_is_taken() {
        let claude = |headers, fields, expected| check(Dialect::AnthropicMessages, headers, fields, expected);
        let chat = |headers, fields, expected| check(Dialect::OpenAiChat, headers, fields, expected);
        claude(&[], "", "");
        claude(&[("x-claude-code-session-id", "s1")], r#","metadata":{"user_id":"user_1_session_s2"}"#, "s1");
        claude(&[], r#","metadata":{"user_id":"user_ab_account_cd_session_s2"}"#, "s2");
        claude(&[], r#","metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"s3\"}"}"#, "s3");
        claude(&[], r#","metadata":{"user_id":"{\"device_id\":\"d\"}"}"#, "");
        claude(&[], r#","metadata":{"user_id":"somebody"}"#, "");
        chat(&[("session_id", "codex"), ("thread-id", "t")], r#","prompt_cache_key":"k""#, "codex");
        chat(&[("thread-id", "t")], "", "t");
        chat(&[], r#","prompt_cache_key":"k""#, "k");
        chat(&[("session-id", "codex"), ("x-session-id", "mine")], "", "mine");
    }

    #[test]
    fn what_can_be_no_marker_is_passed_over() {
        check(Dialect::OpenAiChat, &[("x-session-id", "  ")], r#","prompt_cache_key":" k ""#, "k");
        check(Dialect::OpenAiChat, &[("x-session-id", &"x".repeat(257))], r#","prompt_cache_key":"a\nb""#, "");
    }
}
