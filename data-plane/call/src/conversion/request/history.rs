//! The conversation: who speaks, in turns, and every call with its result directly behind it.

use std::collections::BTreeMap;

use luthien_proto::{
    Request,
    json::Extras,
    request::{Content, ContentBlock, Dialect, Message},
};

use super::{Way, blocks::Blocks, system};
use crate::{conversion::names::fit_id, dialect::Lost};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// Whoever wrote the instructions.
    System,
    /// The user, and the tools that the client ran.
    User,
    /// A tool, within its result.
    Tool,
    /// The model.
    Assistant,
}

impl Speaker {
    fn role(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User | Self::Tool => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// What one of them says before another does.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) speaker: Speaker,
    pub(super) role: String,
    pub(super) content: Vec<Content>,
}

pub(super) fn convert(request: &mut Request, way: &Way<'_>, lost: &mut Lost) {
    let messages = std::mem::take(&mut request.messages);
    let mut turns = turns(messages, way, lost);
    merge(&mut turns, |speaker| speaker == Speaker::Assistant);
    let mut turns = answer_calls(turns, way.target());
    system::place(request, &mut turns, way, lost);
    turns.retain(|turn| !turn.content.is_empty());
    match way.target() {
        Dialect::AnthropicMessages | Dialect::Gemini => {
            merge(&mut turns, |_| true);
            turns.iter_mut().for_each(results_first);
            begin_with_user(&mut turns);
        }
        Dialect::OpenAiResponses => {
            merge(&mut turns, |speaker| speaker == Speaker::Assistant);
            turns.iter_mut().for_each(|turn| drop_last_thoughts(turn, lost));
        }
        Dialect::OpenAiChat => merge(&mut turns, |speaker| speaker == Speaker::Assistant),
    }
    request.messages = turns.into_iter().flat_map(|turn| messages_of(turn, way.target())).collect();
}

fn turns(messages: Vec<Message>, way: &Way<'_>, lost: &mut Lost) -> Vec<Turn> {
    let mut blocks = Blocks::new(way, lost);
    let mut turns: Vec<Turn> = Vec::with_capacity(messages.len());
    // Whether the last turn is of the same message.
    let mut goes_on = false;
    for Message { role, content, extras } in messages {
        name_lost(&extras, blocks.lost);
        let speaker = match role.as_str() {
            "system" | "developer" => Speaker::System,
            "assistant" | "model" => Speaker::Assistant,
            _ => Speaker::User,
        };
        for content in content {
            let speaker = speaker_of(&content.block, speaker);
            let role = if speaker == Speaker::System { role.as_str() } else { speaker.role() };
            let content = blocks.convert(content, speaker);
            match turns.last_mut() {
                Some(turn) if goes_on && turn.speaker == speaker => turn.content.extend(content),
                Some(_) | None => turns.push(Turn { speaker, role: role.to_owned(), content }),
            }
            goes_on = true;
        }
        goes_on = false;
    }
    turns.retain(|turn| !turn.content.is_empty());
    turns
}

/// Some blocks say themselves who speaks.
fn speaker_of(block: &ContentBlock, speaker: Speaker) -> Speaker {
    match block {
        ContentBlock::ToolCall { .. } | ContentBlock::Thinking { .. } | ContentBlock::RedactedThinking(_) => {
            Speaker::Assistant
        }
        ContentBlock::ToolResult { .. } => Speaker::User,
        ContentBlock::Text(_)
        | ContentBlock::Refusal(_)
        | ContentBlock::Image { .. }
        | ContentBlock::Document { .. }
        | ContentBlock::Audio { .. }
        | ContentBlock::Opaque(_) => speaker,
    }
}

/// Names the unknown fields of a message.
fn name_lost(extras: &Extras, lost: &mut Lost) {
    for (name, value) in extras.iter() {
        match name.as_str() {
            _ if value.is_null() => {}
            // What providers say of what they made.
            "id" | "status" | "type" | "object" => {}
            "name"
            | "phase"
            | "annotations"
            | "reasoning_details"
            | "reasoning"
            | "reasoning_content"
            | "thinking_blocks"
            | "provider_specific_fields" => lost.omit(format!("messages.{name}")),
            _ => lost.drop(format!("messages.{name}")),
        }
    }
}

/// Makes one turn of neighbours with the same speaker.
fn merge(turns: &mut Vec<Turn>, is_merged: impl Fn(Speaker) -> bool) {
    let mut merged: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns.drain(..) {
        match merged.last_mut() {
            Some(last) if last.speaker == turn.speaker && is_merged(turn.speaker) => last.content.extend(turn.content),
            Some(_) | None => merged.push(turn),
        }
    }
    *turns = merged;
}

/// A call, by its turn and its place among the calls of that.
type Slot = (usize, usize);

/// Puts results directly behind their calls: all of them, each once.
fn answer_calls(mut turns: Vec<Turn>, target: Dialect) -> Vec<Turn> {
    let mut answers = Answers::default();
    for (at, turn) in turns.iter_mut().enumerate() {
        match turn.speaker {
            Speaker::Assistant => answers.calls(at, turn, target),
            Speaker::System | Speaker::User | Speaker::Tool => answers.results(turn),
        }
    }
    let mut answered: Vec<Turn> = Vec::with_capacity(turns.len() + 1);
    let mut pending: Vec<Content> = Vec::new();
    for (at, mut turn) in turns.into_iter().enumerate() {
        if !pending.is_empty() {
            let results = std::mem::take(&mut pending);
            if turn.speaker == Speaker::User {
                turn.content.splice(0..0, results);
            } else {
                answered.push(Turn { speaker: Speaker::User, role: "user".to_owned(), content: results });
            }
        }
        pending = answers.of_turn(at);
        answered.push(turn);
    }
    if !pending.is_empty() {
        answered.push(Turn { speaker: Speaker::User, role: "user".to_owned(), content: pending });
    }
    answered
}

/// Which result belongs to which call.
#[derive(Debug, Default)]
struct Answers {
    /// The calls that wait for a result, by the id that the client knows them by.
    open: BTreeMap<String, Vec<Slot>>,
    /// The calls that had their result.
    closed: BTreeMap<String, Slot>,
    /// By call: its id, and its result.
    found: BTreeMap<Slot, (String, Option<Content>)>,
    /// How often each id was asked for.
    ids: BTreeMap<String, usize>,
}

impl Answers {
    fn calls(&mut self, at: usize, turn: &mut Turn, target: Dialect) {
        let calls = turn.content.iter_mut().filter_map(|content| {
            if let ContentBlock::ToolCall { call, .. } = &mut content.block { Some(call) } else { None }
        });
        for (nth, call) in calls.enumerate() {
            let waiting = self.open.entry(call.id.clone()).or_default();
            waiting.retain(|slot| slot.0 == at);
            waiting.push((at, nth));
            self.closed.remove(&call.id);
            call.id = self.unique(&call.id, target);
            self.found.insert((at, nth), (call.id.clone(), None));
        }
    }

