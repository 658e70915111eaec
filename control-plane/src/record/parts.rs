//! Parts of blocks, put together: of a block that is on record whole they say nothing new, of another one they are all
//! that is known.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Entry;

#[derive(Deserialize)]
struct Of {
    block: u64,
}

/// The entries of an epoch without the parts of blocks that are whole.
pub(crate) fn without_superseded(entries: Vec<Entry>) -> Vec<Entry> {
    let block = |entry: &Entry| serde_json::from_str::<Of>(&entry.body).ok().map(|of| of.block);
    if !entries.iter().any(|entry| entry.kind == "part") {
        return entries;
    }
    let whole: BTreeSet<u64> = entries.iter().filter(|entry| entry.kind == "block").filter_map(block).collect();
    let says_more = |entry: &Entry| entry.kind != "part" || block(entry).is_none_or(|block| !whole.contains(&block));
    entries.into_iter().filter(says_more).collect()
}

/// The bodies of entries, of which parts become the blocks that they are of, as far as those are known.
pub(crate) fn joined(bodies: Vec<Value>) -> Vec<Value> {
    let mut blocks: BTreeMap<u64, Value> = BTreeMap::new();
    let (parts, mut rest): (Vec<Value>, Vec<Value>) = bodies.into_iter().partition(|body| body["type"] == "part");
    let whole: BTreeSet<u64> =
        rest.iter().filter(|body| body["type"] == "block").filter_map(|body| body["block"].as_u64()).collect();
    for mut part in parts {
        let Some(block) = part["block"].as_u64().filter(|block| !whole.contains(block)) else { continue };
        if part["unchanged"] == true {
            part["final"] = part["original"].clone();
        }
        match blocks.get_mut(&block) {
            None => {
                part["type"] = "block".into();
                part["stopped"] = false.into();
                blocks.insert(block, part);
            }
            Some(known) => {
                known["last"] = part["last"].take();
                for side in ["original", "final"] {
                    add(&mut known[side], part[side].take());
                }
            }
        }
    }
    for (_, mut block) in blocks {
        block["unchanged"] = (block["original"] == block["final"]).into();
        rest.push(block);
    }
    rest
}

/// Adds what a part says to what those before it did.
fn add(known: &mut Value, more: Value) {
    match (known, more) {
        (_, Value::Null) => {}
        (known @ Value::Null, more) => *known = more,
        (Value::Object(known), Value::Object(more)) => more.into_iter().for_each(|(name, value)| {
            add_field(known, name, value);
        }),
        (known, more) => *known = more,
    }
}

fn add_field(known: &mut Map<String, Value>, name: String, value: Value) {
    let grows = matches!(name.as_str(), "text" | "arguments");
    match (known.get_mut(&name), value) {
        (Some(Value::String(text)), Value::String(more)) if grows => text.push_str(&more),
        (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
        (_, Value::Null) => {}
        (_, value) => {
            known.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn part(block: u32, first: u64, original: &Value, settled: Option<&Value>) -> Value {
        let mut part = json!({
            "type": "part", "choice": 0, "block": block, "kind": "text", "first": first, "last": first,
            "unchanged": settled.is_none(), "original": original,
        });
        if let Some(settled) = settled {
            part["final"] = settled.clone();
        }
        part
    }

    #[test]
    fn parts_are_put_together() {
        let bodies = vec![
            part(0, 1, &json!({"text": "a c"}), Some(&json!({"text": "a "}))),
            json!({"type": "step", "step": "usage"}),
            part(0, 2, &json!({"text": "ool", "opaque": [1]}), Some(&json!({"text": "radical"}))),
            part(0, 5, &json!({"text": " day", "opaque": [2], "signature": "s"}), None),
            part(1, 6, &json!({"text": "whole"}), None),
            json!({"type": "block", "block": 1}),
        ];
        let joined = joined(bodies);
        assert_eq!(joined[0]["type"], "step");
        assert_eq!((joined.len(), &joined[1]["block"]), (3, &json!(1)));
        assert_eq!(joined[2]["original"], json!({"text": "a cool day", "opaque": [1, 2], "signature": "s"}));
        assert_eq!(joined[2]["final"], json!({"text": "a radical day", "opaque": [2], "signature": "s"}));
        assert_eq!((&joined[2]["unchanged"], &joined[2]["last"]), (&json!(false), &json!(5)));
    }

    #[test]
    fn parts_of_what_is_whole_are_left_out() {
        let bodies = [
            part(0, 1, &json!({"text": "a"}), None),
            part(1, 2, &json!({"text": "b"}), None),
            json!({"type": "block", "block": 0}),
        ];
        let entry = |(seq, body): (u64, &Value)| {
            let kind = body["type"].as_str().unwrap().to_owned().into();
            Entry { call_id: Uuid::nil(), epoch: 0, seq, at_us: 0, kind, body: body.to_string() }
        };
        let seqs = |entries: Vec<Entry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
        assert_eq!(seqs(without_superseded((0..).zip(&bodies).map(entry).collect())), [1, 2]);
    }
}
