//! The configuration of the data plane: the section `data_plane` of the file, read, checked and with its defaults.

mod check;
mod section;
mod units;

#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use http::Uri;
use luthien_call::dialect::UpstreamOptions;
use luthien_proto::{message::FailureMode, request::Dialect};
use luthien_service::{
    Secret,
    config::{ConfigError, Document, File},
};
use serde::Deserialize;
use thiserror::Error;

pub use section::Section;

use crate::{
    auth,
    passthrough::{Listed, Passthrough},
    routes::{self, Route, Routes},
};

/// Everything that the data plane is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect. Port 0: any free one.
    pub listen: SocketAddr,
    /// Threads, each with a runtime and a listener of its own.
    pub threads: NonZeroUsize,
    /// Where policy services are; each call goes to one of them.
    pub control_plane: Vec<Uri>,
    /// What becomes of a call that no policy service admits.
    pub on_control_plane_loss: FailureMode,
    /// Providers' endpoints, by name.
    pub upstreams: Vec<Upstream>,
    /// Rules that pick an upstream; the first that matches wins.
    pub routes: Vec<RouteRule>,
    /// Paths that are forwarded as they are, and judged by nobody.
    pub passthrough_paths: Vec<PassthroughRule>,
    /// Whom to serve.
    pub auth: Auth,
    /// What policies may ask models.
    pub consults: Consults,
    /// What may be spent.
    pub limits: Limits,
    /// How long may be waited.
    pub timeouts: Timeouts,
}

/// A provider's endpoint.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// What one would give the provider's own SDK.
    pub base_url: Uri,
    /// Its key, for clients that bring no credentials of their own.
    pub api_key: Option<Secret>,
    /// The same, as a token that goes into `authorization: Bearer`, whatever the dialect.
    pub auth_token: Option<Secret>,
    /// What requests that are converted for it have to know.
    pub options: UpstreamOptions,
    /// Whether it is told, in `traceparent`, which trace a call belongs to.
    pub forward_traceparent: bool,
}

/// A rule that picks an upstream.
#[derive(Clone, Debug)]
pub struct RouteRule {
    /// A glob over the model's name.
    pub model: String,
    /// The upstream's name; of several, the one that speaks the client's dialect, or else the first.
    pub upstreams: Vec<String>,
    /// The model's name there, if it differs.
    pub rename: Option<String>,
}

/// Paths that are forwarded as they are.
#[derive(Clone, Debug)]
pub struct PassthroughRule {
    /// A glob over the path: `*` is within a segment, `**` any number of segments.
    pub path: String,
    /// The upstream's name; `None`: the first that the path fits.
    pub upstream: Option<String>,
}

/// Whom to serve.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody; their own credentials go upstream.
    Passthrough,
    /// Those who have one of these keys; the upstreams' keys go upstream.
    Keys(Vec<ClientKey>),
}

/// A key of luthien's own.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// Whose it is; may be empty.
    pub name: String,
    /// The key.
    pub key: Secret,
}

/// What may be spent, in bytes unless it says otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A request's body, and a whole response that has to be judged.
    #[serde(deserialize_with = "units::size")]
    pub body: usize,
    /// A request's headers.
    #[serde(deserialize_with = "units::size")]
    pub headers: usize,
    /// One SSE event of an upstream.
    #[serde(deserialize_with = "units::size")]
    pub sse_event: usize,
    /// What a call may hold.
    #[serde(deserialize_with = "units::size")]
    pub unsettled: usize,
    /// What all calls may hold together.
    #[serde(deserialize_with = "units::size")]
    pub unsettled_total: usize,
    /// What the policy service was told of a call, kept for the next one if it is lost.
    #[serde(deserialize_with = "units::size")]
    pub resume: usize,
    /// One batch of chunks to the policy service.
    #[serde(deserialize_with = "units::size")]
    pub batch: usize,
    /// Calls open at once.
    pub open_calls: usize,
    /// Connections to each policy service, per thread.
    pub control_plane_connections: usize,
}

