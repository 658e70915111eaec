//! Who may ask: only holders of the token, and no web page that somebody's browser happens to show.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Authority};

use super::{Admin, error::ApiError};

/// Lets requests by that carry the admin token.
pub(super) async fn require_token(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let token = request.headers().get(header::AUTHORIZATION).and_then(bearer).ok_or_else(ApiError::no_token)?;
    if !admin.token.is(token) {
        return Err(ApiError::no_token());
    }
    Ok(next.run(request).await)
}

/// Refuses what a browser sends for a page of another origin. On a loopback listener also whatever names a host that is
/// not this machine: a page can make its own name resolve to 127.0.0.1 (DNS rebinding).
pub(super) async fn check_origin(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let host = host(request.headers(), request.uri())?;
    if admin.loopback && !is_this_machine(host.host()) {
        return Err(ApiError::forbidden("the Host header names another machine than this one"));
    }
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && !is_same_origin(origin, &host)
    {
        return Err(ApiError::forbidden("requests from pages of another origin are refused"));
    }
    Ok(next.run(request).await)
}

/// What every response carries: nothing here is to be cached, framed, sniffed or run.
pub(super) async fn secure_headers(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn host(headers: &HeaderMap, uri: &Uri) -> Result<Authority, ApiError> {
    let mut named = headers.get_all(header::HOST).iter();
    let authority = match (uri.authority(), named.next(), named.next()) {
        (Some(authority), _, None) => Some(authority.clone()),
        (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        (None, None, None) | (_, _, Some(_)) => None,
    };
    authority.ok_or_else(|| ApiError::bad_request("one Host header is needed"))
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_same_origin(origin: &HeaderValue, host: &Authority) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    page.is_some_and(|page| page.eq_ignore_ascii_case(host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_machine() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "localhost.evil.example", "evil.example", "10.0.0.1", "[::2]", "0.0.0.0", "127.0.0.1.nip.io"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_the_same_only_with_host_and_port() {
        let host = Authority::from_static("localhost:8001");
        let same = |origin| is_same_origin(&HeaderValue::from_static(origin), &host);
        assert!(same("http://localhost:8001"));
        for origin in
            ["http://localhost", "http://localhost:8002", "null", "http://evil.example:8001", "localhost:8001"]
        {
            assert!(!same(origin), "{origin}");
        }
    }
}
