//! What stands in place of a refused tool call.

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta},
};

/// A text with placeholders in it.
pub(super) struct Template(pub String);

impl Template {
    /// The template filled in. What is put in is not searched again.
    pub fn fill(&self, values: &[(&str, &str)]) -> String {
        let mut filled = String::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let found = values.iter().find(|(placeholder, _)| rest.starts_with(placeholder));
            let (value, length) = found.map_or(("{", 1), |(placeholder, value)| (*value, placeholder.len()));
            filled.push_str(value);
            rest = &rest[length..];
        }
        filled + rest
    }
}

/// A block of text, whole.
pub(super) fn text_block(block: BlockKey, choice: u32, text: String) -> Vec<Event> {
    let steps = [
        Step::BlockStarted(BlockStarted { block, choice, kind: BlockKind::Text }),
        Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }),
        Step::BlockStopped(block),
    ];
    steps.into_iter().map(Event::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_once() {
        let template = Template("{tool_name}({tool_arguments}): {reason} {other} {".to_owned());
        let values = [("{tool_name}", "a"), ("{tool_arguments}", "{reason}"), ("{reason}", "{tool_name}")];
        assert_eq!(template.fill(&values), "a({reason}): {tool_name} {other} {");
    }
}
