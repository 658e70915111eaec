//! What the answer to a converted request needs to be told in the client's own words.

use std::collections::BTreeMap;

use luthien_proto::{event::ToolForm, json::Extras, request::Dialect};

use super::Target;

/// What is remembered of a converted request for its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// The dialect that the answer is to be told in.
    pub client: Dialect,
    /// The dialect that it comes in.
    pub upstream: Dialect,
    /// The model as the client named it.
    pub model: String,
    /// The model as the upstream is asked for it: the signatures of one model may mean nothing to another.
    pub upstream_model: String,
    /// The tools that the upstream knows under another name or in another form than the client does, by the name that
    /// the upstream calls them.
    pub tools: BTreeMap<String, BridgedTool>,
    /// Whether an OpenAI Chat client wants the chunk that tells the usage of a stream.
    pub include_usage: bool,
    /// What the client's dialect repeats of the request in its answer: fields of a Responses object.
    pub echo: Extras,
}

/// A tool as the client declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgedTool {
    /// Its name.
    pub name: String,
    /// The group that it belongs to; empty: none.
    pub namespace: String,
    /// How the client expects it to be called. Where that is by free text, the upstream calls it by the arguments
    /// `{"input": "the free text"}` if it calls it as a function.
    pub form: ToolForm,
}

impl Bridge {
    /// For an answer in which nothing is to be restored.
    pub fn new(client: Dialect, to: &Target<'_>) -> Self {
        Self {
            client,
            upstream: to.dialect,
            model: to.model.to_owned(),
            upstream_model: to.model.to_owned(),
            tools: BTreeMap::new(),
            include_usage: true,
            echo: Extras::NONE,
        }
    }
}
