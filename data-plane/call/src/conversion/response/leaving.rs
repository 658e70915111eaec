//! What leaves, as a provider of the client's dialect could have said it.

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, BlockStarted, Delta, FinishReason, Finished, Started, ToolCall, Usage},
    json::Extras,
    request::Dialect,
};
use serde_json::Value;

use super::{annotations::Annotations, ids};
use crate::conversion::{Kind, wrap};

/// What is known of the answer before it starts.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub client: Dialect,
    pub upstream: Dialect,
    pub upstream_model: String,
    pub tells_usage: bool,
    pub echo: Extras,
    pub stand_in: Started,
}

/// Makes what leaves what a provider of the client's dialect could have said.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    about: About,
    /// The id of the response.
    id: String,
    blocks: Vec<Block>,
    choices: Vec<Choice>,
    /// How many tools were called.
    calls: u32,
    /// The tokens so far.
    usage: Usage,
    annotations: Annotations,
}

#[derive(Clone, Debug)]
struct Block {
    key: BlockKey,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing was said in it: it begins with its first word, and isn't told of without one.
    Silent(BlockStarted, Thinking),
    Told,
    Thinking(Thinking),
    /// The client's dialect has no place for it.
    Dropped,
    /// The client is told that there was something.
    Noted,
}

/// Of a block of thinking.
#[derive(Clone, Debug, Default)]
struct Thinking {
    /// The upstream's id of it.
    id: String,
    signed: bool,
}

/// What a choice has said.
#[derive(Clone, Debug)]
struct Choice {
    number: u32,
    calls: bool,
    refuses: bool,
    finished: bool,
}

impl Leaving {
    pub(super) fn new(about: About) -> Self {
        let (blocks, choices) = (Vec::new(), Vec::new());
        let annotations = Annotations::new(about.upstream, about.client);
        Self { about, id: String::new(), blocks, choices, calls: 0, usage: Usage::default(), annotations }
    }

    /// Adds what becomes of an event.
    pub(crate) fn event(&mut self, event: Event, out: &mut Vec<Event>) {
        self.annotations.take(&event);
        if let Step::BlockStopped(block) = event.step {
            self.annotate(Some(block), out);
        }
        self.step(event, out);
        self.annotate(None, out);
    }

    fn annotate(&mut self, stops: Option<BlockKey>, out: &mut Vec<Event>) {
        let blocks = &self.blocks;
        let is_open = |key| blocks.iter().any(|block| block.key == key && matches!(block.state, State::Told));
        self.annotations.give(stops, is_open, out);
    }

    fn step(&mut self, event: Event, out: &mut Vec<Event>) {
        let Event { step, extras } = event;
        match step {
            Step::Started(started) => {
                let started = Step::Started(self.started(started));
                out.push(Event { step: started, extras: self.echo() });
            }
            Step::BlockStarted(started) => self.block_started(started, out),
            Step::BlockDelta(delta) => self.block_delta(delta, out),
            Step::BlockStopped(block) => self.block_stopped(block, out),
            Step::Usage(usage) => out.extend(self.usage(usage).map(|usage| Step::Usage(usage).into())),
            Step::Finished(finished) => self.finished(finished, &extras, out),
            Step::Opaque(_) => {}
            Step::Ended => {
                // The answers that were dropped may have been all that were finished.
                if !self.about.client.has_choices() && !self.choice(0).finished {
                    self.finished(Finished::new(0, FinishReason::EndTurn), &Extras::NONE, out);
                }
                out.push(Step::Ended.into());
            }
            step @ Step::Failed(_) => out.push(step.into()),
        }
    }

    fn started(&mut self, started: Started) -> Started {
        let stand_in = &self.about.stand_in;
        self.id = ids::response(self.about.client, &started.id).unwrap_or_else(|| stand_in.id.clone());
        Started { id: self.id.clone(), model: stand_in.model.clone(), created: started.created.or(stand_in.created) }
    }

    /// What the answer repeats of its request, where the client's dialect has its place.
    fn echo(&mut self) -> Extras {
        let echo = std::mem::take(&mut self.about.echo);
        let mut extras = Extras::NONE;
        if !echo.is_empty() {
            extras.insert("response", Value::Object(echo.into_map()));
        }
        extras
    }

