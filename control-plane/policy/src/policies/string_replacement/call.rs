//! The replacement in one call.

use std::{collections::BTreeMap, sync::Arc};

use luthien_proto::{
    Event, Step,
    event::{BlockDelta, BlockKey, BlockKind, Delta, Kind},
};

use super::{finder::Finder, searcher::Searcher, stream::Stream};
use crate::{Held, HookOutput, HookResult, PolicyCall, Seen};

/// What the policy knows of a call.
pub(super) struct Call {
    finder: Arc<Finder>,
    searcher: Searcher,
    holds_thinking: bool,
    /// Whether the client joins the texts of a choice to one, whatever comes between them.
    joins_texts: bool,
    /// Boxed, as a map makes room for many at once.
    flowing: BTreeMap<BlockKey, Box<Flowing>>,
    /// By choice and kind, the text that stopped last, if what it ended with may still become a match.
    interrupted: BTreeMap<(u32, Kind), Interrupted>,
    held: BTreeMap<BlockKey, HeldBlock>,
}

/// A block whose text flows.
struct Flowing {
    stream: Stream,
    is_changed: bool,
    make: fn(String) -> Delta,
}

/// A text that stopped where a match may have begun: its stop is held until the text goes on, or nothing more comes.
struct Interrupted {
    flowing: Box<Flowing>,
    held: Held,
    stop: Event,
}

impl Interrupted {
    /// Whether a policy made the text.
    fn is_policys(&self) -> bool {
        matches!(self.stop.step, Step::BlockStopped(block) if block.is_policys())
    }
}

/// A block that is held until it is whole.
#[derive(Default)]
struct HeldBlock {
    chunks: Vec<HeldChunk>,
    /// Of thinking; a tool call's arguments come whole.
    text: String,
    is_signed: bool,
}

struct HeldChunk {
    held: Held,
    is_text: bool,
    /// The chunk with the strings of its unknown fields replaced, if there was anything to replace.
    changed: Option<Event>,
}

