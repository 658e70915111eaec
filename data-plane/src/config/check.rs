//! From what is written to what is meant; what can't be meant is an error that names its key, and never shows the value:
//! it may have come from the environment.

use std::{collections::HashSet, net::SocketAddr, num::NonZeroUsize, thread, time::Duration};

use http::{Uri, uri::Scheme};
use luthien_call::dialect::UpstreamOptions;
use luthien_proto::{message::FailureMode, request::Dialect};
use luthien_service::Secret;
use tokio::sync::Semaphore;

use super::{
    Auth, ClientKey, Config, Consults, Invalid, Limits, PassthroughRule, RouteRule, Section, Timeouts, Upstream,
    section::{
        Addresses, AuthMode, AuthSection, KeySection, OnLoss, PassthroughSection, RouteSection, UpstreamSection,
    },
};

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8000);
const OPENAI: &str = "https://api.openai.com/v1";
const CONTROL_PLANE: &str = "http://127.0.0.1:50051";
/// The most that a limit in bytes may be: gRPC counts in 32 bits.
const LARGEST: usize = 1 << 30;

impl Section {
    /// Checks it, and adds the defaults. Without upstreams and routes they come from the environment.
    ///
    /// # Errors
    /// The first value that can't be used.
    pub fn check(self, variable: impl Fn(&str) -> Option<String>) -> Result<Config, Invalid> {
        let (upstreams, routes) = match (self.upstreams, self.routes) {
            (None, None) => defaults(variable),
            (upstreams, routes) => {
                let upstreams = upstreams.unwrap_or_default().into_iter().map(|(name, it)| upstream(name, it));
                let routes = routes.unwrap_or_default().into_iter().enumerate().map(|(i, it)| route(i, it));
                (upstreams.collect::<Result<_, _>>()?, routes.collect::<Result<_, _>>()?)
            }
        };
        let config = Config {
            listen: self.listen.map_or(Ok(LISTEN), listen)?,
            threads: threads(self.threads)?,
            control_plane: control_plane(self.control_plane)?,
            on_control_plane_loss: match self.on_control_plane_loss {
                OnLoss::Closed => FailureMode::Closed,
                OnLoss::Open => FailureMode::Open,
            },
            upstreams,
            routes,
            passthrough_paths: passthrough_paths(self.passthrough_paths)?,
            auth: auth(self.auth)?,
            consults: consults(self.consults)?,
            limits: limits(self.limits)?,
            timeouts: timeouts(self.timeouts)?,
        };
        if config.upstreams.is_empty() {
            return Err(Invalid::new("upstreams", "there are none"));
        }
        if config.routes.is_empty() {
            return Err(Invalid::new("routes", "there are none, so no call could go anywhere"));
        }
        config.resolve()?;
        Ok(config)
    }
}

fn consults(consults: Consults) -> Result<Consults, Invalid> {
    if consults.at_once == 0 {
        return Err(Invalid::new("consults.at_once", "at least 1 is needed; to allow none, write `upstreams: []`"));
    }
    Ok(consults)
}

fn defaults(variable: impl Fn(&str) -> Option<String>) -> (Vec<Upstream>, Vec<RouteRule>) {
    let key = |name: &str| variable(name).and_then(Secret::new);
    let upstream = |name: &str, dialect, base_url, api_key| Upstream {
        name: name.to_owned(),
        dialect,
        base_url: Uri::from_static(base_url),
        api_key,
        auth_token: None,
        options: UpstreamOptions::default(),
        forward_traceparent: false,
    };
    let route = |model: &str, upstreams: &[&str]| RouteRule {
        model: model.to_owned(),
        upstreams: upstreams.iter().map(|&name| name.to_owned()).collect(),
        rename: None,
    };
    let mut upstreams = vec![
        upstream("openai", Dialect::OpenAiChat, OPENAI, key("OPENAI_API_KEY")),
        upstream("openai-responses", Dialect::OpenAiResponses, OPENAI, key("OPENAI_API_KEY")),
        upstream("anthropic", Dialect::AnthropicMessages, "https://api.anthropic.com", key("ANTHROPIC_API_KEY")),
    ];
    let mut routes = vec![route("claude-*", &["anthropic"])];
    if let Some(key) = key("GEMINI_API_KEY") {
        let base_url = "https://generativelanguage.googleapis.com";
        upstreams.push(upstream("gemini", Dialect::Gemini, base_url, Some(key)));
        routes.push(route("gemini-*", &["gemini"]));
    }
    routes.push(route("*", &["openai", "openai-responses"]));
    (upstreams, routes)
}

