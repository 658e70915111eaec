//! Paths that an operator listed: forwarded as they are, to the upstream that they fit, and judged by nobody.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use luthien_proto::request::Dialect;
use tokio_util::sync::CancellationToken;

use crate::{
    client::Body,
    headers::{self, ANTHROPIC_VERSION},
    plane::Plane,
    refusal::Refusal,
    relay,
    routes::{Family, Upstream, family, names_version},
};

/// A listed path, with the upstream that it is for.
#[derive(Debug)]
pub(crate) struct Listed {
    matcher: GlobMatcher,
    /// `None`: the first that fits.
    upstream: Option<Arc<Upstream>>,
}

impl Listed {
    pub(crate) fn new(path: &str, upstream: Option<Arc<Upstream>>) -> Result<Self, globset::Error> {
        let matcher = GlobBuilder::new(path).literal_separator(true).build()?.compile_matcher();
        Ok(Self { matcher, upstream })
    }
}

/// All of them, and the upstreams in the order of their routes.
#[derive(Debug, Default)]
pub(crate) struct Passthrough {
    pub(crate) listed: Vec<Listed>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
}

impl Passthrough {
    /// The upstream that a path is forwarded to; `None`: it is not.
    pub(crate) fn upstream(&self, path: &str, headers: &HeaderMap) -> Option<&Arc<Upstream>> {
        if !is_plain(path) || is_call(path) {
            return None;
        }
        let listed = self.listed.iter().find(|listed| listed.matcher.is_match(path))?;
        let wanted = wanted(path, headers);
        listed.upstream.as_ref().or_else(|| self.upstreams.iter().find(|upstream| family(upstream.dialect) == wanted))
    }
}

/// Forwards it.
pub(crate) async fn forward(
    plane: Arc<Plane>,
    upstream: Arc<Upstream>,
    dialect: Dialect,
    request: Request<Incoming>,
    connection: CancellationToken,
) -> Result<Response<Body>, Refusal> {
    let caller = plane.auth().caller(request.headers())?;
    let permit = plane.open_call()?;
    let (parts, body) = request.into_parts();
    let mut headers = headers::to_upstream_whole(&parts.headers);
    caller.authorize(dialect, &upstream, &mut headers)?;
    let path = behind_base(&upstream, parts.uri.path());
    let uri = upstream.at(path, parts.uri.query()).ok_or_else(|| Refusal::UnknownPath(parts.uri.path().to_owned()))?;
    let mut request = Request::new(body.boxed_unsync());
    *request.method_mut() = parts.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    relay::forward(&plane, request, permit, connection).await
}

/// The dialect that credentials for a path are taken to be of.
pub(crate) fn dialect(path: &str, headers: &HeaderMap) -> Dialect {
    match wanted(path, headers) {
        Family::OpenAi => Dialect::OpenAiChat,
        Family::Anthropic => Dialect::AnthropicMessages,
        Family::Google => Dialect::Gemini,
    }
}

/// Whose API a request is meant for.
fn wanted(path: &str, headers: &HeaderMap) -> Family {
    let begins = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if begins("/v1beta") {
        Family::Google
    } else if begins("/v1/messages") || begins("/v1/complete") || headers.contains_key(ANTHROPIC_VERSION) {
        Family::Anthropic
    } else {
        Family::OpenAi
    }
}

/// What is appended to the base URL: the path, but for the version that the base URL ends with already.
fn behind_base<'a>(upstream: &Upstream, path: &'a str) -> &'a str {
    let version = upstream.base.rsplit('/').next().unwrap_or_default();
    let behind = path.strip_prefix('/').and_then(|path| path.strip_prefix(version));
    behind.filter(|behind| names_version(&upstream.base) && behind.starts_with('/')).unwrap_or(path)
}

/// Whether it is there that models are called: that is not for everybody to forward.
fn is_call(behind_base: &str) -> bool {
    let path = behind_base.trim_end_matches('/').to_ascii_lowercase();
    ["/chat/completions", "/responses", "/messages"].iter().any(|call| path.ends_with(call))
}

