//! A request of one dialect becomes one that another dialect can say.
//!
//! What both can say is in the canonical fields, or carried by name. What the target can't say is lost, and named: see
//! [`Lost`]. What would make the answer silently wrong is refused.

mod blocks;
mod fields;
mod history;
mod reasoning;
mod refusals;
mod service;
mod system;
pub(super) mod thinking;
mod tools;
mod words;

use luthien_proto::{Request, request::Dialect};

pub(crate) use fields::wants_usage;
pub(super) use words::of_client;

use super::{Bridge, Target, Unconvertible, names::Names};
use crate::dialect::{Lost, echo};

/// What is known of a conversion throughout.
#[derive(Debug)]
struct Way<'a> {
    client: Dialect,
    to: &'a Target<'a>,
    names: Names,
}

impl Way<'_> {
    fn target(&self) -> Dialect {
        self.to.dialect
    }

    /// Whether the target calls tools by free text.
    fn has_free_text(&self) -> bool {
        match self.to.dialect {
            Dialect::OpenAiChat => !self.to.options.compatible,
            Dialect::OpenAiResponses => true,
            Dialect::AnthropicMessages | Dialect::Gemini => false,
        }
    }

    /// Whether client and target are OpenAI's both, which has files and caches in common.
    fn is_within_openai(&self) -> bool {
        let is_openai = |dialect| matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
        is_openai(self.client) && is_openai(self.to.dialect) && !self.to.options.compatible
    }
}

/// The target's own request, what was lost, and what the answer has to know.
pub(super) fn convert(
    client: Dialect,
    asked: &Request,
    to: &Target<'_>,
) -> Result<(Request, Lost, Bridge), Unconvertible> {
    let way = Way { client, to, names: Names::of(&asked.tools, to.dialect) };
    refusals::check(asked, &way)?;
    let mut lost = Lost::default();
    let mut request = asked.clone();
    let mut bridge = Bridge::new(client, to);
    bridge.model.clone_from(&request.model);
    bridge.include_usage = fields::wants_usage(&request, client);
    bridge.echo = echo(client, asked);
    bridge.tools = tools::bridges(&request.tools, &way);
    request.model = to.model.to_owned();
    fields::convert(&mut request, &way, &mut lost);
    tools::convert(&mut request, &way, &mut lost);
    service::convert(&mut request, &way, &mut lost);
    system::clean(&mut request, &way, &mut lost);
    history::convert(&mut request, &way, &mut lost);
    reasoning::convert(&mut request, &way, &mut lost);
    Ok((request, lost, bridge))
}
