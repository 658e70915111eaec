//! How a request becomes a body for its upstream, and once more if policies have changed it.

use std::sync::Arc;

use luthien_call::{
    conversion::{self, Converted, Edited, Target, Unconvertible},
    dialect::{ClientRequest, Lost},
};
use luthien_proto::{Request, request::Dialect};

use crate::routes::{Family, Upstream, family};

/// The longest key of a prompt cache that OpenAI takes.
const CACHE_KEY_LONGEST: usize = 64;

/// The way of a call's request to its upstream.
#[derive(Debug)]
pub(crate) struct Onward {
    client: Dialect,
    upstream: Arc<Upstream>,
    model: String,
    /// What the request says of the provider's cache if the client says nothing; empty: nothing.
    cache_key: String,
}

impl Onward {
    /// An agent that speaks Anthropic's dialect marks what is to be cached in its messages, which OpenAI can't read: there
    /// the calls of its session share a cache.
    pub(super) fn new(client: Dialect, upstream: Arc<Upstream>, model: String, session: &str) -> Self {
        let is_keyed = family(client) == Family::Anthropic && family(upstream.dialect) == Family::OpenAi;
        let is_lent = is_keyed && session.len() <= CACHE_KEY_LONGEST;
        let cache_key = if is_lent { session.to_owned() } else { String::new() };
        Self { client, upstream, model, cache_key }
    }

    /// The body of the client's own request, what was lost on the way, and what the answer passes where the upstream
    /// speaks another dialect. As it came, where it can.
    pub(super) fn first(&self, request: &mut ClientRequest) -> Result<Edited, Unconvertible> {
        if self.client == self.upstream.dialect {
            let (body, lost): (_, Lost) = conversion::forward(request, &self.model, &self.upstream.options);
            return Ok(Edited { body, lost, response: None });
        }
        let lent = self.lend(&mut request.request);
        let converted = conversion::convert(request, &self.target());
        if lent {
            request.request.service.cache_key.clear();
        }
        let Converted { body, lost, response } = converted?;
        Ok(Edited { body, lost, response: Some(response) })
    }

    /// The same of a request that policies have changed.
    ///
    /// # Errors
    /// They made it one that the upstream would misunderstand.
    pub(crate) fn edited(&self, mut request: Request) -> Result<Edited, Unconvertible> {
        self.lend(&mut request);
        conversion::edited(self.client, &request, &self.target())
    }

    fn lend(&self, request: &mut Request) -> bool {
        let cache_key = &mut request.service.cache_key;
        let lent = cache_key.is_empty() && !self.cache_key.is_empty();
        if lent {
            self.cache_key.clone_into(cache_key);
        }
        lent
    }

    fn target(&self) -> Target<'_> {
        Target { dialect: self.upstream.dialect, model: &self.model, options: &self.upstream.options }
    }
}
