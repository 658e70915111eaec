//! The chunks of a block.

use std::collections::BTreeSet;

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, Kind, ToolCall},
    json::Extras,
};
use serde::Deserialize as _;
use serde_json::Value;

use super::Placed;
use crate::{
    Deltas, Piece,
    entry::form_from_name,
    replay::json::{Fields, Unreadable},
};

/// Where a chunk stood.
#[derive(Clone, Copy)]
struct Place {
    seq: u64,
    arrived_us: u64,
}

/// Reads a block. One that was told in parts begins once.
pub(super) fn read(entry: &Value, begun: &mut BTreeSet<u32>, placed: &mut Vec<Placed>) -> Result<(), Unreadable> {
    let block = Fields::of("block", entry)?;
    let content = Fields::of("content", block.get("original").ok_or_else(|| block.wrong("original"))?)?;
    let key = block.small("block")?;
    let deltas = block.get("deltas").map(Deltas::deserialize).transpose().map_err(|_| block.wrong("deltas"))?;
    // Of a block that was only recorded, it is known when it stopped.
    let is_piece = |piece: Piece| !matches!(piece, Piece::Start | Piece::Stop);
    let chunks = match deltas.filter(|deltas| deltas.iter().any(|chunk| is_piece(chunk.piece))) {
        Some(deltas) => as_it_came(&block, &content, &deltas)?,
        None => joined(&block, &content)?,
    };
    for (place, chunk, extras) in chunks {
        let step = match chunk {
            Chunk::Start if !begun.insert(key) => continue,
            Chunk::Start => Step::BlockStarted(BlockStarted {
                block: BlockKey(key),
                choice: block.small("choice")?,
                kind: kind(&block, &content)?,
            }),
            Chunk::Delta(delta) => Step::BlockDelta(BlockDelta { block: BlockKey(key), delta }),
            Chunk::Stop => Step::BlockStopped(BlockKey(key)),
        };
        let Place { seq, arrived_us } = place;
        placed.push(Placed { seq, arrived_us, event: Event { step, extras } });
    }
    Ok(())
}

enum Chunk {
    Start,
    Delta(Delta),
    Stop,
}

type Chunks = Vec<(Place, Chunk, Extras)>;

fn begin(block: &Fields<'_>) -> Result<Place, Unreadable> {
    Ok(Place { seq: block.small("first")?, arrived_us: block.small("arrived_us")? })
}

/// Of a block of which it is on record how it came.
fn as_it_came(block: &Fields<'_>, content: &Fields<'_>, deltas: &Deltas) -> Result<Chunks, Unreadable> {
    let known: Vec<Extras> = extras(content)?;
    let is_arguments = content.has("arguments");
    let text = content.text(if is_arguments { "arguments" } else { "text" })?;
    let mut rest = text.as_str();
    let mut opaque = content.list("opaque", |json| Ok(json.clone()))?.into_iter();
    let mut place = begin(block)?;
    let mut chunks = vec![(place, Chunk::Start, Extras::NONE)];
    for chunk in deltas.iter() {
        place.seq = place.seq.saturating_add(chunk.seqs);
        place.arrived_us = place.arrived_us.saturating_add(chunk.us);
        let extras = chunk.extras.and_then(|at| known.get(at)).cloned().unwrap_or_default();
        let delta = match chunk.piece {
            Piece::Start => {
                chunks[0].2 = extras;
                continue;
            }
            Piece::Stop => {
                chunks.push((place, Chunk::Stop, extras));
                continue;
            }
            Piece::Bytes(length) => {
                let (piece, behind) = rest.split_at_checked(length).ok_or_else(|| block.wrong("deltas"))?;
                rest = behind;
                if is_arguments { Delta::Arguments(piece.to_owned()) } else { Delta::Text(piece.to_owned()) }
            }
            Piece::Signature => Delta::Signature(content.text("signature")?),
            Piece::Opaque => Delta::Opaque(opaque.next().ok_or_else(|| block.wrong("deltas"))?),
        };
        chunks.push((place, Chunk::Delta(delta), extras));
    }
    Ok(chunks)
}

/// Of any other: in one piece of each sort, in the order in which dialects have them.
fn joined(block: &Fields<'_>, content: &Fields<'_>) -> Result<Chunks, Unreadable> {
    let (mut place, last) = (begin(block)?, block.small("last")?);
    let mut extras = extras(content)?.into_iter();
    let mut chunks = vec![(place, Chunk::Start, extras.next().unwrap_or_default())];
    for delta in pieces(content)? {
        place.seq = (place.seq + 1).min(last);
        chunks.push((place, Chunk::Delta(delta), extras.next().unwrap_or_default()));
    }
    if block.flag("stopped")?.unwrap_or_default() {
        chunks.push((Place { seq: last, ..place }, Chunk::Stop, Extras::NONE));
    }
    Ok(chunks)
}

