//! A call before and after its policies: what was received beside what was sent on, the request's parts and the
//! response's blocks each for itself.

mod side;
mod words;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::record::{Entry, FullCall, StoreError, joined};
use side::{Sides, Status};
use words::Budget;

/// A call before and after its policies.
#[derive(Serialize, ToSchema)]
#[schema(as = Diff)]
pub(in crate::admin) struct DiffView {
    call_id: Uuid,
    /// `null`: the call runs, or its data plane died with its control plane; there may be more to come.
    outcome: Option<&'static str>,
    request: RequestDiff,
    response: ResponseDiff,
}

/// The request as it was received, and as it was sent upstream.
#[derive(Serialize, ToSchema)]
struct RequestDiff {
    status: Status,
    /// The model as the client named it, and as the upstream is asked for it: routes rename, not policies.
    model: Sides,
    system: Vec<Sides>,
    messages: Vec<MessageDiff>,
    /// All else: tools, sampling, unknown fields.
    parameters: Sides,
}

#[derive(Serialize, ToSchema)]
struct MessageDiff {
    role: Value,
    #[serde(flatten)]
    sides: Sides,
}

/// The response as the model gave it, and as the policies settled it.
#[derive(Serialize, ToSchema)]
struct ResponseDiff {
    status: Status,
    blocks: Vec<BlockDiff>,
    /// Of the steps that belong to no block, those that differ.
    steps: Vec<StepDiff>,
}

#[derive(Serialize, ToSchema)]
struct BlockDiff {
    choice: Value,
    block: Value,
    kind: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    tool: Value,
    first: Value,
    last: Value,
    #[serde(flatten)]
    sides: Sides,
}

#[derive(Serialize, ToSchema)]
struct StepDiff {
    seq: Value,
    step: Value,
    #[serde(flatten)]
    sides: Sides,
}

/// Whether a request goes upstream, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    /// It was refused, or answered.
    KeptBack,
}

impl DiffView {
    /// Compares what is on record. It takes time: not for a thread that others wait for.
    ///
    /// # Errors
    /// An entry is not what was written.
    pub fn new(call: &FullCall) -> Result<Self, StoreError> {
        let bodies = compared(call.entries_of(call.epoch()))?;
        let of_type = |type_: &'static str| bodies.iter().filter(move |body| body["type"] == type_);
        let mut budget = Budget::default();
        let is_kept_back = of_type("admission").any(|admission| admission["decision"] != "forward");
        let fate = if is_kept_back { Fate::KeptBack } else { Fate::Sent };
        let request = of_type("request").next().cloned().unwrap_or_default();
        Ok(Self {
            call_id: call.summary.call_id,
            outcome: call.summary.outcome.map(|outcome| outcome.name()),
            request: RequestDiff::new(request, fate, &mut budget),
            response: ResponseDiff::new(of_type("block"), of_type("step"), &mut budget),
        })
    }
}

/// The bodies that are compared.
fn compared(entries: &[Entry]) -> Result<Vec<Value>, StoreError> {
    let is_compared = |entry: &&Entry| ["request", "admission", "block", "part", "step"].contains(&entry.kind.as_ref());
    let read = |entry: &Entry| {
        serde_json::from_str(&entry.body).map_err(|_| StoreError::Inconsistent {
            table: "entries",
            column: "body",
            call_id: entry.call_id.to_string(),
        })
    };
    Ok(joined(entries.iter().filter(is_compared).map(read).collect::<Result<_, _>>()?))
}

impl RequestDiff {
    fn new(mut entry: Value, fate: Fate, budget: &mut Budget) -> Self {
        let mut request = match entry["request"].take() {
            Value::Object(request) => request,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        };
        let mut same = |original: Value| match fate {
            Fate::Sent => Sides::unchanged(original),
            Fate::KeptBack => Sides::of(original, Value::Null, budget),
        };
        let system = list(&mut request, "system").into_iter().map(&mut same).collect();
        let message = |original: Value| MessageDiff { role: original["role"].clone(), sides: same(original) };
        let messages = list(&mut request, "messages").into_iter().map(message).collect();
        let parameters = same(Value::Object(request));
        let sent_model = if fate == Fate::Sent { entry["upstream_model"].take() } else { Value::Null };
        let model = Sides::of(entry["model"].take(), sent_model, budget);
        let mut diff = Self { status: Status::Unchanged, model, system, messages, parameters };
        diff.status = Status::of_all(diff.sides());
        diff
    }

    fn sides(&self) -> impl Iterator<Item = &Sides> {
        let messages = self.messages.iter().map(|message| &message.sides);
        [&self.model, &self.parameters].into_iter().chain(&self.system).chain(messages)
    }
}

impl ResponseDiff {
    fn new<'a>(
        blocks: impl Iterator<Item = &'a Value>,
        steps: impl Iterator<Item = &'a Value>,
        budget: &mut Budget,
    ) -> Self {
        let blocks: Vec<BlockDiff> = blocks.map(|entry| BlockDiff::new(entry, budget)).collect();
        let changed = steps.filter(|entry| entry["unchanged"] != true);
        let steps: Vec<StepDiff> = changed.map(|entry| StepDiff::new(entry, budget)).collect();
        let sides = blocks.iter().map(|block| &block.sides).chain(steps.iter().map(|step| &step.sides));
        Self { status: Status::of_all(sides), blocks, steps }
    }
}

impl BlockDiff {
    fn new(entry: &Value, budget: &mut Budget) -> Self {
        let field = |name: &str| entry[name].clone();
        Self {
            choice: field("choice"),
            block: field("block"),
            kind: field("kind"),
            tool: field("tool"),
            first: field("first"),
            last: field("last"),
            sides: Sides::of(field("original"), field("final"), budget),
        }
    }
}

impl StepDiff {
    fn new(entry: &Value, budget: &mut Budget) -> Self {
        let sides = Sides::of(entry["original"].clone(), entry["final"].clone(), budget);
        Self { seq: entry["seq"].clone(), step: entry["step"].clone(), sides }
    }
}

/// The items of a list, which is left out on record where it is empty.
fn list(request: &mut Map<String, Value>, key: &str) -> Vec<Value> {
    match request.remove(key) {
        Some(Value::Array(items)) => items,
        Some(other) => vec![other],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn entry(epoch: u32, body: &Value) -> Entry {
        let kind = body["type"].as_str().unwrap().to_owned().into();
        Entry { call_id: Uuid::nil(), epoch, seq: 0, at_us: 0, kind, body: body.to_string() }
    }

    #[test]
    fn of_a_refused_call_nothing_was_sent() {
        let entry = json!({
            "model": "fast",
            "upstream_model": "gpt-5-mini",
            "request": { "stream": true, "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] },
        });
        let diff = RequestDiff::new(entry, Fate::KeptBack, &mut Budget::default());
        let diff = serde_json::to_value(diff).unwrap();
        assert_eq!(diff["status"], "changed");
        for part in [&diff["model"], &diff["messages"][0], &diff["parameters"]] {
            assert_eq!((&part["status"], &part["final"]), (&json!("withheld"), &Value::Null));
        }
        expect![[r#"[{"op":"delete","text":"fast"}]"#]].assert_eq(&diff["model"]["words"].to_string());
    }

    #[test]
    fn an_entry_that_is_no_json_is_told() {
        let broken = Entry { body: "{".into(), ..entry(0, &json!({ "type": "block" })) };
        assert!(matches!(compared(&[broken]), Err(StoreError::Inconsistent { column: "body", .. })));
    }
}
