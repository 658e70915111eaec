//! Which models there are: those that routes name, and for a pattern those that its upstream lists and it matches.

mod fetch;
mod view;

use std::sync::Arc;

pub(crate) use fetch::Listings;
use fetch::listed_by;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Response, header};
use luthien_proto::request::Dialect;
use serde_json::Value;

use crate::{
    client::Body,
    headers::ANTHROPIC_VERSION,
    plane::Plane,
    refusal::Refusal,
    routes::{Family, Route, Routes},
};

/// A model, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) display_name: Option<String>,
    /// Seconds since 1970.
    pub(crate) created: Option<i64>,
    /// As its provider told it.
    pub(crate) told: Option<(Family, Value)>,
}

impl Model {
    fn named(id: &str) -> Self {
        Self { id: id.to_owned(), display_name: None, created: None, told: None }
    }
}

/// The dialect that a request for models is told in.
pub(crate) fn dialect(headers: &HeaderMap) -> Dialect {
    if headers.contains_key(ANTHROPIC_VERSION) { Dialect::AnthropicMessages } else { Dialect::OpenAiChat }
}

/// Answers with the list of all, or a page of it.
pub(crate) async fn list(plane: &Plane, headers: &HeaderMap, query: Option<&str>) -> Result<Response<Body>, Refusal> {
    let models = all(plane, headers).await?;
    Ok(json(match dialect(headers) {
        Dialect::AnthropicMessages => view::anthropic_page(&models, query.unwrap_or_default()),
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini => view::openai_list(&models),
    }))
}

/// Answers with one.
pub(crate) async fn one(plane: &Plane, headers: &HeaderMap, id: &str) -> Result<Response<Body>, Refusal> {
    let models = all(plane, headers).await?;
    let model = models.iter().find(|model| model.id == id).ok_or_else(|| Refusal::UnknownModel(id.to_owned()))?;
    Ok(json(match dialect(headers) {
        Dialect::AnthropicMessages => view::anthropic(model),
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini => view::openai(model),
    }))
}

async fn all(plane: &Plane, headers: &HeaderMap) -> Result<Vec<Model>, Refusal> {
    let caller = plane.auth().caller(headers)?;
    let routes = plane.routes();
    let mut upstreams = Vec::new();
    for route in routes.0.iter().filter(|route| is_open(route)) {
        if !upstreams.iter().any(|known| Arc::ptr_eq(known, &route.upstream)) {
            upstreams.push(route.upstream.clone());
        }
    }
    let dialect = dialect(headers);
    let lists = join_all(upstreams.iter().map(|upstream| listed_by(plane, upstream, dialect, &caller))).await;
    let listed = |route: &Route| {
        let at = upstreams.iter().position(|upstream| Arc::ptr_eq(upstream, &route.upstream));
        at.map(|at| lists[at].clone()).unwrap_or_default()
    };
    Ok(merged(routes, listed))
}

/// Whether a route's models are those that its upstream lists.
fn is_open(route: &Route) -> bool {
    route.model().is_none() && route.rename.is_none()
}

/// In the order of the routes; a model that leads elsewhere is not among those of a route.
fn merged(routes: &Routes, listed: impl Fn(&Route) -> Arc<Vec<Model>>) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for route in &routes.0 {
        let leads_here = |id: &str| routes.find(id).is_some_and(|found| std::ptr::eq(found, route));
        let of_route = match route.model() {
            Some(name) => vec![Model::named(name)],
            None if is_open(route) => listed(route).to_vec(),
            None => Vec::new(),
        };
        for model in of_route {
            if leads_here(&model.id) && !models.iter().any(|known| known.id == model.id) {
                models.push(model);
            }
        }
    }
    models
}

/// What a part of a URL says.
pub(crate) fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, behind @ ..] = rest {
        let encoded = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| {
            let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            u8::from_str_radix(hex, 16).ok()
        });
        bytes.push(encoded.unwrap_or(*first));
        rest = if encoded.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn json(value: Value) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use luthien_call::dialect::UpstreamOptions;

    use super::*;
    use crate::routes::Upstream;

    fn route(pattern: &str, rename: Option<&str>) -> Route {
        let upstream = Upstream {
            name: pattern.to_owned(),
            dialect: Dialect::OpenAiChat,
            base: "https://h".to_owned(),
            credentials: None,
            forward_traceparent: false,
            options: UpstreamOptions::default(),
        };
        Route::new(pattern, Arc::new(upstream), rename.map(str::to_owned)).unwrap()
    }

    #[test]
    fn literal_names_and_what_upstreams_list_are_merged_as_routes_lead() {
        let routes = Routes(vec![
            route("claude-*", None),
            route("fast", Some("gpt-5-mini")),
            route("old-*", Some("new")),
            route("*", None),
            route("never", None),
        ]);
        let lists = |route: &Route| {
            let names: &[&str] = match &*route.pattern {
                "claude-*" => &["claude-a", "gpt-x", "claude-b", "claude-a"],
                "*" => &["gpt-5", "claude-c", "fast", "old-1"],
                _ => &["unasked"],
            };
            Arc::new(names.iter().map(|name| Model::named(name)).collect())
        };
        let models: Vec<_> = merged(&routes, lists).into_iter().map(|model| model.id).collect();
        assert_eq!(models, ["claude-a", "claude-b", "fast", "gpt-5"]);
    }
}