    fn block_started(&mut self, started: BlockStarted, out: &mut Vec<Event>) {
        let BlockStarted { block, choice, kind } = started;
        if choice > 0 && !self.about.client.has_choices() {
            return self.open(block, State::Dropped);
        }
        let silent = |kind, thinking| State::Silent(BlockStarted { block, choice, kind }, thinking);
        let state = match kind {
            BlockKind::Text => silent(BlockKind::Text, Thinking::default()),
            BlockKind::Refusal => {
                self.choice(choice).refuses = true;
                silent(BlockKind::Refusal, Thinking::default())
            }
            BlockKind::Thinking { id, .. } => {
                let kind = BlockKind::Thinking { field: String::new(), id: String::new() };
                silent(kind, Thinking { id, signed: false })
            }
            BlockKind::RedactedThinking { data } => {
                let kind = BlockKind::RedactedThinking { data: self.wrap(Kind::Redacted, &data, "") };
                out.push(Step::BlockStarted(BlockStarted { block, choice, kind }).into());
                State::Told
            }
            BlockKind::ToolCall(call) if call.form.is_clients() => {
                self.choice(choice).calls = true;
                let kind = BlockKind::ToolCall(self.call(call));
                out.push(Step::BlockStarted(BlockStarted { block, choice, kind }).into());
                State::Told
            }
            BlockKind::Opaque(value) if is_image(&value) => {
                out.push(Step::BlockStarted(BlockStarted { block, choice, kind: BlockKind::Text }).into());
                out.push(text(block, "[image]"));
                State::Noted
            }
            // What the provider ran itself, and what nobody but its own clients knows.
            BlockKind::ToolCall(_) | BlockKind::Opaque(_) => State::Dropped,
        };
        self.open(block, state);
    }

    fn block_delta(&mut self, delta: BlockDelta, out: &mut Vec<Event>) {
        let BlockDelta { block: key, delta } = delta;
        let says_nothing = match &delta {
            Delta::Text(text) | Delta::Arguments(text) | Delta::Signature(text) => text.is_empty(),
            Delta::Opaque(_) => true,
        };
        let Some(at) = self.blocks.iter().position(|block| block.key == key) else { return };
        if says_nothing || matches!(self.blocks[at].state, State::Dropped | State::Noted) {
            return;
        }
        if let State::Silent(started, thinking) = &self.blocks[at].state {
            let (started, thinking) = (started.clone(), thinking.clone());
            self.blocks[at].state = match started.kind {
                BlockKind::Thinking { .. } => State::Thinking(thinking),
                BlockKind::Text => {
                    self.annotations.begin(key);
                    State::Told
                }
                BlockKind::Refusal
                | BlockKind::RedactedThinking { .. }
                | BlockKind::ToolCall(_)
                | BlockKind::Opaque(_) => State::Told,
            };
            out.push(Step::BlockStarted(started).into());
        }
        let delta = match delta {
            Delta::Signature(data) => Delta::Signature(self.sign(at, &data)),
            delta @ (Delta::Text(_) | Delta::Arguments(_) | Delta::Opaque(_)) => delta,
        };
        out.push(Step::BlockDelta(BlockDelta { block: key, delta }).into());
    }

    fn block_stopped(&mut self, key: BlockKey, out: &mut Vec<Event>) {
        let Some(at) = self.blocks.iter().position(|block| block.key == key) else { return };
        match self.blocks.swap_remove(at).state {
            State::Silent(..) | State::Dropped => return,
            State::Thinking(Thinking { signed: false, .. }) if marks_unsigned(self.about.client) => {
                let delta = Delta::Signature(self.wrap(Kind::Unsigned, "", ""));
                out.push(Step::BlockDelta(BlockDelta { block: key, delta }).into());
            }
            State::Told | State::Thinking(_) | State::Noted => {}
        }
        out.push(Step::BlockStopped(key).into());
    }

    /// Every client is told all that is known so far: not all dialects add up.
    fn usage(&mut self, usage: Usage) -> Option<Usage> {
        let Usage { input, cache_read, cache_write, output, thinking, .. } = usage;
        let known = &mut self.usage;
        for (known, now) in [
            (&mut known.input, input),
            (&mut known.cache_read, cache_read),
            (&mut known.cache_write, cache_write),
            (&mut known.output, output),
            (&mut known.thinking, thinking),
        ] {
            *known = now.or(*known);
        }
        if known.input.is_some() {
            known.cache_read.get_or_insert(0);
            known.cache_write.get_or_insert(0);
        }
        self.about.tells_usage.then(|| self.usage.clone())
    }