impl Call {
    pub fn new(finder: Arc<Finder>, searches_opaque: bool, holds_thinking: bool, joins_texts: bool) -> Self {
        let searcher = Searcher { finder: finder.clone(), searches_opaque };
        Self {
            finder,
            searcher,
            holds_thinking,
            joins_texts,
            flowing: BTreeMap::new(),
            interrupted: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// A chunk of a block whose text flows.
    fn flow(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        match &seen.event.step {
            Step::BlockDelta(BlockDelta { block, delta: Delta::Text(text) }) => {
                self.flow_piece(*block, text, Delta::Text, seen, out);
            }
            Step::BlockDelta(BlockDelta { block, delta: Delta::Arguments(text) }) => {
                self.flow_piece(*block, text, Delta::Arguments, seen, out);
            }
            Step::BlockDelta(BlockDelta { block, delta: Delta::Signature(_) }) => {
                // It signs what the model said, which is not what the client has.
                match self.flowing.get(block).is_some_and(|flowing| flowing.is_changed) {
                    true => out.drop_chunk(),
                    false => self.search_extras(seen.event, out),
                }
            }
            Step::BlockStopped(block) => self.flow_out(*block, seen, out),
            Step::BlockStarted(started) => {
                match self.interrupted.remove(&(started.choice, started.kind.kind())) {
                    None => {}
                    // What a policy says is set apart from the text before and behind it.
                    Some(before) if started.block.is_policys() || before.is_policys() => self.finish(before, out),
                    Some(Interrupted { flowing, held, stop }) => {
                        out.replace_held(held, vec![stop]);
                        self.flowing.insert(started.block, flowing);
                    }
                }
                self.search_extras(seen.event, out);
            }
            Step::BlockDelta(BlockDelta { delta: Delta::Opaque(_), .. })
            | Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => self.search_extras(seen.event, out),
        }
    }

    fn flow_piece(
        &mut self,
        block: BlockKey,
        text: &str,
        make: fn(String) -> Delta,
        seen: &Seen<'_>,
        out: &mut HookOutput<'_>,
    ) {
        let finder = &self.finder;
        let new = || Box::new(Flowing { stream: Stream::new(finder), is_changed: false, make });
        let flowing = self.flowing.entry(block).or_insert_with(new);
        match flowing.stream.push(&self.finder, text) {
            None => self.search_extras(seen.event, out),
            // The unknown fields go with the text: log probabilities would tell what it was.
            Some(clear) => {
                flowing.is_changed = true;
                out.replace(piece(block, clear, make).into_iter().collect());
            }
        }
    }

    fn flow_out(&mut self, block: BlockKey, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        match self.flowing.remove(&block) {
            Some(flowing) if seen.stopped && self.may_go_on(seen, &flowing) => {
                let stop = self.searcher.searched(seen.event);
                self.interrupt(Interrupted { flowing, held: out.hold(), stop }, seen, out);
            }
            Some(mut flowing) => match flowing.stream.finish(&self.finder) {
                None => self.search_extras(seen.event, out),
                Some(clear) => {
                    let stop = seen.stopped.then(|| self.searcher.searched(seen.event));
                    out.replace(piece(block, clear, flowing.make).into_iter().chain(stop).collect());
                }
            },
            None if !seen.stopped => self.cut_off(block, out),
            None => self.search_extras(seen.event, out),
        }
    }

    /// Whether another block of its kind may complete a match that has begun in this text.
    fn may_go_on(&self, seen: &Seen<'_>, flowing: &Flowing) -> bool {
        let is_text = seen.block.is_some_and(|block| block.kind != Kind::Opaque);
        self.joins_texts && is_text && flowing.stream.holds_back()
    }

    fn interrupt(&mut self, interrupted: Interrupted, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        let Some(block) = seen.block else { return };
        if let Some(before) = self.interrupted.insert((block.choice, block.kind), interrupted) {
            self.finish(before, out);
        }
    }

    /// Nothing more comes: neither will the text go on.
    fn cut_off(&mut self, block: BlockKey, out: &mut HookOutput<'_>) {
        let is_of_block = |interrupted: &Interrupted| interrupted.stop.step == Step::BlockStopped(block);
        let key = self.interrupted.iter().find(|(_, interrupted)| is_of_block(interrupted)).map(|(key, _)| *key);
        if let Some(interrupted) = key.and_then(|key| self.interrupted.remove(&key)) {
            self.finish(interrupted, out);
        }
    }

    fn finish(&self, interrupted: Interrupted, out: &mut HookOutput<'_>) {
        let Interrupted { mut flowing, held, stop } = interrupted;
        let Step::BlockStopped(block) = stop.step else { return };
        let clear = flowing.stream.finish(&self.finder).unwrap_or_default();
        out.replace_held(held, piece(block, clear, flowing.make).into_iter().chain([stop]).collect());
    }

    /// A chunk of a block that is held.
    fn hold(&mut self, block: BlockKey, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        let mut is_text = false;
        let held = self.held.entry(block).or_default();
        if let Step::BlockDelta(BlockDelta { delta, .. }) = &seen.event.step {
            match delta {
                Delta::Text(text) => {
                    held.text.push_str(text);
                    is_text = true;
                }
                Delta::Arguments(_) => is_text = true,
                Delta::Signature(signature) => held.is_signed |= !signature.is_empty(),
                Delta::Opaque(_) => {}
            }
        }
        let changed = self.searcher.changed(seen.event);
        if let Some(block) = self.held.get_mut(&block) {
            block.chunks.push(HeldChunk { held: out.hold(), is_text, changed });
        }
    }

    /// Lets a held block go on, with its text replaced if there is another.
    fn let_go(held: HeldBlock, text: Option<Event>, out: &mut HookOutput<'_>) {
        let (is_changed, mut text) = (text.is_some(), text);
        for chunk in held.chunks {
            match chunk.changed {
                _ if is_changed && chunk.is_text => out.replace_held(chunk.held, text.take().into_iter().collect()),
                Some(event) => out.replace_held(chunk.held, vec![event]),
                None => out.pass_held(chunk.held),
            }
        }
    }

    fn thinking_stopped(&mut self, block: BlockKey, held: HeldBlock, seen: &Seen<'_>, out: &mut HookOutput<'_>) {
        match self.finder.replace(&held.text) {
            Some(_) if held.is_signed => {
                held.chunks.into_iter().for_each(|chunk| out.replace_held(chunk.held, Vec::new()));
                out.drop_chunk();
            }
            text => {
                Self::let_go(held, text.and_then(|text| piece(block, text, Delta::Text)), out);
                self.search_extras(seen.event, out);
            }
        }
    }

    /// Passes an event, or what its strings become.
    fn search(&self, event: &Event, out: &mut HookOutput<'_>) {
        if let Some(changed) = self.searcher.changed(event) {
            out.replace(vec![changed]);
        }
    }

    fn search_extras(&self, event: &Event, out: &mut HookOutput<'_>) {
        if let Some(changed) = self.searcher.changed_extras(event) {
            out.replace(vec![changed]);
        }
    }
}

impl PolicyCall for Call {
    /// Every other event has a hook of its own.
    fn on_chunk_started(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        if matches!(seen.event.step, Step::Ended) {
            self.search_extras(seen.event, out);
        }
        Ok(())
    }

    fn on_response_started(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.search_extras(seen.event, out);
        Ok(())
    }

    fn on_content_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.flow(seen, out);
        Ok(())
    }

    fn on_content_completed(&mut self, _: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.flow(seen, out);
        Ok(())
    }

    fn on_refusal_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.flow(seen, out);
        Ok(())
    }

