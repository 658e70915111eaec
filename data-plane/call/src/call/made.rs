//! A response that policies made in place of any upstream's.

use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockKind, Usage},
    json::Extras,
    message::{Answer, Interest, Level},
    proxy::turn::is_clients_tool_call,
    request::{Dialect, Request},
};
use serde_json::Value;

use super::{
    fault::Fault,
    judged::{Judged, Recipient},
    life::{Call, Client, Upstream},
};
use crate::{
    conversion::{call_id, wants_usage},
    dialect,
};

impl Call {
    /// The policies answer: no upstream is asked, and nothing of it waits for a verdict.
    pub(super) fn answered(&mut self, answer: Answer) {
        if matches!(self.client, Client::Gone) {
            return;
        }
        self.upstream = Upstream::Over;
        self.judged = Judged::new(&self.recipient, Interest::all(Level::Gate), &[]);
        let made = self.asked().and_then(|asked| complete(answer, &asked, &self.recipient));
        if let Err(fault) = made.and_then(|events| self.judged.end_with(events)) {
            self.service_fault(fault);
        }
    }
}

/// All events of an answer but its end, and what a provider of the client's dialect would have said besides.
fn complete(answer: Answer, asked: &Request, recipient: &Recipient) -> Result<Vec<Event>, Fault> {
    let mut events = answer.into_events();
    events.pop();
    if let Some(BlockKey(key)) = open_call(&events) {
        return Err(Fault::Protocol(format!("its answer has a tool call that does not stop, {key}")));
    }
    start(&mut events, asked, recipient);
    if !events.iter().any(|event| matches!(event.step, Step::Usage(_))) {
        let nothing = Usage { input: Some(0), output: Some(0), ..Usage::default() };
        events.insert(1, Step::Usage(nothing).into());
    }
    // Where the upstream speaks another dialect, this is done to whatever leaves.
    if recipient.conversion.is_none() {
        name_calls(&mut events, recipient);
        let is_told = !asked.stream || wants_usage(asked, recipient.dialect);
        events.retain(|event| is_told || !matches!(event.step, Step::Usage(_)));
    }
    Ok(events)
}

/// A tool call that the client would wait for.
fn open_call(events: &[Event]) -> Option<BlockKey> {
    let mut open = Vec::new();
    for event in events {
        match &event.step {
            Step::BlockStarted(started) if is_clients_tool_call(&started.kind) => open.push(started.block),
            Step::BlockStopped(key) => open.retain(|block| block != key),
            Step::BlockStarted(_)
            | Step::Started(_)
            | Step::BlockDelta(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => {}
        }
    }
    open.first().copied()
}

/// Its first event is a whole Started.
fn start(events: &mut Vec<Event>, asked: &Request, recipient: &Recipient) {
    let own = &recipient.stand_in;
    match events.first_mut() {
        Some(Event { step: Step::Started(started), .. }) => {
            if started.id.is_empty() {
                started.id.clone_from(&own.id);
            }
            if started.model.is_empty() {
                started.model.clone_from(&own.model);
            }
        }
        Some(_) | None => events.insert(0, Step::Started(own.clone()).into()),
    }
    if let (None, Some(event)) = (&recipient.conversion, events.first_mut()) {
        repeat(&mut event.extras, asked, recipient.dialect);
    }
}

/// What a response repeats of its request.
fn repeat(extras: &mut Extras, asked: &Request, dialect: Dialect) {
    const PLACE: &str = "response";
    let mut echo = dialect::echo(dialect, asked);
    if !echo.is_empty() && extras.get(PLACE).is_none() {
        // There is no provider that could keep it.
        echo.insert("store", Value::Bool(false));
        extras.insert(PLACE, Value::Object(echo.into_map()));
    }
}

/// Every call of a tool has an id.
fn name_calls(events: &mut [Event], recipient: &Recipient) {
    let response = recipient.stand_in.id.clone();
    let mut calls = 0;
    for event in events {
        if let Step::BlockStarted(started) = &mut event.step
            && let BlockKind::ToolCall(call) = &mut started.kind
        {
            if call.id.is_empty() {
                call.id = call_id(recipient.dialect, "", &response, calls);
            }
            calls += 1;
        }
    }
}