fn listen(text: String) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| Invalid::new("listen", "is not an address and a port"))
}

fn threads(threads: Option<usize>) -> Result<NonZeroUsize, Invalid> {
    match threads {
        None => Ok(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        Some(threads) => NonZeroUsize::new(threads).ok_or_else(|| Invalid::new("threads", "has to be at least 1")),
    }
}

fn control_plane(addresses: Option<Addresses>) -> Result<Vec<Uri>, Invalid> {
    let listed = match addresses {
        None => vec![("control_plane".to_owned(), CONTROL_PLANE.to_owned())],
        Some(Addresses::One(address)) => vec![("control_plane".to_owned(), address)],
        Some(Addresses::List(list)) => {
            list.into_iter().enumerate().map(|(i, address)| (format!("control_plane[{i}]"), address)).collect()
        }
    };
    if listed.is_empty() {
        return Err(Invalid::new("control_plane", "there is none"));
    }
    let mut known = HashSet::new();
    let mut uris = Vec::with_capacity(listed.len());
    for (key, address) in listed {
        let uri = url(&key, &address)?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return Err(Invalid::new(key, "TLS toward the control plane is not built yet: use http://"));
        }
        if uri.path() != "/" {
            return Err(Invalid::new(key, "has a path; only http://host:port is meant"));
        }
        if !known.insert(uri.clone()) {
            return Err(Invalid::new(key, "is listed twice"));
        }
        uris.push(uri);
    }
    Ok(uris)
}

fn upstream(name: String, section: UpstreamSection) -> Result<Upstream, Invalid> {
    let key = |field: &str| format!("upstreams.{name}.{field}");
    let dialect = Dialect::from_name(&section.dialect).ok_or_else(|| {
        let known = Dialect::ALL.map(Dialect::name).join(", ");
        Invalid::new(key("dialect"), format!("is none of {known}"))
    })?;
    let base_url = url(&key("base_url"), &section.base_url)?;
    let UpstreamSection { api_key, auth_token, forward_traceparent, compatible, reasoning_echo, .. } = section;
    let chat_only = [("compatible", compatible), ("reasoning_echo", reasoning_echo)];
    if let Some((field, _)) = chat_only.into_iter().find(|(_, said)| *said && dialect != Dialect::OpenAiChat) {
        return Err(Invalid::new(key(field), "is only for upstreams that speak openai-chat"));
    }
    let max_output_tokens = section.max_output_tokens;
    if max_output_tokens == Some(0) {
        return Err(Invalid::new(key("max_output_tokens"), "has to be at least 1"));
    }
    if max_output_tokens.is_some() && dialect != Dialect::AnthropicMessages {
        return Err(Invalid::new(key("max_output_tokens"), "is only for upstreams that speak anthropic-messages"));
    }
    let options = UpstreamOptions { compatible, reasoning_echo, max_output_tokens };
    Ok(Upstream { name, dialect, base_url, api_key, auth_token, options, forward_traceparent })
}

