//! What a request is written for: what is known of its upstream, and what it loses on the way there.

/// What is known of an upstream beside its dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// It speaks OpenAI Chat, and isn't OpenAI: it is asked in the older and the more widespread of OpenAI's words, and
    /// for what OpenAI doesn't know.
    pub compatible: bool,
    /// It wants to read the reasoning of its earlier answers.
    pub reasoning_echo: bool,
    /// The most tokens to ask for where the client didn't say and the dialect wants to know.
    pub max_output_tokens: Option<u64>,
}

/// What a request loses on its way into another dialect: the names of fields, each once, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// What the client is told of: it may miss it.
    pub dropped: Vec<String>,
    /// What is on the record only: the answer is no other without it.
    pub omitted: Vec<String>,
}

impl Lost {
    /// The client may miss this field.
    pub fn drop(&mut self, field: impl Into<String>) {
        insert(&mut self.dropped, field.into());
    }

    /// Nobody will miss this field.
    pub fn omit(&mut self, field: impl Into<String>) {
        insert(&mut self.omitted, field.into());
    }
}

fn insert(fields: &mut Vec<String>, field: String) {
    if !fields.contains(&field) {
        fields.push(field);
    }
}