impl Limits {
    /// The largest message of the verdict protocol: the largest thing that it may carry, and what is said around it.
    pub fn message(&self) -> usize {
        self.body.max(self.sse_event).max(self.batch) + 1024 * 1024
    }
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            body: 32 * MIB,
            headers: 64 * KIB,
            sse_event: 32 * MIB,
            unsettled: 16 * MIB,
            unsettled_total: 1024 * MIB,
            resume: MIB,
            batch: 256 * KIB,
            open_calls: 4096,
            control_plane_connections: 2,
        }
    }
}

/// How long may be waited.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For a connection to an upstream.
    #[serde(deserialize_with = "units::period")]
    pub connect: Duration,
    /// For a connection to a policy service.
    #[serde(deserialize_with = "units::period")]
    pub connect_control_plane: Duration,
    /// For the head of an upstream's answer.
    #[serde(deserialize_with = "units::period")]
    pub first_byte: Duration,
    /// For an upstream's next bytes.
    #[serde(deserialize_with = "units::period")]
    pub idle: Duration,
    /// For a sign of life of a policy service that owes something; it may miss one.
    #[serde(deserialize_with = "units::period")]
    pub lease: Duration,
    /// For a verdict.
    #[serde(deserialize_with = "units::period")]
    pub hold: Duration,
    /// For a client to take anything of what is written to it.
    #[serde(deserialize_with = "units::period")]
    pub client_stall: Duration,
    /// Silence toward a client after which it is sent a keepalive.
    #[serde(deserialize_with = "units::period")]
    pub keepalive_first: Duration,
    /// Between keepalives after that.
    #[serde(deserialize_with = "units::period")]
    pub keepalive_every: Duration,
    /// For another policy service to take a call over, or for any to admit it.
    #[serde(deserialize_with = "units::period")]
    pub takeover: Duration,
    /// For the policy service to close a call's stream once it knows the end.
    #[serde(deserialize_with = "units::period")]
    pub close: Duration,
    /// For the headers of a connection's first request.
    #[serde(deserialize_with = "units::period")]
    pub header_read: Duration,
    /// For the whole body of a request.
    #[serde(deserialize_with = "units::period")]
    pub request: Duration,
    /// For running calls to end, when the plane shuts down.
    #[serde(deserialize_with = "units::period")]
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        const fn seconds(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        Self {
            connect: seconds(10),
            connect_control_plane: seconds(2),
            first_byte: seconds(600),
            idle: seconds(300),
            lease: seconds(5),
            hold: seconds(60),
            client_stall: seconds(60),
            keepalive_first: seconds(8),
            keepalive_every: seconds(10),
            takeover: seconds(15),
            close: seconds(30),
            header_read: seconds(10),
            request: seconds(120),
            drain: seconds(30),
        }
    }
}

/// The questions that policies may ask models.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consults {
    /// Of whom; `None`: of every upstream that a route leads to.
    pub upstreams: Option<Vec<String>>,
    /// In one call.
    pub per_call: usize,
    /// At once, in one call.
    pub at_once: usize,
    /// The largest answer, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub answer: usize,
    /// How long an answer may take.
    #[serde(deserialize_with = "units::period")]
    pub timeout: Duration,
    /// How long an answer will do for an equal question of the same session, where a policy wants that; zero: it never
    /// will.
    #[serde(deserialize_with = "units::period")]
    pub reuse: Duration,
}

impl Default for Consults {
    fn default() -> Self {
        Self {
            upstreams: None,
            per_call: 256,
            at_once: 16,
            answer: 1024 * 1024,
            timeout: Duration::from_secs(30),
            reuse: Duration::from_secs(3600),
        }
    }
}

/// A value that can't be used: which, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key}: {reason}")]
pub struct Invalid {
    /// The path of the key in the file.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl Invalid {
    fn new(key: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self { key: format!("data_plane.{key}"), reason: reason.into() }
    }
}

