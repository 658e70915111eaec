//! Where a text has what it says from: the two dialects of OpenAI say the same of it in two forms.

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, Delta},
    json::Extras,
    request::Dialect,
};
use serde_json::{Value, json};

/// What OpenAI Responses says of an annotation in a stream.
const ADDED: &str = "response.output_text.annotation.added";
const POSITION: [&str; 4] = ["start_index", "end_index", "title", "url"];

/// Brings the sources of a text from one of OpenAI's dialects to the other. Positions count in one text: those of further
/// ones would have no meaning elsewhere, and are left out.
#[derive(Clone, Debug)]
pub(super) struct Annotations {
    way: Way,
    /// The text that they are about, once it is told.
    text: Option<BlockKey>,
    /// Not told yet.
    pending: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    ToChat,
    ToResponses,
    Nowhere,
}

impl Annotations {
    pub(super) fn new(upstream: Dialect, client: Dialect) -> Self {
        let way = match (upstream, client) {
            (Dialect::OpenAiResponses, Dialect::OpenAiChat) => Way::ToChat,
            (Dialect::OpenAiChat, Dialect::OpenAiResponses) => Way::ToResponses,
            (
                Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::AnthropicMessages | Dialect::Gemini,
                Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::AnthropicMessages | Dialect::Gemini,
            ) => Way::Nowhere,
        };
        Self { way, text: None, pending: Vec::new() }
    }

    /// Takes what an event says of sources.
    pub(super) fn take(&mut self, event: &Event) {
        let found = match (self.way, &event.step) {
            (Way::Nowhere, _) => return,
            (Way::ToChat, Step::BlockDelta(BlockDelta { block, delta: Delta::Opaque(said) })) => {
                let is_ours = said["type"] == ADDED && self.text.is_none_or(|text| text == *block);
                is_ours.then(|| of_responses(&said["annotation"])).flatten().into_iter().collect()
            }
            (Way::ToChat, _) => return,
            (Way::ToResponses, Step::Opaque(chunk)) => of_delta(&chunk["choices"][0]["delta"]),
            (Way::ToResponses, _) => in_extras(&event.extras),
        };
        self.pending.extend(found);
    }

    /// A text begins.
    pub(super) fn begin(&mut self, block: BlockKey) {
        self.text.get_or_insert(block);
    }

    /// What is to be told now in the text, if that is open. OpenAI Chat is told all at once, when it stops: there the later
    /// list of a whole body would stand for the earlier one.
    pub(super) fn give(
        &mut self,
        stops: Option<BlockKey>,
        is_open: impl FnOnce(BlockKey) -> bool,
        out: &mut Vec<Event>,
    ) {
        let Some(block) = self.text else { return };
        if self.pending.is_empty() || !is_open(block) {
            return;
        }
        match self.way {
            Way::ToChat if stops == Some(block) => {
                let mut extras = Extras::NONE;
                extras.insert("delta", json!({"annotations": std::mem::take(&mut self.pending)}));
                let nothing = Delta::Text(String::new());
                out.push(Event { step: Step::BlockDelta(BlockDelta { block, delta: nothing }), extras });
            }
            Way::ToResponses => {
                let told = |annotation| {
                    let delta = Delta::Opaque(json!({"type": ADDED, "annotation": annotation}));
                    Step::BlockDelta(BlockDelta { block, delta }).into()
                };
                out.extend(self.pending.drain(..).map(told));
            }
            Way::ToChat | Way::Nowhere => {}
        }
    }
}

fn in_extras(extras: &Extras) -> Vec<Value> {
    extras.get("delta").map(of_delta).unwrap_or_default()
}

fn of_delta(delta: &Value) -> Vec<Value> {
    delta["annotations"].as_array().into_iter().flatten().filter_map(of_chat).collect()
}

fn of_chat(annotation: &Value) -> Option<Value> {
    let source = annotation.get("url_citation").filter(|_| annotation["type"] == "url_citation")?;
    let mut flat = json!({"type": "url_citation"});
    POSITION.iter().for_each(|key| flat[*key] = source[*key].clone());
    is_whole(&flat).then_some(flat)
}

fn of_responses(annotation: &Value) -> Option<Value> {
    let is_source = annotation["type"] == "url_citation" && is_whole(annotation);
    let mut source = json!({});
    POSITION.iter().for_each(|key| source[*key] = annotation[*key].clone());
    is_source.then(|| json!({"type": "url_citation", "url_citation": source}))
}

/// Whether everything is there that a client counts on.
fn is_whole(flat: &Value) -> bool {
    flat["start_index"].is_u64() && flat["end_index"].is_u64() && flat["title"].is_string() && flat["url"].is_string()
}
