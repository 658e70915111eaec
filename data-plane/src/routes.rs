//! Which upstream a model is behind, and what it is called there.

use std::{fmt::Write, sync::Arc};

use globset::{Glob, GlobMatcher};
use http::{HeaderName, HeaderValue, Uri};
use luthien_call::dialect::UpstreamOptions;
use luthien_proto::request::Dialect;

/// A provider's endpoint.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// What it speaks.
    pub(crate) dialect: Dialect,
    /// The base URL, without a slash at its end.
    pub(crate) base: String,
    /// Its own credentials.
    pub(crate) credentials: Option<Credentials>,
    /// Whether it is told which trace a call belongs to.
    pub(crate) forward_traceparent: bool,
    /// What a request that is converted for it has to know.
    pub(crate) options: UpstreamOptions,
}

/// A header that authorizes.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

/// What is asked of an upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// An answer of a model.
    Call { model: &'a str, stream: bool },
    /// How many tokens a request has.
    Count { model: &'a str },
    /// Which models there are.
    Models,
}

impl Upstream {
    /// Where that is asked: what the provider's own SDK appends to the base URL.
    pub(crate) fn uri(&self, asked: Asked<'_>, query: Option<&str>) -> Option<Uri> {
        let path = match (self.dialect, asked) {
            (Dialect::OpenAiChat, Asked::Call { .. }) => "/chat/completions".to_owned(),
            (Dialect::OpenAiResponses, Asked::Call { .. }) => "/responses".to_owned(),
            (Dialect::OpenAiResponses, Asked::Count { .. }) => "/responses/input_tokens".to_owned(),
            (Dialect::OpenAiChat, Asked::Count { .. }) => return None,
            (Dialect::OpenAiChat | Dialect::OpenAiResponses, Asked::Models) => "/models".to_owned(),
            (Dialect::AnthropicMessages, Asked::Call { .. }) => "/v1/messages".to_owned(),
            (Dialect::AnthropicMessages, Asked::Count { .. }) => "/v1/messages/count_tokens".to_owned(),
            (Dialect::AnthropicMessages, Asked::Models) => "/v1/models?limit=1000".to_owned(),
            (Dialect::Gemini, asked) => gemini_path(&self.base, asked),
        };
        self.at(&path, query)
    }

    /// Something else that is behind the base URL.
    pub(crate) fn at(&self, path: &str, query: Option<&str>) -> Option<Uri> {
        let before = if path.contains('?') { '&' } else { '?' };
        let query = query.map(|query| format!("{before}{query}")).unwrap_or_default();
        format!("{}{path}{query}", self.base).parse().ok()
    }

    /// Whether credentials for `dialect` are credentials for this upstream too.
    pub(crate) fn takes_credentials_of(&self, dialect: Dialect) -> bool {
        family(self.dialect) == family(dialect)
    }
}

/// The provider who made the dialect: who has an account there has one for all of its dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Anthropic,
    Google,
}

pub(crate) fn family(dialect: Dialect) -> Family {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => Family::OpenAi,
        Dialect::AnthropicMessages => Family::Anthropic,
        Dialect::Gemini => Family::Google,
    }
}

fn gemini_path(base: &str, asked: Asked<'_>) -> String {
    let version = if names_version(base) { "" } else { "/v1beta" };
    match asked {
        Asked::Call { model, stream: true } => {
            format!("{version}/{}:streamGenerateContent?alt=sse", gemini_model(model))
        }
        Asked::Call { model, stream: false } => format!("{version}/{}:generateContent", gemini_model(model)),
        Asked::Count { model } => format!("{version}/{}:countTokens", gemini_model(model)),
        Asked::Models => format!("{version}/models?pageSize=1000"),
    }
}

/// Whether a URL says which version of an API is meant: `/v1`, `/v1beta`, `/v1beta1`, also before other segments.
pub(crate) fn names_version(base: &str) -> bool {
    base.split('/').skip(3).any(|segment| {
        segment.strip_prefix('v').is_some_and(|rest| {
            let word = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            word.len() < rest.len()
                && ["", "alpha", "beta"].contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
        })
    })
}

/// The resource that a model is: `models/…`, unless the name says `tunedModels/…`. Nothing in the name makes it another.
pub(crate) fn gemini_model(model: &str) -> String {
    let (kind, name) = match model.strip_prefix("tunedModels/") {
        Some(name) => ("tunedModels/", name),
        None => ("models/", model.strip_prefix("models/").unwrap_or(model)),
    };
    let mut resource = String::from(kind);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            resource.push(byte.into());
        } else {
            // Writing to a string succeeds.
            let _ = write!(resource, "%{byte:02X}");
        }
    }
    resource
}

/// A rule that picks an upstream.
#[derive(Debug)]
pub(crate) struct Route {
    /// As it is written in the configuration.
    pub(crate) pattern: String,
    matcher: GlobMatcher,
    /// Where to.
    pub(crate) upstream: Arc<Upstream>,
    /// Where to instead, for clients that speak the same dialect as one of these.
    others: Vec<Arc<Upstream>>,
    pub(crate) rename: Option<String>,
}