fn extras(content: &Fields<'_>) -> Result<Vec<Extras>, Unreadable> {
    content.list("extras", |extras| Ok(extras.as_object().cloned().unwrap_or_default().into()))
}

fn pieces(content: &Fields<'_>) -> Result<Vec<Delta>, Unreadable> {
    let text = |name, make: fn(String) -> Delta| {
        let text = content.text(name)?;
        Ok((!text.is_empty()).then(|| make(text)))
    };
    let mut deltas: Vec<Delta> = Vec::new();
    deltas.extend(text("text", Delta::Text)?);
    deltas.extend(text("arguments", Delta::Arguments)?);
    deltas.extend(text("signature", Delta::Signature)?);
    deltas.extend(content.list("opaque", |json| Ok(Delta::Opaque(json.clone())))?);
    Ok(deltas)
}

fn kind(block: &Fields<'_>, content: &Fields<'_>) -> Result<BlockKind, Unreadable> {
    let name = block.text("kind")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| block.wrong("kind"))?;
    Ok(match kind {
        Kind::Text => BlockKind::Text,
        Kind::Refusal => BlockKind::Refusal,
        Kind::Thinking if content.has("redacted") => BlockKind::RedactedThinking { data: content.text("redacted")? },
        Kind::Thinking => BlockKind::Thinking { field: String::new(), id: content.text("id")? },
        Kind::Opaque => BlockKind::Opaque(content.get("json").cloned().unwrap_or_default()),
        Kind::ToolCall => BlockKind::ToolCall(ToolCall {
            id: content.text("id")?,
            name: content.text("name")?,
            namespace: content.text("namespace")?,
            form: content.read("form", |form| form_from_name(form.as_str()?))?.ok_or_else(|| content.wrong("form"))?,
            type_: content.text("call_type")?,
        }),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_block_comes_again_in_the_chunks_that_it_came_in() {
        let entry = json!({
            "type": "block", "choice": 0, "block": 3, "kind": "thinking", "first": 5, "last": 12, "arrived_us": 100,
            "stopped": true,
            "original": { "text": "hé!", "signature": "proof", "opaque": [{ "later": 1 }], "extras": [{ "a": 1 }] },
            "deltas": [[0, 0, "start", 0], [1, 10, 3], [2, 0, 1], [1, 5, "opaque"], [1, 0, "signature"], [2, 7, "stop"]],
        });
        let mut placed = Vec::new();
        read(&entry, &mut BTreeSet::new(), &mut placed).expect("it can be read");
        let extras = || Extras::from_text(r#"{"a":1}"#).expect("an object");
        let delta = |delta| Step::BlockDelta(BlockDelta { block: BlockKey(3), delta });
        let kind = BlockKind::Thinking { field: String::new(), id: String::new() };
        let expected = [
            (5, 100, Step::BlockStarted(BlockStarted { block: BlockKey(3), choice: 0, kind }), extras()),
            (6, 110, delta(Delta::Text("hé".to_owned())), Extras::NONE),
            (8, 110, delta(Delta::Text("!".to_owned())), Extras::NONE),
            (9, 115, delta(Delta::Opaque(json!({ "later": 1 }))), Extras::NONE),
            (10, 115, delta(Delta::Signature("proof".to_owned())), Extras::NONE),
            (12, 122, Step::BlockStopped(BlockKey(3)), Extras::NONE),
        ];
        let read: Vec<_> =
            placed.into_iter().map(|it| (it.seq, it.arrived_us, it.event.step, it.event.extras)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let mut entry = json!({
            "type": "block", "choice": 0, "block": 3, "kind": "text", "first": 5, "last": 12, "arrived_us": 100,
            "stopped": true, "original": { "text": "é" },
        });
        for deltas in [json!([[1, 0, 1]]), json!([[1, 0, 3]]), json!([[1, 0]]), json!([[1, 0, "opaque"]])] {
            entry["deltas"] = deltas;
            let error = read(&entry, &mut BTreeSet::new(), &mut Vec::new()).expect_err("nobody can read it");
            assert_eq!(error, Unreadable("block.deltas".to_owned()));
        }
    }
}
