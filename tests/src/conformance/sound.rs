//! Whether a message of the service says what it has to say, and nothing that can't be.

use std::collections::BTreeSet;

use luthien_proto::wire::{
    Admission, Annotation, Answer, Edit, Event, Verdict, admission::Decision as Admitted, block_delta::Delta,
    block_started::Kind, edit::Edit as Change, event::Event as Step, verdict::Decision,
};
use serde_json::Value;

use super::{gate::is_last, grammar::Grammar};

/// Whether an Admission can be carried out for a request of so many messages.
pub(super) fn admission(admission: &Admission, messages: usize) -> Result<(), String> {
    match &admission.decision {
        None => Err("an Admission decides nothing".to_owned()),
        Some(Admitted::Forward(forward)) => edits(&forward.edits, messages),
        Some(Admitted::Reject(reject)) => match reject.status {
            0 | 400..=599 => Ok(()),
            status => Err(format!("a Reject with status {status}")),
        },
        Some(Admitted::Answer(answer)) => self::answer(answer),
    }
}

/// Whether a revision is one.
pub(super) fn revision(revision: &str) -> Result<(), String> {
    let is_hex = revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && revision.len() == 64 { Ok(()) } else { Err(format!("the revision is {revision:?}")) }
}

fn answer(answer: &Answer) -> Result<(), String> {
    let mut grammar = Grammar::default();
    for event in &answer.events {
        self::event(event)?;
        grammar.write(event).map_err(|error| format!("an Answer that can't be written: {error}"))?;
        if matches!(event.event, Some(Step::Failed(_))) {
            return Err("an Answer that fails".to_owned());
        }
    }
    if !answer.events.last().is_some_and(is_last) {
        return Err("an Answer without Ended".to_owned());
    }
    grammar.open_call().map_or(Ok(()), |key| Err(format!("an Answer in which tool call {key} does not stop")))
}

fn edits(edits: &[Edit], messages: usize) -> Result<(), String> {
    let mut changed = BTreeSet::new();
    for edit in edits {
        let (position, limit) = match &edit.edit {
            None => return Err("an edit that changes nothing".to_owned()),
            Some(Change::ReplaceMessage(at)) => (Some(at.position), messages),
            Some(Change::DropMessage(position)) => (Some(*position), messages),
            Some(Change::InsertMessage(at)) if at.position as usize > messages => {
                return Err(format!("an edit inserts at {}, and there are {messages} messages", at.position));
            }
            Some(Change::Field(field)) if !field.json.is_empty() => {
                json(&field.json, "an edit of a field")?;
                (None, messages)
            }
            Some(
                Change::InsertMessage(_)
                | Change::System(_)
                | Change::Tools(_)
                | Change::Sampling(_)
                | Change::Field(_),
            ) => (None, messages),
        };
        if let Some(position) = position {
            if position as usize >= limit {
                return Err(format!("an edit of message {position}, and there are {limit}"));
            }
            if !changed.insert(position) {
                return Err(format!("two edits of message {position}"));
            }
        }
    }
    Ok(())
}

/// Whether a Verdict can be read.
pub(super) fn verdict(verdict: &Verdict) -> Result<(), String> {
    let events = match &verdict.decision {
        None => return Err(format!("a Verdict through {} decides nothing", verdict.through)),
        Some(Decision::Pass(_)) => &[][..],
        Some(Decision::Replace(replace)) => &replace.events,
        Some(Decision::End(end)) => &end.events,
    };
    events.iter().try_for_each(event)?;
    verdict.annotations.iter().try_for_each(annotation)
}

fn annotation(annotation: &Annotation) -> Result<(), String> {
    object(&annotation.details_json, "the details of an annotation")
}

fn event(event: &Event) -> Result<(), String> {
    object(&event.extras_json, "the extras of an event")?;
    match &event.event {
        None => Err("an event says nothing".to_owned()),
        Some(Step::BlockStarted(started)) => match &started.kind {
            None => Err(format!("block {} is of no kind", started.block)),
            Some(Kind::Opaque(opaque)) => json(&opaque.json, "an opaque block"),
            Some(
                Kind::Text(_) | Kind::Thinking(_) | Kind::RedactedThinking(_) | Kind::Refusal(_) | Kind::ToolCall(_),
            ) => Ok(()),
        },
        Some(Step::BlockDelta(delta)) => match &delta.delta {
            None => Err(format!("a piece of block {} is nothing", delta.block)),
            Some(Delta::OpaqueJson(text)) => json(text, "an opaque piece"),
            Some(Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_)) => Ok(()),
        },
        Some(Step::Opaque(opaque)) => json(&opaque.json, "an opaque step"),
        Some(Step::Failed(failed)) if failed.error.is_none() => Err("a Failed without its error".to_owned()),
        Some(
            Step::Started(_)
            | Step::BlockStopped(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Ended(_)
            | Step::Failed(_),
        ) => Ok(()),
    }
}

fn object(text: &str, what: &str) -> Result<(), String> {
    match text {
        "" => Ok(()),
        text => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(_)) => Ok(()),
            Ok(_) => Err(format!("{what} are no JSON object")),
            Err(error) => Err(format!("{what} are no JSON: {error}")),
        },
    }
}

fn json(text: &str, what: &str) -> Result<(), String> {
    serde_json::from_str::<Value>(text).map(drop).map_err(|error| format!("{what} is no JSON: {error}"))
}
