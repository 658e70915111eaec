//! Which upstream a model is behind, and what it is called there.

use std::sync::Arc;

use globset::{Glob, GlobMatcher};
use http::{HeaderValue, Uri, uri::PathAndQuery};
use luthien_proto::request::Dialect;

/// A provider's endpoint.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// What it speaks.
    pub(crate) dialect: Dialect,
    /// Where calls go.
    pub(crate) uri: Uri,
    /// Its key, as the value of its header.
    pub(crate) api_key: Option<HeaderValue>,
    /// Whether it is told which trace a call belongs to.
    pub(crate) forward_traceparent: bool,
}

impl Upstream {
    /// Where a call with that query goes.
    pub(crate) fn uri_with(&self, query: Option<&str>) -> Uri {
        let Some(query) = query else { return self.uri.clone() };
        let with_query = || {
            let path: PathAndQuery = format!("{}?{query}", self.uri.path()).parse().ok()?;
            let mut parts = self.uri.clone().into_parts();
            parts.path_and_query = Some(path);
            Uri::from_parts(parts).ok()
        };
        with_query().unwrap_or_else(|| self.uri.clone())
    }
}

/// The path behind a base URL that calls of a dialect go to: what the provider's own SDK appends. `None`: not built yet.
pub(crate) fn path(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::OpenAiChat => Some("/chat/completions"),
        Dialect::AnthropicMessages => Some("/v1/messages"),
        Dialect::OpenAiResponses => Some("/responses"),
        Dialect::Gemini => None,
    }
}

/// A rule that picks an upstream.
#[derive(Debug)]
pub(crate) struct Route {
    /// As it is written in the configuration.
    pub(crate) pattern: String,
    matcher: GlobMatcher,
    /// Where to.
    pub(crate) upstream: Arc<Upstream>,
    rename: Option<String>,
}

impl Route {
    pub(crate) fn new(pattern: &str, upstream: Arc<Upstream>, rename: Option<String>) -> Result<Self, globset::Error> {
        let matcher = Glob::new(pattern)?.compile_matcher();
        Ok(Self { pattern: pattern.to_owned(), matcher, upstream, rename })
    }

    /// The name of that model at the upstream.
    pub(crate) fn upstream_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.rename.as_deref().unwrap_or(model)
    }
}

/// The routes; the first that matches wins.
#[derive(Debug)]
pub(crate) struct Routes(pub(crate) Vec<Route>);

impl Routes {
    pub(crate) fn find(&self, model: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.matcher.is_match(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(name: &str) -> Arc<Upstream> {
        let uri = Uri::from_static("https://host/base/chat/completions");
        Arc::new(Upstream {
            name: name.to_owned(),
            dialect: Dialect::OpenAiChat,
            uri,
            api_key: None,
            forward_traceparent: false,
        })
    }

    #[test]
    fn the_first_route_that_matches_picks_the_upstream_and_the_name() {
        let route = |pattern, name, rename: Option<&str>| {
            Route::new(pattern, upstream(name), rename.map(str::to_owned)).unwrap()
        };
        let routes = Routes(vec![
            route("claude-*", "anthropic", None),
            route("fast", "openai", Some("gpt-5-mini")),
            route("vendor/*", "other", None),
            route("gpt-?", "openai", None),
        ]);
        let table = [
            ("claude-haiku-4-5", Some(("anthropic", "claude-haiku-4-5"))),
            ("fast", Some(("openai", "gpt-5-mini"))),
            ("vendor/a/b", Some(("other", "vendor/a/b"))),
            ("gpt-5", Some(("openai", "gpt-5"))),
            ("gpt-55", None),
            ("faster", None),
            ("", None),
        ];
        for (model, expected) in table {
            let found = routes.find(model).map(|route| (route.upstream.name.as_str(), route.upstream_model(model)));
            assert_eq!(found, expected, "{model}");
        }
    }

    #[test]
    fn the_clients_query_is_kept() {
        let upstream = upstream("openai");
        assert_eq!(upstream.uri_with(Some("beta=true")), "https://host/base/chat/completions?beta=true");
        assert_eq!(upstream.uri_with(None), "https://host/base/chat/completions");
    }
}
