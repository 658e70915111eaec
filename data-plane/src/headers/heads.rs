//! The head of an answer to the client, but for the id of the call.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use luthien_call::call::Head;
use luthien_proto::request::Dialect;

use super::{DROPPED, converted, to_client_intact, to_client_listed};
use crate::client::AnswerHead;

const EVENT_STREAM: &str = "text/event-stream";

/// Makes the head of a call's answer.
pub(crate) struct Heads {
    client: Dialect,
    upstream: Dialect,
    /// The names of the fields that were lost in the conversion of the request.
    dropped: Option<HeaderValue>,
}

impl Heads {
    pub(crate) fn new(client: Dialect, upstream: Dialect, dropped: &[String]) -> Self {
        Self { client, upstream, dropped: converted::dropped(dropped) }
    }

    /// Other fields were lost.
    pub(crate) fn dropped(&mut self, dropped: &[String]) {
        self.dropped = converted::dropped(dropped);
    }

    pub(crate) fn answer(&self, head: &Head, upstream: Option<&AnswerHead>) -> AnswerHead {
        let (status, mut headers) = match (head, upstream) {
            (Head::Upstream { intact: true }, Some((status, upstream))) => (*status, to_client_intact(upstream)),
            (Head::Upstream { intact: false }, Some((status, upstream))) => (*status, to_client_listed(upstream)),
            (Head::Upstream { .. }, None) => (StatusCode::BAD_GATEWAY, HeaderMap::new()),
            (Head::Converted { status, content_type }, upstream) => {
                let convert = |(_, upstream): &AnswerHead| {
                    converted::to_client_converted(upstream, self.upstream, self.client, Timestamp::now())
                };
                let mut headers = upstream.map(convert).unwrap_or_default();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                (StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY), headers)
            }
            (Head::Own { status, content_type, retry_after }, _) => {
                let mut headers = HeaderMap::new();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                if let Some(seconds) = retry_after {
                    headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
                }
                (StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers)
            }
        };
        if headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(EVENT_STREAM.as_bytes()))
        {
            keep_flowing(&mut headers);
        }
        if let Some(dropped) = &self.dropped {
            headers.insert(DROPPED, dropped.clone());
        }
        (status, headers)
    }
}

/// Tells proxies on the way not to collect the stream.
fn keep_flowing(headers: &mut HeaderMap) {
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    headers.entry("x-accel-buffering").or_insert(HeaderValue::from_static("no"));
}