    fn finished(&mut self, finished: Finished, extras: &Extras, out: &mut Vec<Event>) {
        let Finished { choice, reason, stop_sequence, .. } = finished;
        if choice > 0 && !self.about.client.has_choices() {
            return;
        }
        let said = self.choice(choice);
        said.finished = true;
        let Choice { calls, refuses, .. } = *said;
        if reason == FinishReason::Refusal && !refuses {
            out.extend(explanation(extras).into_iter().flat_map(|text| refusal(choice, text)));
        }
        let is_anthropic = self.about.client == Dialect::AnthropicMessages;
        let reason = match reason {
            FinishReason::EndTurn | FinishReason::ToolUse if calls => FinishReason::ToolUse,
            FinishReason::EndTurn | FinishReason::ToolUse if refuses => FinishReason::Refusal,
            FinishReason::ToolUse => FinishReason::EndTurn,
            FinishReason::StopSequence if is_anthropic && stop_sequence.is_none() => FinishReason::EndTurn,
            FinishReason::EndTurn
            | FinishReason::MaxTokens
            | FinishReason::StopSequence
            | FinishReason::Refusal
            | FinishReason::ContentFilter
            | FinishReason::ContextWindow
            | FinishReason::Pause
            | FinishReason::Other => reason,
        };
        out.push(Step::Finished(Finished { stop_sequence, ..Finished::new(choice, reason) }).into());
    }

    fn call(&mut self, call: ToolCall) -> ToolCall {
        let ToolCall { id, mut name, mut namespace, form, .. } = call;
        if !namespace.is_empty() && self.about.client != Dialect::OpenAiResponses {
            name = format!("{namespace}__{name}");
            namespace.clear();
        }
        let id = ids::call(self.about.client, &id, &self.id, self.calls);
        self.calls += 1;
        ToolCall { id, name, namespace, form, type_: String::new() }
    }

    fn sign(&mut self, at: usize, data: &str) -> String {
        let State::Thinking(thinking) = &mut self.blocks[at].state else { return data.to_owned() };
        thinking.signed = true;
        let id = thinking.id.clone();
        self.wrap(Kind::Signature, data, &id)
    }

    fn wrap(&self, kind: Kind, data: &str, id: &str) -> String {
        wrap(self.about.upstream, &self.about.upstream_model, kind, data, id)
    }

    fn open(&mut self, key: BlockKey, state: State) {
        self.blocks.push(Block { key, state });
    }

    fn choice(&mut self, number: u32) -> &mut Choice {
        let at = self.choices.iter().position(|choice| choice.number == number).unwrap_or_else(|| {
            self.choices.push(Choice { number, calls: false, refuses: false, finished: false });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }
}

/// Whether thinking always comes with a proof, so that what has none needs a mark to be known when it comes back.
fn marks_unsigned(client: Dialect) -> bool {
    match client {
        Dialect::AnthropicMessages | Dialect::OpenAiResponses => true,
        Dialect::OpenAiChat | Dialect::Gemini => false,
    }
}

/// Whether a block of another dialect is a picture.
fn is_image(block: &Value) -> bool {
    let media_type = block["inlineData"]["mimeType"].as_str().or(block["inline_data"]["mime_type"].as_str());
    block["type"] == "image_generation_call" || media_type.is_some_and(|type_| type_.starts_with("image/"))
}

/// Why a model declined, where only the end of its answer says so.
fn explanation(extras: &Extras) -> Option<&str> {
    let details = &extras.get("delta")?["stop_details"];
    details["explanation"].as_str().filter(|text| !text.is_empty())
}

/// A block that was not there, of a key that nobody else uses.
fn refusal(choice: u32, explanation: &str) -> [Event; 3] {
    let block = BlockKey(u32::MAX - choice);
    let started = BlockStarted { block, choice, kind: BlockKind::Refusal };
    [Step::BlockStarted(started).into(), text(block, explanation), Step::BlockStopped(block).into()]
}

fn text(block: BlockKey, text: &str) -> Event {
    Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text.to_owned()) }).into()
}
