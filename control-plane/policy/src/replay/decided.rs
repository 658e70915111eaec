//! What policies decided of a call, and where two decisions differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

/// What policies decided of a call, as its entries tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    admission: Option<Side>,
    /// By choice and key.
    blocks: BTreeMap<(u64, u64), Block>,
    /// Steps that belong to no block, by name, in order.
    steps: BTreeMap<String, Vec<Step>>,
    end: Option<Side>,
}

#[derive(Clone, Debug, PartialEq)]
struct Block {
    kind: String,
    tool: Option<String>,
    first: u64,
    last: u64,
    side: Side,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    seq: u64,
    side: Side,
}

/// What one of the two decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Side {
    /// `forward`, `reject`, `answer`, `pass`, `replace`, `withhold`, `make` (a policy's own words), `end`, `fail`, `none` (it does not
    /// come to it).
    pub decision: String,
    /// The policies that caused it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub policies: BTreeSet<String>,
    /// What the client gets, or is told; for `forward` the request as it was changed.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub content: Value,
}

/// A place where two decisions differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `admission`, `block`, `step`, `end`.
    pub at: &'static str,
    /// The kind of the block, or the name of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The tool, of a tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The seq of its first chunk, by the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// As it is on record.
    pub before: Side,
    /// As the other policies decide it.
    pub after: Side,
}

impl Decided {
    pub(super) fn of(entries: &[Value]) -> Self {
        let mut decided = Self::default();
        for entry in entries {
            match entry["type"].as_str() {
                Some("admission") => decided.admission = Some(admission(entry)),
                Some("block") => decided.block(entry),
                Some("step") => decided.step(entry),
                Some("verdict") => decided.end = decided.end.take().or_else(|| end(entry)),
                _ => {}
            }
        }
        for verdict in entries.iter().filter(|entry| entry["type"] == "verdict") {
            decided.attribute(verdict);
        }
        if let Some(answered) = decided.admission.clone().filter(|admission| admission.decision == "answer") {
            decided.sides().for_each(|side| side.policies.extend(answered.policies.iter().cloned()));
        }
        decided
    }

    fn block(&mut self, entry: &Value) {
        let number = |name: &str| entry[name].as_u64().unwrap_or_default();
        let side = side(entry);
        let new = || Block {
            kind: entry["kind"].as_str().unwrap_or_default().to_owned(),
            tool: entry["tool"].as_str().map(str::to_owned),
            first: number("first"),
            last: number("last"),
            side: Side::default(),
        };
        let block = self.blocks.entry((number("choice"), number("block"))).or_insert_with(new);
        block.last = number("last");
        block.side.decision = side.decision;
        join(&mut block.side.content, side.content);
    }

    fn step(&mut self, entry: &Value) {
        let name = entry["step"].as_str().unwrap_or_default();
        // What a call has cost is no decision, and is on record only where it was changed.
        if name != "usage" || entry["unchanged"] != true {
            let seq = entry["seq"].as_u64().unwrap_or_default();
            self.steps.entry(name.to_owned()).or_default().push(Step { seq, side: side(entry) });
        }
    }

    fn sides(&mut self) -> impl Iterator<Item = &mut Side> {
        let blocks = self.blocks.values_mut().map(|block| &mut block.side);
        blocks.chain(self.steps.values_mut().flatten().map(|step| &mut step.side))
    }

    /// Who decided: those of the verdicts on a block's chunks.
    fn attribute(&mut self, verdict: &Value) {
        let number = |name: &str| verdict[name].as_u64().unwrap_or_default();
        let (first, through) = (number("first"), number("through"));
        let policies = policies(verdict);
        let sides = self.blocks.values_mut().filter(|block| block.first <= through && first <= block.last);
        let steps = self.steps.values_mut().flatten().filter(|step| (first..=through).contains(&step.seq));
        for side in sides.map(|block| &mut block.side).chain(steps.map(|step| &mut step.side)) {
            if side.decision != "pass" {
                side.policies.extend(policies.iter().cloned());
            }
        }
    }
}