    /// Ids that occur twice are refused.
    fn unique(&mut self, id: &str, target: Dialect) -> String {
        let mut found = id.to_owned();
        while self.ids.contains_key(&found) {
            let count = self.ids.entry(id.to_owned()).or_default();
            *count += 1;
            found = fit_id(&format!("{id}_{count}"), target);
        }
        self.ids.insert(found.clone(), 1);
        found
    }

    /// Takes the results out of a turn. One without a call is told as a text.
    fn results(&mut self, turn: &mut Turn) {
        let mut rest = Vec::with_capacity(turn.content.len());
        for content in turn.content.drain(..) {
            let ContentBlock::ToolResult { id, .. } = &content.block else {
                rest.push(content);
                continue;
            };
            match self.slot_of(id) {
                Some(slot) => {
                    if let Some((_, result)) = self.found.get_mut(&slot) {
                        *result = Some(content);
                    }
                }
                None => rest.extend(orphan(content)),
            }
        }
        turn.content = rest;
    }

    /// The call that a result is of: of several results, the last one counts.
    fn slot_of(&mut self, id: &str) -> Option<Slot> {
        let waiting = self.open.get_mut(id).filter(|waiting| !waiting.is_empty());
        match waiting.map(|waiting| waiting.remove(0)) {
            Some(slot) => {
                self.closed.insert(id.to_owned(), slot);
                Some(slot)
            }
            None => self.closed.get(id).copied(),
        }
    }