/// An http or https URL of a host, without what has no place in it.
fn url(key: &str, text: &str) -> Result<Uri, Invalid> {
    let uri: Uri = text.parse().map_err(|error| Invalid::new(key, format!("is not a URL: {error}")))?;
    let known = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    if !known || uri.host().is_none_or(str::is_empty) {
        return Err(Invalid::new(key, "does not begin with http://host or https://host"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Invalid::new(key, "credentials have no place in a URL"));
    }
    if uri.query().is_some() {
        return Err(Invalid::new(key, "a query has no place in it"));
    }
    Ok(uri)
}

fn route(i: usize, section: RouteSection) -> Result<RouteRule, Invalid> {
    let key = |field: &str| format!("routes[{i}].{field}");
    if section.model.is_empty() {
        return Err(Invalid::new(key("model"), "is empty; `*` is any model"));
    }
    if section.rename.as_deref() == Some("") {
        return Err(Invalid::new(key("as"), "is empty; without it the model keeps its name"));
    }
    Ok(RouteRule { model: section.model, upstreams: section.upstream.0, rename: section.rename })
}

fn passthrough_paths(sections: Vec<PassthroughSection>) -> Result<Vec<PassthroughRule>, Invalid> {
    for (i, section) in sections.iter().enumerate() {
        if !section.path.starts_with('/') {
            return Err(Invalid::new(format_args!("passthrough_paths[{i}]"), "does not begin with /"));
        }
    }
    let rule = |PassthroughSection { path, upstream }| PassthroughRule { path, upstream };
    Ok(sections.into_iter().map(rule).collect())
}

fn auth(section: AuthSection) -> Result<Auth, Invalid> {
    match (section.mode, section.keys) {
        (AuthMode::Passthrough, None) => Ok(Auth::Passthrough),
        (AuthMode::Passthrough, Some(_)) => Err(Invalid::new("auth.keys", "need `mode: keys`")),
        (AuthMode::Keys, keys) => client_keys(keys.unwrap_or_default()).map(Auth::Keys),
    }
}

fn client_keys(sections: Vec<KeySection>) -> Result<Vec<ClientKey>, Invalid> {
    if sections.is_empty() {
        return Err(Invalid::new("auth.keys", "there are none, so nobody could call"));
    }
    let mut names = HashSet::new();
    let mut values = HashSet::new();
    for (i, KeySection { name, key }) in sections.iter().enumerate() {
        if !values.insert(key.expose()) {
            return Err(Invalid::new(format_args!("auth.keys[{i}]"), "is listed twice"));
        }
        match name.as_deref() {
            Some("") => return Err(Invalid::new(format_args!("auth.keys[{i}].name"), "is empty")),
            Some(name) if !names.insert(name) => {
                return Err(Invalid::new(format_args!("auth.keys[{i}].name"), "is another key's already"));
            }
            Some(_) | None => {}
        }
    }
    Ok(sections.into_iter().map(|KeySection { name, key }| ClientKey { name: name.unwrap_or_default(), key }).collect())
}

fn limits(limits: Limits) -> Result<Limits, Invalid> {
    let Limits {
        body,
        headers,
        sse_event,
        unsettled,
        unsettled_total,
        resume,
        batch,
        open_calls,
        control_plane_connections,
    } = limits;
    if resume > LARGEST {
        return Err(Invalid::new("limits.resume", format!("{resume} is more than {LARGEST}")));
    }
    let each = [
        ("body", body, LARGEST),
        ("headers", headers, LARGEST),
        ("sse_event", sse_event, LARGEST),
        ("unsettled", unsettled, LARGEST),
        ("unsettled_total", unsettled_total, usize::MAX),
        ("batch", batch, LARGEST),
        ("open_calls", open_calls, Semaphore::MAX_PERMITS),
        ("control_plane_connections", control_plane_connections, 64),
    ];
    for (name, value, most) in each {
        if value == 0 || value > most {
            let key = format_args!("limits.{name}").to_string();
            return Err(Invalid::new(key, format!("{value} is not between 1 and {most}")));
        }
    }
    Ok(limits)
}

fn timeouts(timeouts: Timeouts) -> Result<Timeouts, Invalid> {
    let each = [
        ("connect", timeouts.connect),
        ("connect_control_plane", timeouts.connect_control_plane),
        ("first_byte", timeouts.first_byte),
        ("idle", timeouts.idle),
        ("lease", timeouts.lease),
        ("hold", timeouts.hold),
        ("client_stall", timeouts.client_stall),
        ("keepalive_first", timeouts.keepalive_first),
        ("keepalive_every", timeouts.keepalive_every),
        ("close", timeouts.close),
        ("header_read", timeouts.header_read),
        ("request", timeouts.request),
    ];
    match each.into_iter().find(|(_, period)| *period == Duration::ZERO) {
        Some((name, _)) => Err(Invalid::new(format_args!("timeouts.{name}"), "has to be more than nothing")),
        None => Ok(timeouts),
    }
}
