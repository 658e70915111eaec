//! What arrives, in the client's names.

use std::collections::BTreeMap;

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, ToolCall, ToolForm},
    json::Extras,
    request::Dialect,
};
use serde_json::{Value, json};

use crate::conversion::{BridgedTool, failure};

/// Puts what arrives into the client's names.
#[derive(Debug)]
pub(crate) struct Arriving {
    client: Dialect,
    upstream: Dialect,
    tools: BTreeMap<String, BridgedTool>,
    /// The calls under way whose arguments have another form than the client expects.
    bridged: Vec<Bridged>,
}

#[derive(Debug)]
struct Bridged {
    block: BlockKey,
    /// The form that the client expects.
    form: ToolForm,
    arguments: String,
}

impl Arriving {
    pub(super) fn new(client: Dialect, upstream: Dialect, tools: BTreeMap<String, BridgedTool>) -> Self {
        Self { client, upstream, tools, bridged: Vec::new() }
    }

    /// What became of these events, in their order.
    pub(crate) fn events(&mut self, events: Vec<Event>) -> Vec<Event> {
        let mut converted = Vec::with_capacity(events.len());
        for Event { step, extras } in events {
            match step {
                Step::BlockStarted(BlockStarted { block, choice, kind: BlockKind::ToolCall(call) }) => {
                    let kind = BlockKind::ToolCall(self.call(block, call));
                    converted.push(Event { step: Step::BlockStarted(BlockStarted { block, choice, kind }), extras });
                }
                Step::BlockDelta(delta) => converted.extend(self.delta(delta, extras)),
                Step::BlockStopped(block) => {
                    converted.extend(self.whole_arguments(block));
                    converted.push(Event { step: Step::BlockStopped(block), extras });
                }
                Step::Failed(error) => {
                    let error = failure::convert(error, self.upstream, self.client);
                    converted.push(Event { step: Step::Failed(error), extras });
                }
                step @ (Step::Started(_)
                | Step::BlockStarted(_)
                | Step::Usage(_)
                | Step::Finished(_)
                | Step::Opaque(_)
                | Step::Ended) => converted.push(Event { step, extras }),
            }
        }
        converted
    }

    /// The bytes that were taken in and not given out.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bridged.iter().map(|call| call.arguments.len()).sum()
    }

    /// A call of a tool as the client declared that.
    fn call(&mut self, block: BlockKey, mut call: ToolCall) -> ToolCall {
        if !call.form.is_clients() {
            return call;
        }
        let form = match self.tools.get(&call.name) {
            Some(tool) => {
                call.name.clone_from(&tool.name);
                call.namespace.clone_from(&tool.namespace);
                tool.form
            }
            None => self.own_form(call.form),
        };
        if form.is_json() != call.form.is_json() {
            self.bridged.push(Bridged { block, form, arguments: String::new() });
        }
        ToolCall { form, ..call }
    }

    /// The form of a tool that the client declared in the form in which the upstream calls it.
    fn own_form(&self, form: ToolForm) -> ToolForm {
        match (form, self.client) {
            (ToolForm::Legacy, _) | (ToolForm::Custom, Dialect::AnthropicMessages | Dialect::Gemini) => {
                ToolForm::Function
            }
            (ToolForm::Function | ToolForm::Custom | ToolForm::Server, _) => form,
        }
    }

    /// Arguments of another form can't be told before they are whole.
    fn delta(&mut self, delta: BlockDelta, extras: Extras) -> Option<Event> {
        let bridged = self.bridged.iter_mut().find(|call| call.block == delta.block);
        let (Some(call), Delta::Arguments(text)) = (bridged, &delta.delta) else {
            return Some(Event { step: Step::BlockDelta(delta), extras });
        };
        call.arguments.push_str(text);
        let unknown = BlockDelta { block: delta.block, delta: Delta::Arguments(String::new()) };
        (!extras.is_empty()).then(|| Event { step: Step::BlockDelta(unknown), extras })
    }

    fn whole_arguments(&mut self, block: BlockKey) -> Option<Event> {
        let at = self.bridged.iter().position(|call| call.block == block)?;
        let Bridged { form, arguments, .. } = self.bridged.swap_remove(at);
        let text = if form.is_json() { json!({"input": arguments}).to_string() } else { free_text(arguments) };
        let delta = BlockDelta { block, delta: Delta::Arguments(text) };
        Some(Step::BlockDelta(delta).into())
    }
}

/// The free text in the arguments `{"input": …}`. A model that writes something else meant that.
fn free_text(arguments: String) -> String {
    match serde_json::from_str(&arguments) {
        Ok(Value::Object(mut object)) => match object.get_mut("input").map(Value::take) {
            Some(Value::String(text)) => text,
            None if object.is_empty() => String::new(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => {
                arguments
            }
        },
        Ok(Value::String(text)) => text,
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | Err(_) => arguments,
    }
}
