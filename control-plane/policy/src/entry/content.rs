//! The content of a block, put together from its steps.

use luthien_proto::{
    event::{BlockKind, Delta, ToolForm},
    json::Extras,
};
use serde::Serialize;
use serde_json::Value;

/// What a block held. Fields that its kind does not have are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ContentEntry {
    /// Of text, thinking and refusals: the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of thinking: the provider's proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Of redacted thinking: the provider's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted: Option<String>,
    /// Of tool calls and thinking: the upstream's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of tool calls: the tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of tool calls: the group that the tool belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Of tool calls: `function`, `custom`, `legacy`, `server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<&'static str>,
    /// Of tool calls: the dialect's own name of what it is, where the form has several.
    #[serde(rename = "call_type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Of tool calls: the arguments, as the model wrote them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// Of opaque blocks: the block as it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Pieces that fit nowhere else, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<Value>,
    /// Unknown fields of its steps, in order; an immediate repetition is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<Extras>,
}

impl ContentEntry {
    /// The content of a block that has just begun.
    pub(crate) fn begin(kind: &BlockKind, extras: &Extras) -> Self {
        let mut content = Self::default();
        match kind {
            BlockKind::Text | BlockKind::Refusal => content.text = Some(String::new()),
            BlockKind::Thinking { id, .. } => {
                content.id = Some(id.clone()).filter(|id| !id.is_empty());
                content.text = Some(String::new());
            }
            BlockKind::RedactedThinking { data } => content.redacted = Some(data.clone()),
            BlockKind::ToolCall(call) => {
                content.id = Some(call.id.clone()).filter(|id| !id.is_empty());
                content.name = Some(call.name.clone());
                content.namespace = Some(call.namespace.clone()).filter(|namespace| !namespace.is_empty());
                content.form = Some(form(call.form));
                content.type_ = Some(call.type_.clone()).filter(|type_| !type_.is_empty());
                content.arguments = Some(String::new());
            }
            BlockKind::Opaque(json) => content.json = Some(json.clone()),
        }
        content.note(extras);
        content
    }

    /// Adds a piece.
    pub(crate) fn push(&mut self, delta: &Delta, extras: &Extras) {
        match delta {
            Delta::Text(text) => self.text.get_or_insert_default().push_str(text),
            Delta::Arguments(text) => self.arguments.get_or_insert_default().push_str(text),
            Delta::Signature(text) => self.signature = Some(text.clone()),
            Delta::Opaque(json) => self.opaque.push(json.clone()),
        }
        self.note(extras);
    }

    /// Adds opaque pieces that came apart from the rest.
    pub(crate) fn add(&mut self, pieces: Self) {
        self.opaque.extend(pieces.opaque);
        self.extras.extend(pieces.extras);
    }

    /// Adds unknown fields.
    pub(crate) fn note(&mut self, extras: &Extras) {
        if !extras.is_empty() && !self.extras.last().is_some_and(|last| last.is_repeated_by(extras)) {
            self.extras.push(extras.clone());
        }
    }
}

/// The form of that name.
pub(crate) fn form_from_name(name: &str) -> Option<ToolForm> {
    let forms = [ToolForm::Function, ToolForm::Custom, ToolForm::Legacy, ToolForm::Server];
    forms.into_iter().find(|known| form(*known) == name)
}

pub(super) fn form(form: ToolForm) -> &'static str {
    match form {
        ToolForm::Function => "function",
        ToolForm::Custom => "custom",
        ToolForm::Legacy => "legacy",
        ToolForm::Server => "server",
    }
}