/// Whether every server reads the path as it is matched here: a path that can be written in two ways could lead to what
/// is judged.
fn is_plain(path: &str) -> bool {
    let segments = || path.split('/').skip(1);
    let last = segments().count().saturating_sub(1);
    let whole = segments()
        .enumerate()
        .all(|(i, segment)| (!segment.is_empty() || i == last) && segment != "." && segment != "..");
    let encoded = path.split('%').skip(1).all(|rest| {
        let byte = rest.get(..2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_some_and(|byte| !byte.is_ascii_alphanumeric() && !b"/\\.-_~;%".contains(&byte))
    });
    whole && encoded && !path.contains(['\\', ';'])
}

#[cfg(test)]
mod tests {
    use luthien_call::dialect::UpstreamOptions;

    use super::*;

    fn upstream(name: &str, dialect: Dialect, base: &str) -> Arc<Upstream> {
        Arc::new(Upstream {
            name: name.to_owned(),
            dialect,
            base: base.to_owned(),
            credentials: None,
            forward_traceparent: false,
            options: UpstreamOptions::default(),
        })
    }

    fn passthrough(globs: &[&str]) -> Passthrough {
        let upstreams = vec![
            upstream("claude", Dialect::AnthropicMessages, "https://a"),
            upstream("responses", Dialect::OpenAiResponses, "https://o/v1"),
            upstream("chat", Dialect::OpenAiChat, "https://o/v1"),
            upstream("gemini", Dialect::Gemini, "https://g"),
        ];
        let listed = globs.iter().map(|glob| Listed::new(glob, None).unwrap());
        let led = Listed::new("/api/**", Some(upstreams[2].clone())).unwrap();
        Passthrough { listed: listed.chain([led]).collect(), upstreams }
    }

    #[test]
    fn a_listed_path_goes_to_the_first_upstream_that_it_fits() {
        let passthrough = passthrough(&["/v1/**", "/v1beta/models/*"]);
        let anthropic = HeaderMap::from_iter([(ANTHROPIC_VERSION, http::HeaderValue::from_static("2023-06-01"))]);
        let table = [
            ("/v1/embeddings", "responses https://o/v1/embeddings?q=1"),
            ("/v1/messages/batches", "claude https://a/v1/messages/batches?q=1"),
            ("/v1beta/models/gemini-x:embedContent", "gemini https://g/v1beta/models/gemini-x:embedContent?q=1"),
            ("/api/chat", "chat https://o/v1/api/chat?q=1"),
            ("/v2/embeddings", ""),
            ("/v1beta/models/a/b", ""),
        ];
        let led = |path: &str, headers: &HeaderMap| {
            let upstream = passthrough.upstream(path, headers);
            let uri = |upstream: &Arc<Upstream>| upstream.at(behind_base(upstream, path), Some("q=1")).unwrap();
            upstream.map(|upstream| format!("{} {}", upstream.name, uri(upstream))).unwrap_or_default()
        };
        for (path, expected) in table {
            assert_eq!(led(path, &HeaderMap::new()), expected, "{path}");
        }
        assert_eq!(led("/v1/files/f%20g", &anthropic), "claude https://a/v1/files/f%20g?q=1");
    }

    #[test]
    fn a_path_that_servers_may_read_otherwise_goes_nowhere() {
        let passthrough = passthrough(&["/**"]);
        for path in [
            "/v1//messages",
            "/v1/x/../messages",
            "/v1/./messages",
            "/v1/%6dessages",
            "/v1/x%2f..%2fmessages",
            "/v1/messages%3b",
            "/v1/messages;x",
            "/v1\\messages",
            "/v1/messages%",
            "/v1/x%252f",
            "/v1/messages/",
            "/chat/completions",
            "/V1/Responses",
        ] {
            assert!(passthrough.upstream(path, &HeaderMap::new()).is_none(), "{path}");
        }
    }
}
