//! Which calls go through a pipeline other than the default.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use luthien_proto::message::{CallStarted, Header};

use super::Pipeline;
use crate::{BuildError, WhenConfig};

/// A pipeline, and the calls that go through it.
pub(super) struct Binding {
    pub when: When,
    pub pipeline: Arc<Pipeline>,
}

/// What has to be true of a call: all that is given.
pub(super) struct When {
    model: Option<GlobMatcher>,
    client: Option<String>,
    route: Option<String>,
    headers: Vec<Header>,
}

impl When {
    /// Errors name their place within the condition.
    pub fn read(config: &WhenConfig) -> Result<Self, BuildError> {
        let WhenConfig { model, client, route, header } = config;
        if model.is_none() && client.is_none() && route.is_none() && header.is_empty() {
            let why = "it has no condition: for the calls that no binding matches there is `pipeline`";
            return Err(BuildError::new("when", why));
        }
        let headers = header.iter().map(|(name, value)| read_header(name, value));
        Ok(Self {
            model: model.as_deref().map(read_model).transpose()?,
            client: client.clone(),
            route: route.clone(),
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    pub fn matches(&self, call: &CallStarted) -> bool {
        self.model.as_ref().is_none_or(|glob| glob.is_match(&call.request.model))
            && self.client.as_ref().is_none_or(|client| *client == call.client)
            && self.route.as_ref().is_none_or(|route| *route == call.route)
            && self.headers.iter().all(|header| call.headers.contains(header))
    }
}

fn read_model(glob: &str) -> Result<GlobMatcher, BuildError> {
    let glob = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| BuildError::new("when.model", error.to_string()))
}

fn read_header(name: &str, value: &str) -> Result<Header, BuildError> {
    let lower = name.to_ascii_lowercase();
    match Header::is_told(&lower) {
        true => Ok(Header { name: lower, value: value.to_owned() }),
        false => {
            let why = "data planes tell only headers that begin with `x-` and do not sound like a credential";
            Err(BuildError::new(format!("when.header.{name}"), why))
        }
    }
}