/// Where what was decided differs.
pub fn differences(before: &Decided, after: &Decided) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut compare = |difference: Difference| {
        let is_same = difference.before.decision == difference.after.decision
            && difference.before.content == difference.after.content;
        if !is_same {
            differences.push(difference);
        }
    };
    let whole = |at, before: &Option<Side>, after: &Option<Side>| Difference {
        at,
        kind: None,
        tool: None,
        seq: None,
        before: before.clone().unwrap_or_else(none),
        after: after.clone().unwrap_or_else(none),
    };
    compare(whole("admission", &before.admission, &after.admission));
    let keys: BTreeSet<_> = before.blocks.keys().chain(after.blocks.keys()).collect();
    for key in keys {
        let (before, after) = (before.blocks.get(key), after.blocks.get(key));
        let Some(known) = before.or(after) else { continue };
        compare(Difference {
            at: "block",
            kind: Some(known.kind.clone()),
            tool: known.tool.clone(),
            seq: before.map(|block| block.first),
            before: before.map_or_else(none, |block| block.side.clone()),
            after: after.map_or_else(none, |block| block.side.clone()),
        });
    }
    let names: BTreeSet<_> = before.steps.keys().chain(after.steps.keys()).collect();
    for name in names {
        let of = |decided: &Decided| decided.steps.get(name).cloned().unwrap_or_default();
        let (before, after) = (of(before), of(after));
        for at in 0..before.len().max(after.len()) {
            compare(Difference {
                at: "step",
                kind: Some(name.clone()),
                tool: None,
                seq: before.get(at).map(|step| step.seq),
                before: before.get(at).map_or_else(none, |step| step.side.clone()),
                after: after.get(at).map_or_else(none, |step| step.side.clone()),
            });
        }
    }
    compare(whole("end", &before.end, &after.end));
    differences
}

fn none() -> Side {
    Side { decision: "none".to_owned(), ..Side::default() }
}

fn admission(entry: &Value) -> Side {
    let content = match entry["decision"].as_str() {
        Some("reject") => json!({ "status": entry["status"], "message": entry["message"] }),
        _ => entry["sent"].clone(),
    };
    let policies = entry["policy"].as_str().map(str::to_owned).into_iter().collect();
    Side { decision: entry["decision"].as_str().unwrap_or_default().to_owned(), policies, content }
}

/// Of a verdict that ends the response.
fn end(verdict: &Value) -> Option<Side> {
    let decision = verdict["decision"].as_str().filter(|decision| matches!(*decision, "end" | "fail"))?;
    Some(Side {
        decision: decision.to_owned(),
        policies: policies(verdict).into_iter().collect(),
        content: Value::Null,
    })
}

/// Of a block or a step.
fn side(entry: &Value) -> Side {
    let decision = match (entry["unchanged"] == true, &entry["original"], &entry["final"]) {
        (true, _, _) => "pass",
        (false, Value::Null, _) => "make",
        (false, _, Value::Null) => "withhold",
        (false, _, _) => "replace",
    };
    let mut content = if decision == "pass" { entry["original"].clone() } else { entry["final"].clone() };
    // The record does not say which chunks of a block they stood in.
    if entry["type"] == "block"
        && let Value::Object(content) = &mut content
    {
        content.shift_remove("extras");
    }
    Side { decision: decision.to_owned(), policies: BTreeSet::new(), content }
}

fn policies(verdict: &Value) -> Vec<String> {
    let policies = verdict["policies"].as_array().into_iter().flatten();
    policies.filter_map(|policy| policy.as_str().map(str::to_owned)).collect()
}

/// Puts the next part of a block behind the one before.
fn join(content: &mut Value, more: Value) {
    match (&mut *content, more) {
        (Value::Object(content), Value::Object(more)) => join_fields(content, more),
        (content, more) => *content = more,
    }
}

fn join_fields(content: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (content.get_mut(&name), value) {
            (Some(Value::String(text)), Value::String(more)) if name == "text" || name == "arguments" => {
                text.push_str(&more);
            }
            (Some(Value::Array(items)), Value::Array(more)) => items.extend(more),
            (_, value) => drop(content.insert(name, value)),
        }
    }
}
