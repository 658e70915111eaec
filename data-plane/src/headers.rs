//! Which headers pass, in either direction.

mod converted;
mod heads;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use luthien_proto::{message::Header, request::Dialect};

pub(crate) use converted::to_client_converted;
pub(crate) use heads::Heads;

/// RFC 9110, section 7.6.1, and what is like them. Besides these, whatever `connection` names.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a client's request keeps to itself: what is ours to set, what is ours to know, and what tells upstreams of the
/// network between.
const NOT_UPSTREAM: &[&str] = &[
    "host",
    "content-length",
    "content-encoding",
    "accept-encoding",
    "expect",
    "cookie",
    "traceparent",
    "tracestate",
    "baggage",
    "forwarded",
    "via",
    "x-real-ip",
    "origin",
    "referer",
];
const NOT_UPSTREAM_PREFIXES: &[&str] = &["x-luthien-", "x-forwarded-", "sec-", "access-control-"];

/// What agents and SDKs tell the provider whose dialect they speak, and no other.
const OF_CLIENTS_DIALECT: &[&str] =
    &["accept", "x-app", "originator", "version", "session-id", "session_id", "thread-id", "conversation_id"];
const OF_CLIENTS_DIALECT_PREFIXES: &[&str] =
    &["anthropic-", "openai-", "x-stainless-", "x-claude-", "x-codex-", "chatgpt-", "x-goog-", "x-openai-"];

pub(crate) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version that converted requests are written in.
const ANTHROPIC_VERSION_CONVERTED: &str = "2023-06-01";

/// Headers that carry credentials, of whichever dialect.
pub(crate) const CREDENTIALS: &[&str] = &["authorization", "x-api-key", "x-goog-api-key", "api-key"];

/// What of an upstream's answer passes in a response that may differ from the upstream's.
const TO_CLIENT: &[&str] = &[
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "request-id",
    "x-request-id",
    "cf-ray",
    "ratelimit",
    "ratelimit-policy",
];
const TO_CLIENT_PREFIXES: &[&str] = &["anthropic-", "openai-", "x-ratelimit-", "ratelimit-", "x-codex-"];

/// Bound to the origin that sent them, which toward the client is not the upstream.
const NOT_TO_CLIENT: &[&str] = &["alt-svc", "strict-transport-security"];

/// The fields of a request that were lost in its conversion, on the response.
pub(crate) const DROPPED: HeaderName = HeaderName::from_static("x-luthien-dropped");

/// The id of a call, on every response.
pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-luthien-call-id");

/// The headers of the request to the upstream, but for credentials.
pub(crate) fn to_upstream(client: &HeaderMap) -> HeaderMap {
    let mut headers = filter(client, |name| {
        !NOT_UPSTREAM.contains(&name) && !starts(NOT_UPSTREAM_PREFIXES, name) && !CREDENTIALS.contains(&name)
    });
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// The headers of a request that is forwarded as it is, whatever its body.
pub(crate) fn to_upstream_whole(client: &HeaderMap) -> HeaderMap {
    let mut headers = to_upstream(client);
    for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        if let Some(value) = client.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    match client.get(header::ACCEPT_ENCODING) {
        Some(accepted) => drop(headers.insert(header::ACCEPT_ENCODING, accepted.clone())),
        None => drop(headers.remove(header::ACCEPT_ENCODING)),
    }
    headers
}

/// The headers of the request to an upstream of another dialect: without what belongs to the client's.
pub(crate) fn to_foreign_upstream(client: &HeaderMap, upstream: Dialect) -> HeaderMap {
    let mut headers = filter(&to_upstream(client), |name| {
        !OF_CLIENTS_DIALECT.contains(&name) && !starts(OF_CLIENTS_DIALECT_PREFIXES, name)
    });
    if upstream == Dialect::AnthropicMessages {
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static(ANTHROPIC_VERSION_CONVERTED));
    }
    headers
}

/// The headers of the response to the client, where every byte of its body is the upstream's.
pub(crate) fn to_client_intact(upstream: &HeaderMap) -> HeaderMap {
    filter(upstream, |name| !NOT_TO_CLIENT.contains(&name) && !name.starts_with("x-luthien-"))
}

/// The headers of the response to the client, where its body may differ from the upstream's.
pub(crate) fn to_client_listed(upstream: &HeaderMap) -> HeaderMap {
    filter(upstream, |name| TO_CLIENT.contains(&name) || starts(TO_CLIENT_PREFIXES, name))
}

/// What the policy service is told of a client's headers.
pub(crate) fn told(client: &HeaderMap) -> Vec<Header> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let (name, value) = (name.as_str().to_owned(), value.to_str().ok()?.to_owned());
        Header::is_told(&name).then_some(Header { name, value })
    };
    client.iter().filter_map(text).collect()
}

