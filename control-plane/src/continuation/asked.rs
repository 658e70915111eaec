//! What a request goes on from.

use luthien_proto::{Request, message::CallStarted, request::Dialect};
use serde_json::Value;

/// The longest id that is looked for, and kept. Those of providers are far shorter.
const ID_MAX: usize = 512;

/// That from which a request goes on, by what the provider remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A response, by its id. It never changes.
    Response(String),
    /// A conversation, by its id: all that was ever said in it.
    Conversation(String),
    /// It can't be made out.
    Unreadable,
}

impl Asked {
    /// What a call goes on from; `None`: its request is all there is.
    pub fn of(started: &CallStarted) -> Option<Self> {
        if started.dialect != started.upstream_dialect {
            return None;
        }
        let request = &started.request;
        match started.dialect {
            Dialect::OpenAiResponses => {
                match (present(request.extras.get("previous_response_id")), conversation(request)) {
                    (Some(Value::String(id)), None) if is_id(id) => Some(Self::Response(id.clone())),
                    (None, Some(Value::String(id))) if is_id(id) => Some(Self::Conversation(id.clone())),
                    (None, None) => None,
                    (Some(_), _) | (None, Some(_)) => Some(Self::Unreadable),
                }
            }
            Dialect::AnthropicMessages => {
                let thread = thread(request)?;
                match (thread.get("type").and_then(Value::as_str), present(thread.get("previous_message_id"))) {
                    (Some("create"), None) => None,
                    (Some("continue"), Some(Value::String(id))) if is_id(id) => Some(Self::Response(id.clone())),
                    (_, _) => Some(Self::Unreadable),
                }
            }
            Dialect::OpenAiChat | Dialect::Gemini => None,
        }
    }
}

/// Whether an id may be one of a provider.
pub(super) fn is_id(id: &str) -> bool {
    id.len() <= ID_MAX
}

/// Whether the provider keeps the answer, so that a later call may go on from it.
pub(super) fn is_kept(started: &CallStarted) -> bool {
    let request = &started.request;
    started.dialect == started.upstream_dialect
        && match started.dialect {
            Dialect::OpenAiResponses => request.service.store != Some(false),
            Dialect::AnthropicMessages => thread(request).is_some(),
            Dialect::OpenAiChat | Dialect::Gemini => false,
        }
}

/// The id of the conversation, or what stands in its place.
fn conversation(request: &Request) -> Option<&Value> {
    let conversation = present(request.extras.get("conversation"))?;
    Some(conversation.get("id").unwrap_or(conversation))
}

fn thread(request: &Request) -> Option<&Value> {
    present(request.extras.get("thread"))
}

/// What is null is not there.
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}