impl Config {
    /// The section `data_plane` of a file; what it does not say comes from the environment.
    ///
    /// # Errors
    /// What is wrong in it, with its place.
    pub fn load(document: &Document) -> Result<Self, ConfigError> {
        let file: File<Section> = document.get()?;
        let checked = file.data_plane.unwrap_or_default().check(|variable| std::env::var(variable).ok());
        checked.map_err(|invalid| document.error_at(&invalid.key, invalid.reason))
    }

    /// The configuration without a file: OpenAI and Anthropic, with the keys that the environment has; Gemini, if it has
    /// a key.
    ///
    /// # Errors
    /// A key of the environment can't be sent in a header.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        Section::default().check(variable)
    }

    /// The routes and the paths that are forwarded, with the upstreams that they lead to.
    pub(crate) fn resolve(&self) -> Result<(Routes, Passthrough), Invalid> {
        let upstreams: Vec<_> = self.upstreams.iter().map(Upstream::resolve).collect::<Result<_, _>>()?;
        let named = |name: &str, key: String| {
            let found = upstreams.iter().find(|upstream| upstream.name == name).cloned();
            found.ok_or_else(|| {
                let known: Vec<_> = self.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
                Invalid::new(key, format!("is no upstream; there is {}", known.join(", ")))
            })
        };
        let mut routes = Vec::with_capacity(self.routes.len());
        for (i, rule) in self.routes.iter().enumerate() {
            let names = rule.upstreams.iter().map(|name| named(name, format!("routes[{i}].upstream")));
            let mut others = names.collect::<Result<Vec<_>, _>>()?;
            if others.is_empty() {
                return Err(Invalid::new(format_args!("routes[{i}].upstream"), "there is none"));
            }
            let route = Route::new(&rule.model, others.remove(0), rule.rename.clone())
                .map_err(|error| Invalid::new(format_args!("routes[{i}].model"), error.kind().to_string()))?;
            routes.push(route.or(others));
        }
        for (i, name) in self.consults.upstreams.iter().flatten().enumerate() {
            named(name, format!("consults.upstreams[{i}]"))?;
        }
        let mut listed = Vec::with_capacity(self.passthrough_paths.len());
        for (i, rule) in self.passthrough_paths.iter().enumerate() {
            let key = |part: &str| format!("passthrough_paths[{i}]{part}");
            let upstream = rule.upstream.as_ref().map(|name| named(name, key(".upstream"))).transpose()?;
            let path = Listed::new(&rule.path, upstream);
            listed.push(path.map_err(|error| Invalid::new(key(""), error.kind().to_string()))?);
        }
        let upstreams = routes.iter().flat_map(Route::upstreams).cloned().collect();
        Ok((Routes(routes), Passthrough { listed, upstreams }))
    }
}

impl Upstream {
    fn resolve(&self) -> Result<Arc<routes::Upstream>, Invalid> {
        let key = |field: &str| format!("upstreams.{}.{field}", self.name);
        let (field, found) = match (&self.api_key, &self.auth_token) {
            (Some(_), Some(_)) => return Err(Invalid::new(key("auth_token"), "there is an api_key as well")),
            (Some(secret), None) => ("api_key", Some(auth::api_key(self.dialect, secret.expose()))),
            (None, Some(secret)) => ("auth_token", Some(auth::bearer_token(secret.expose()))),
            (None, None) => ("", None),
        };
        let unusable = || Invalid::new(key(field), "can't be sent in a header");
        Ok(Arc::new(routes::Upstream {
            name: self.name.clone(),
            dialect: self.dialect,
            base: self.base_url.to_string().trim_end_matches('/').to_owned(),
            credentials: found.map(|found| found.ok_or_else(unusable)).transpose()?,
            forward_traceparent: self.forward_traceparent,
            options: self.options.clone(),
        }))
    }
}