fn filter(headers: &HeaderMap, passes: impl Fn(&str) -> bool) -> HeaderMap {
    let named = named_by_connection(headers);
    let passes = |name: &str| !HOP_BY_HOP.contains(&name) && !named.iter().any(|other| other == name) && passes(name);
    let kept = headers.iter().filter(|(name, _)| passes(name.as_str()));
    let mut filtered = HeaderMap::with_capacity(headers.len());
    filtered.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    filtered
}

fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

fn starts(prefixes: &[&str], name: &str) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(filter: fn(&HeaderMap) -> HeaderMap, lines: &str, expected: Expect) {
        let mut headers = HeaderMap::new();
        for line in lines.split_whitespace() {
            let (name, value) = line.split_once('=').unwrap();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let mut left: Vec<String> =
            filter(&headers).iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        left.sort();
        expected.assert_eq(&left.join("\n"));
    }

    #[test]
    fn a_request_keeps_what_the_provider_reads_and_loses_what_is_ours() {
        check(
            to_upstream,
            "host=luthien content-length=9 content-type=application/json accept=*/* accept-encoding=gzip,br \
             user-agent=sdk/1 anthropic-version=2023-06-01 anthropic-beta=a anthropic-beta=b openai-organization=o \
             x-stainless-lang=js idempotency-key=k x-app=cli authorization=Bearer-x x-api-key=y x-goog-api-key=z \
             api-key=w proxy-authorization=p cookie=c connection=keep-alive,x-secret x-secret=s keep-alive=5 te=trailers \
             expect=100-continue traceparent=t tracestate=t baggage=b x-luthien-session=s x-forwarded-for=1.2.3.4 \
             forwarded=f via=v x-claude-code-session-id=i",
            expect![[r#"
                accept-encoding=identity
                accept=*/*
                anthropic-beta=a
                anthropic-beta=b
                anthropic-version=2023-06-01
                content-type=application/json
                idempotency-key=k
                openai-organization=o
                user-agent=sdk/1
                x-app=cli
                x-claude-code-session-id=i
                x-stainless-lang=js"#]],
        );
    }

    #[test]
    fn the_policy_service_is_told_of_no_header_that_sounds_like_a_credential() {
        let told = |headers: &HeaderMap| {
            let pair = |header: Header| {
                (HeaderName::from_bytes(header.name.as_bytes()).unwrap(), header.value.parse().unwrap())
            };
            told(headers).into_iter().map(pair).collect()
        };
        check(
            told,
            "X-Team=red x-team=blue x-stage=a user-agent=u authorization=a x-api-key=k x-goog-api-key=k x-session-token=t \
             x-secret=s x-amz-security-token=t x-oauth=o x-set-cookie=c x-credentials=c x-password=p x-luthien-session=s",
            expect![[r#"
                x-luthien-session=s
                x-stage=a
                x-team=blue
                x-team=red"#]],
        );
    }

    #[test]
    fn a_converted_request_says_nothing_in_the_clients_own_words() {
        check(
            |headers| to_foreign_upstream(headers, Dialect::AnthropicMessages),
            "host=luthien content-type=application/json accept=text/event-stream user-agent=codex/1 openai-beta=x \
             openai-organization=o x-stainless-lang=js originator=codex session_id=s idempotency-key=k \
             anthropic-version=2026-10-21 anthropic-beta=a x-title=mine authorization=Bearer-x",
            expect![[r#"
                accept-encoding=identity
                anthropic-version=2023-06-01
                content-type=application/json
                idempotency-key=k
                user-agent=codex/1
                x-title=mine"#]],
        );
    }

    const ANSWER: &str = "content-type=text/event-stream content-length=5 request-id=r x-request-id=x retry-after=3 \
         retry-after-ms=3000 x-should-retry=true anthropic-ratelimit-requests-limit=1 openai-processing-ms=4 \
         x-ratelimit-limit-requests=2 ratelimit-limit=3 set-cookie=c server=s cf-ray=f alt-svc=h3 x-luthien-call-id=fake \
         transfer-encoding=chunked connection=close,x-hop x-hop=1 x-note=told";

    #[test]
    fn an_intact_answer_keeps_every_end_to_end_header() {
        check(
            to_client_intact,
            ANSWER,
            expect![[r#"
                anthropic-ratelimit-requests-limit=1
                cf-ray=f
                content-length=5
                content-type=text/event-stream
                openai-processing-ms=4
                ratelimit-limit=3
                request-id=r
                retry-after-ms=3000
                retry-after=3
                server=s
                set-cookie=c
                x-note=told
                x-ratelimit-limit-requests=2
                x-request-id=x
                x-should-retry=true"#]],
        );
    }

    #[test]
    fn a_judged_answer_keeps_only_listed_headers() {
        check(
            to_client_listed,
            ANSWER,
            expect![[r#"
                anthropic-ratelimit-requests-limit=1
                cf-ray=f
                content-type=text/event-stream
                openai-processing-ms=4
                ratelimit-limit=3
                request-id=r
                retry-after-ms=3000
                retry-after=3
                x-ratelimit-limit-requests=2
                x-request-id=x
                x-should-retry=true"#]],
        );
    }
}
