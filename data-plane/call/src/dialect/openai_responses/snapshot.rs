//! The response itself: what every event that tells it whole repeats.

use luthien_proto::{
    Event, Step,
    event::{CallError, Finished, Started, Usage},
    json::Extras,
};
use serde_json::{Value, json};

use super::{
    failure, place,
    rest::{add, beyond, object, overlay},
    usage, words,
};
use crate::dialect::fields::Object;

/// Fields that are not the snapshot's: each time they say something else, or other steps tell them.
const OWN: [&str; 9] =
    ["id", "object", "created_at", "status", "error", "incomplete_details", "model", "output", "usage"];

/// What is known of a response beside its output.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    started: Started,
    rest: Object,
}

impl Snapshot {
    /// Takes in what a step says of the response.
    pub(super) fn follow(&mut self, event: &Event) {
        match &event.step {
            Step::Started(started) => {
                self.started = started.clone();
                self.put(event.extras.get(place::RESPONSE));
            }
            Step::Opaque(value) => self.put(value.get(place::RESPONSE)),
            Step::Ended | Step::Failed(_) => self.put(event.extras.get(place::RESPONSE)),
            Step::BlockStarted(_)
            | Step::BlockDelta(_)
            | Step::BlockStopped(_)
            | Step::Usage(_)
            | Step::Finished(_) => {}
        }
    }

    fn put(&mut self, said: Option<&Value>) {
        if let Some(Value::Object(said)) = said {
            overlay(&mut self.rest, said, &OWN);
        }
    }

    /// The id of the response.
    pub(super) fn id(&self) -> &str {
        &self.started.id
    }

    /// What an event says of the response beyond what is known.
    pub(super) fn beyond(&self, mut said: Object) -> Object {
        let is_number = |value: Option<&Value>| value.and_then(Value::as_i64).is_some();
        if is_number(said.get("created_at")) && said.get("created_at").and_then(Value::as_i64) == self.started.created {
            said.shift_remove("created_at");
        }
        let known = object(json!({"id": self.started.id, "model": self.started.model, "object": "response"}));
        beyond(beyond(said, &known), &self.rest)
    }

    /// The response while it is being made.
    pub(super) fn in_progress(&self) -> Value {
        self.whole("in_progress", None, None, Vec::new(), None)
    }

    /// The response at its end.
    pub(super) fn ended(&self, finished: &Finished, output: Vec<Value>, usage: Option<&Usage>) -> Value {
        let end = words::end(finished);
        self.whole(end.status, end.reason, None, output, usage)
    }

    /// The response as it failed.
    pub(super) fn failed(&self, error: &CallError, output: Vec<Value>, usage: Option<&Usage>) -> Value {
        self.whole("failed", None, Some(error), output, usage)
    }

    fn whole(
        &self,
        status: &str,
        reason: Option<&str>,
        error: Option<&CallError>,
        output: Vec<Value>,
        usage: Option<&Usage>,
    ) -> Value {
        let mut response = object(json!({
            "id": self.started.id,
            "object": "response",
            "created_at": self.started.created.unwrap_or(0),
            "status": status,
            "error": error.map(failure::json),
            "incomplete_details": reason.map(|reason| json!({"reason": reason})),
            "model": self.started.model,
            "output": output,
        }));
        // Clients rely on these.
        for (key, made) in [("parallel_tool_calls", json!(true)), ("tool_choice", json!("auto")), ("tools", json!([]))]
        {
            response.insert(key.to_owned(), self.rest.get(key).cloned().unwrap_or(made));
        }
        add(&mut response, &self.rest);
        response.insert("usage".to_owned(), usage.map(usage::object).into());
        Value::Object(response)
    }
}

/// The place of what is left of a response in the extras of a step.
pub(super) fn extras(mut event: Object, response: Object) -> Extras {
    if !response.is_empty() {
        event.insert(place::RESPONSE.to_owned(), Value::Object(response));
    }
    event.into()
}