impl Route {
    pub(crate) fn new(pattern: &str, upstream: Arc<Upstream>, rename: Option<String>) -> Result<Self, globset::Error> {
        let matcher = Glob::new(pattern)?.compile_matcher();
        Ok(Self { pattern: pattern.to_owned(), matcher, upstream, others: Vec::new(), rename })
    }

    /// The same, with other upstreams for the clients that speak as they do.
    pub(crate) fn or(self, others: Vec<Arc<Upstream>>) -> Self {
        Self { others, ..self }
    }

    /// Where calls of clients of a dialect go.
    pub(crate) fn upstream_for(&self, dialect: Dialect) -> &Arc<Upstream> {
        self.upstreams().find(|upstream| upstream.dialect == dialect).unwrap_or(&self.upstream)
    }

    /// All upstreams that it leads to.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        std::iter::once(&self.upstream).chain(&self.others)
    }

    /// The name of that model at the upstream.
    pub(crate) fn upstream_model<'a>(&'a self, model: &'a str) -> &'a str {
        self.rename.as_deref().unwrap_or(model)
    }

    /// The one model that it is for; `None`: it is for all that its pattern matches.
    pub(crate) fn model(&self) -> Option<&str> {
        (!self.pattern.contains(['*', '?', '[', ']', '{', '}', '\\'])).then_some(&*self.pattern)
    }
}

/// The routes; the first that matches wins.
#[derive(Debug)]
pub(crate) struct Routes(pub(crate) Vec<Route>);

impl Routes {
    /// The upstream of that name, if a route leads to it.
    pub(crate) fn upstream(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.iter().flat_map(Route::upstreams).find(|upstream| upstream.name == name)
    }

    pub(crate) fn find(&self, model: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.matcher.is_match(model))
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn the_first_route_that_matches_picks_the_upstream_and_the_name() {
        let route = |pattern, name, rename: Option<&str>| {
            let upstream = upstream(name, Dialect::OpenAiChat, "https://host");
            Route::new(pattern, upstream, rename.map(str::to_owned)).unwrap()
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
        let literal: Vec<_> = routes.0.iter().filter_map(Route::model).collect();
        assert_eq!(literal, ["fast"]);
    }

    #[test]
    fn of_several_upstreams_the_one_that_speaks_as_the_client_does_is_taken() {
        let upstreams = [Dialect::OpenAiChat, Dialect::OpenAiResponses]
            .map(|dialect| upstream(dialect.name(), dialect, "https://h"));
        let [first, second] = upstreams;
        let route = Route::new("*", first, None).unwrap().or(vec![second]);
        for (dialect, expected) in [
            (Dialect::OpenAiChat, "openai-chat"),
            (Dialect::OpenAiResponses, "openai-responses"),
            (Dialect::AnthropicMessages, "openai-chat"),
        ] {
            assert_eq!(route.upstream_for(dialect).name, expected);
        }
    }

    #[test]
    fn each_dialect_is_asked_at_its_own_place() {
        use Dialect::{AnthropicMessages, Gemini, OpenAiChat, OpenAiResponses};
        let call = |stream| Asked::Call { model: "gemini-x", stream };
        let table = [
            (OpenAiChat, "https://h/v1", call(true), Some("a=b"), "https://h/v1/chat/completions?a=b"),
            (OpenAiResponses, "https://h/v1", call(true), None, "https://h/v1/responses"),
            (OpenAiResponses, "https://h/v1", Asked::Count { model: "m" }, None, "https://h/v1/responses/input_tokens"),
            (OpenAiChat, "https://h/v1", Asked::Models, None, "https://h/v1/models"),
            (AnthropicMessages, "https://h", call(true), Some("beta=true"), "https://h/v1/messages?beta=true"),
            (AnthropicMessages, "https://h", Asked::Count { model: "m" }, None, "https://h/v1/messages/count_tokens"),
            (AnthropicMessages, "https://h", Asked::Models, Some("a=b"), "https://h/v1/models?limit=1000&a=b"),
            (Gemini, "https://h", call(false), None, "https://h/v1beta/models/gemini-x:generateContent"),
            (Gemini, "https://h", call(true), None, "https://h/v1beta/models/gemini-x:streamGenerateContent?alt=sse"),
            (Gemini, "https://h/v1beta", call(false), None, "https://h/v1beta/models/gemini-x:generateContent"),
            (Gemini, "https://h/v1/p/g", Asked::Count { model: "m" }, None, "https://h/v1/p/g/models/m:countTokens"),
            (Gemini, "https://h/vertex", Asked::Models, None, "https://h/vertex/v1beta/models?pageSize=1000"),
            (
                Gemini,
                "https://h",
                Asked::Call { model: "tunedModels/a b", stream: false },
                None,
                "https://h/v1beta/tunedModels/a%20b:generateContent",
            ),
        ];
        for (dialect, base, asked, query, expected) in table {
            let uri = upstream("it", dialect, base).uri(asked, query).unwrap();
            assert_eq!(uri.to_string(), expected, "{dialect:?} {asked:?}");
        }
        assert_eq!(upstream("it", OpenAiChat, "https://h/v1").uri(Asked::Count { model: "m" }, None), None);
    }
}