    /// The results of a turn's calls, in the order of the calls.
    fn of_turn(&mut self, at: usize) -> Vec<Content> {
        let slots: Vec<_> = self.found.range((at, 0)..(at + 1, 0)).map(|(slot, _)| *slot).collect();
        let results = slots.into_iter().filter_map(|slot| self.found.remove(&slot));
        results.map(|(id, result)| with_id(id, result)).collect()
    }
}

fn with_id(call: String, result: Option<Content>) -> Content {
    match result {
        Some(Content { block: ContentBlock::ToolResult { is_error, content, .. }, extras }) => {
            Content { block: ContentBlock::ToolResult { id: call, is_error, content }, extras }
        }
        Some(_) | None => {
            let content = vec![ContentBlock::Text("no result was recorded".to_owned()).into()];
            ContentBlock::ToolResult { id: call, is_error: Some(true), content }.into()
        }
    }
}

/// A result of which nobody knows the call.
fn orphan(result: Content) -> Vec<Content> {
    const HEAD: &str = "[result of an unknown tool call ID]:";
    let ContentBlock::ToolResult { content, .. } = result.block else { return Vec::new() };
    let mut text = HEAD.to_owned();
    let mut rest = Vec::new();
    for content in content {
        if let ContentBlock::Text(said) = &content.block {
            text.push(' ');
            text.push_str(said);
        } else {
            rest.push(content);
        }
    }
    [ContentBlock::Text(text).into()].into_iter().chain(rest).collect()
}

fn is_result(content: &Content) -> bool {
    matches!(content.block, ContentBlock::ToolResult { .. })
}

/// The results of tools come before what the user says.
fn results_first(turn: &mut Turn) {
    if turn.speaker == Speaker::User {
        turn.content.sort_by_key(|content| !is_result(content));
    }
}

fn begin_with_user(turns: &mut Vec<Turn>) {
    if turns.first().is_some_and(|turn| turn.speaker == Speaker::Assistant) {
        let content = vec![ContentBlock::Text(".".to_owned()).into()];
        turns.insert(0, Turn { speaker: Speaker::User, role: "user".to_owned(), content });
    }
}

/// OpenAI Responses refuses reasoning that nothing came of.
fn drop_last_thoughts(turn: &mut Turn, lost: &mut Lost) {
    if turn.speaker == Speaker::Assistant {
        let kept = turn.content.iter().rposition(|content| !super::thinking::is_thinking(content));
        let kept = kept.map_or(0, |at| at + 1);
        if kept < turn.content.len() {
            turn.content.truncate(kept);
            lost.omit("reasoning_content");
        }
    }
}

/// The messages of a turn: OpenAI's dialects have results apart from what the user says.
fn messages_of(turn: Turn, target: Dialect) -> Vec<Message> {
    let Turn { role, content, .. } = turn;
    if content.is_empty() {
        return Vec::new();
    }
    let message = |role: &str, content| Message { role: role.to_owned(), content, extras: Extras::NONE };
    let is_apart = matches!(target, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    if !is_apart || !content.iter().any(is_result) {
        return vec![message(&role, content)];
    }
    let (mut results, said): (Vec<_>, Vec<_>) = content.into_iter().partition(is_result);
    let mut media = Vec::new();
    if target == Dialect::OpenAiChat {
        media = results.iter_mut().flat_map(take_media).collect();
    }
    let mut messages: Vec<_> = results.into_iter().map(|result| message("tool", vec![result])).collect();
    if !media.is_empty() {
        media.insert(0, ContentBlock::Text("(tool result images)".to_owned()).into());
        messages.push(message("user", media));
    }
    if !said.is_empty() {
        messages.push(message(&role, said));
    }
    messages
}

/// OpenAI Chat has no place for pictures in results.
fn take_media(result: &mut Content) -> Vec<Content> {
    let ContentBlock::ToolResult { content, .. } = &mut result.block else { return Vec::new() };
    let is_text = |content: &Content| matches!(content.block, ContentBlock::Text(_));
    let (mut texts, media): (Vec<_>, Vec<_>) = std::mem::take(content).into_iter().partition(is_text);
    if texts.is_empty() && !media.is_empty() {
        texts.push(ContentBlock::Text("[see the tool result images below]".to_owned()).into());
    }
    *content = texts;
    media
}
