//! Steps, one a line, as the golden cases list them.

use luthien_proto::{
    Event, Step,
    event::{BlockKind, Delta, ToolForm},
};

/// A step in a line: its name, what it says, and its extras.
pub(crate) fn step(event: &Event) -> String {
    let mut line = match &event.step {
        Step::Started(started) => {
            let created = started.created.map(|created| format!(" created={created}")).unwrap_or_default();
            format!("Started {} {}{created}", started.id, started.model)
        }
        Step::BlockStarted(started) => {
            let choice = if started.choice == 0 { String::new() } else { format!(" choice={}", started.choice) };
            format!("#{}{choice} {}", started.block.0, kind(&started.kind))
        }
        Step::BlockDelta(delta) => match &delta.delta {
            Delta::Text(text) => format!("#{} + {text:?}", delta.block.0),
            Delta::Arguments(text) => format!("#{} + arguments {text:?}", delta.block.0),
            Delta::Signature(text) => format!("#{} + signature {text:?}", delta.block.0),
            Delta::Opaque(value) => format!("#{} + opaque {value}", delta.block.0),
        },
        Step::BlockStopped(block) => format!("#{} .", block.0),
        Step::Usage(usage) => {
            let numbers = [
                ("input", usage.input),
                ("cache_read", usage.cache_read),
                ("cache_write", usage.cache_write),
                ("output", usage.output),
                ("thinking", usage.thinking),
            ];
            let numbers = numbers.iter().filter_map(|(name, number)| Some(format!(" {name}={}", (*number)?)));
            format!("Usage{}", numbers.collect::<String>())
        }
        Step::Finished(finished) => {
            let choice = if finished.choice == 0 { String::new() } else { format!(" choice={}", finished.choice) };
            let word = if finished.word.is_empty() { String::new() } else { format!(" {:?}", finished.word) };
            let stop = finished.stop_sequence.as_ref().map(|stop| format!(" at {stop:?}")).unwrap_or_default();
            format!("Finished{choice} {:?}{word}{stop}", finished.reason)
        }
        Step::Opaque(value) => format!("Opaque {value}"),
        Step::Ended => "Ended".to_owned(),
        Step::Failed(error) => format!("Failed {error:?}"),
    };
    if !event.extras.is_empty() {
        line.push_str(&format!("  {:?}", event.extras));
    }
    line
}

fn kind(kind: &BlockKind) -> String {
    match kind {
        BlockKind::Text => "Text".to_owned(),
        BlockKind::Thinking { field, id } if field.is_empty() && id.is_empty() => "Thinking".to_owned(),
        BlockKind::Thinking { field, id } if field.is_empty() => format!("Thinking {id}"),
        BlockKind::Thinking { field, .. } => format!("Thinking in {field}"),
        BlockKind::RedactedThinking { data } => format!("RedactedThinking {data:?}"),
        BlockKind::Refusal => "Refusal".to_owned(),
        BlockKind::ToolCall(call) => {
            let form = match call.form {
                ToolForm::Function => String::new(),
                ToolForm::Custom => " custom".to_owned(),
                ToolForm::Legacy => " legacy".to_owned(),
                ToolForm::Server => format!(" server {}", call.type_),
            };
            let group = if call.namespace.is_empty() { String::new() } else { format!(" of {}", call.namespace) };
            format!("ToolCall {:?} {}{form}{group}", call.id, call.name)
        }
        BlockKind::Opaque(value) => format!("Opaque {value}"),
    }
}
