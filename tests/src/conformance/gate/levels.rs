//! What is wanted of each kind of content, and so how each event is told.

use std::collections::BTreeMap;

use luthien_proto::wire::{
    self, BlockDelta, BlockStarted, Event, Forward, Interest, Kind, OpaqueBlock, block_delta::Delta, block_started,
    event::Event as Step,
};

/// What is wanted of something; the greater is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Record,
    Observe,
    Gate,
}

/// What is wanted, and of which blocks what was wanted when they began.
#[derive(Debug)]
pub(super) struct Levels {
    /// By kind, in the order of [`KINDS`].
    wanted: [Level; KINDS.len()],
    known: Vec<Kind>,
    open: BTreeMap<u32, (Kind, Level)>,
}

const KINDS: [Kind; 5] = [Kind::Text, Kind::Thinking, Kind::Refusal, Kind::ToolCall, Kind::Opaque];

impl Levels {
    pub fn new(forward: &Forward) -> Self {
        let wanted = forward.interest.as_ref().map_or([Level::Gate; KINDS.len()], levels);
        Self { wanted, known: forward.known_kinds().collect(), open: BTreeMap::new() }
    }

    pub fn gates(&self) -> bool {
        self.strictest() == Level::Gate
    }

    /// It may only fall.
    pub fn lower(&mut self, interest: &Interest) {
        for (wanted, now) in self.wanted.iter_mut().zip(levels(interest)) {
            *wanted = (*wanted).min(now);
        }
    }

    /// How an event that comes is told.
    pub fn place(&mut self, event: &Event) -> Level {
        match &event.event {
            Some(Step::BlockStarted(started)) => {
                let kind = kind(started);
                let level = self.of(kind);
                self.open.insert(started.block, (kind, level));
                level
            }
            Some(Step::BlockDelta(delta)) => {
                let block = self.of_block(delta.block);
                let is_opaque = matches!(delta.delta, Some(Delta::OpaqueJson(_)));
                // Of a block that is told chunk by chunk, every piece is.
                if is_opaque { self.of(Kind::Opaque).max(block.min(Level::Observe)) } else { block }
            }
            Some(Step::BlockStopped(stop)) => {
                let level = self.of_block(stop.block);
                self.open.remove(&stop.block);
                level
            }
            Some(
                Step::Started(_)
                | Step::Usage(_)
                | Step::Finished(_)
                | Step::Opaque(_)
                | Step::Ended(_)
                | Step::Failed(_),
            )
            | None => self.strictest().max(Level::Observe),
        }
    }

    /// An event as a service sees it that does not know every kind.
    pub fn view(&self, event: &Event) -> Event {
        let Some(Step::BlockStarted(started)) = &event.event else { return self.view_of_piece(event) };
        let kind = kind(started);
        if kind == Kind::Opaque || self.known.contains(&kind) {
            return event.clone();
        }
        let json = format!("{{\"type\":\"{}\"}}", kind.as_str_name());
        let started = BlockStarted { kind: Some(block_started::Kind::Opaque(OpaqueBlock { json })), ..started.clone() };
        Event { event: Some(Step::BlockStarted(started)), ..event.clone() }
    }

    fn view_of_piece(&self, event: &Event) -> Event {
        let Some(Step::BlockDelta(delta)) = &event.event else { return event.clone() };
        let is_known =
            self.open.get(&delta.block).is_none_or(|(kind, _)| self.known.contains(kind) || *kind == Kind::Opaque);
        let json = match &delta.delta {
            Some(Delta::Text(text) | Delta::Arguments(text) | Delta::Signature(text)) if !is_known => {
                serde_json::Value::from(text.as_str()).to_string()
            }
            Some(_) | None => return event.clone(),
        };
        let delta = BlockDelta { block: delta.block, delta: Some(Delta::OpaqueJson(json)) };
        Event { event: Some(Step::BlockDelta(delta)), ..event.clone() }
    }

    fn of(&self, kind: Kind) -> Level {
        KINDS.iter().position(|known| *known == kind).map_or(Level::Gate, |at| self.wanted[at])
    }

    /// Of a block that was gated when it began, what comes is at least observed.
    fn of_block(&self, key: u32) -> Level {
        match self.open.get(&key) {
            Some((_, Level::Record)) => Level::Record,
            Some((kind, begun)) => self.of(*kind).clamp(Level::Observe, *begun),
            None => Level::Gate,
        }
    }

    fn strictest(&self) -> Level {
        self.wanted.into_iter().max().unwrap_or(Level::Gate)
    }
}

fn levels(interest: &Interest) -> [Level; KINDS.len()] {
    let levels = [interest.text(), interest.thinking(), interest.refusal(), interest.tool_call(), interest.opaque()];
    levels.map(|level| match level {
        wire::Level::Record => Level::Record,
        wire::Level::Observe => Level::Observe,
        wire::Level::Gate | wire::Level::Unspecified => Level::Gate,
    })
}

fn kind(started: &BlockStarted) -> Kind {
    match &started.kind {
        Some(block_started::Kind::Text(_)) => Kind::Text,
        Some(block_started::Kind::Thinking(_) | block_started::Kind::RedactedThinking(_)) => Kind::Thinking,
        Some(block_started::Kind::Refusal(_)) => Kind::Refusal,
        Some(block_started::Kind::ToolCall(_)) => Kind::ToolCall,
        Some(block_started::Kind::Opaque(_)) => Kind::Opaque,
        None => Kind::Unspecified,
    }
}