    fn on_thinking_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        match &seen.event.step {
            Step::BlockStopped(key) => match self.held.remove(key) {
                Some(held) => self.thinking_stopped(*key, held, seen, out),
                None => self.flow(seen, out),
            },
            Step::BlockStarted(started)
                if self.holds_thinking && matches!(started.kind, BlockKind::Thinking { .. }) =>
            {
                self.hold(started.block, seen, out);
            }
            Step::BlockDelta(delta) if self.held.contains_key(&delta.block) => self.hold(delta.block, seen, out),
            Step::BlockDelta(_)
            | Step::BlockStarted(_)
            | Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => self.flow(seen, out),
        }
        Ok(())
    }

    fn on_tool_call_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        match &seen.event.step {
            Step::BlockDelta(delta) => self.hold(delta.block, seen, out),
            Step::BlockStarted(_)
            | Step::BlockStopped(_)
            | Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => self.search_extras(seen.event, out),
        }
        Ok(())
    }

    fn on_tool_call_completed(&mut self, arguments: &str, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        if let Some(block) = seen.block
            && let Some(held) = self.held.remove(&block.key)
        {
            let is_json = block.tool.is_none_or(|tool| tool.form.is_json());
            let replaced = match is_json {
                true => self.finder.replace_arguments(arguments),
                false => self.finder.replace(arguments),
            };
            Self::let_go(held, replaced.and_then(|text| piece(block.key, text, Delta::Arguments)), out);
        }
        self.search_extras(seen.event, out);
        Ok(())
    }

    fn on_opaque_chunk(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        match &seen.event.step {
            Step::BlockDelta(delta) if self.held.contains_key(&delta.block) => self.hold(delta.block, seen, out),
            Step::BlockDelta(BlockDelta { delta: Delta::Text(_) | Delta::Arguments(_), .. })
            | Step::BlockStopped(_) => {
                self.flow(seen, out);
            }
            Step::BlockDelta(_)
            | Step::BlockStarted(_)
            | Step::Started(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_)
            | Step::Ended
            | Step::Failed(_) => self.search(seen.event, out),
        }
        Ok(())
    }

    fn on_usage(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.search(seen.event, out);
        Ok(())
    }

    fn on_finished(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.search(seen.event, out);
        Ok(())
    }

    fn on_failed(&mut self, seen: &Seen<'_>, out: &mut HookOutput<'_>) -> HookResult {
        self.search(seen.event, out);
        Ok(())
    }
}

/// A piece of a block; none, if it would be empty.
fn piece(block: BlockKey, text: String, make: fn(String) -> Delta) -> Option<Event> {
    (!text.is_empty()).then(|| Step::BlockDelta(BlockDelta { block, delta: make(text) }).into())
}
