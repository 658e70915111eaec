//! What a remote policy is told.

use luthien_proto::{
    Chunk, Event, Step,
    event::{BlockKind, Delta},
    json::Extras,
    message::{Block, CallStarted, Level, capability},
};
use serde_json::Value;

use super::{Behind, Remote, verdict::Last};
use crate::{
    policies,
    policy::{Place, Ruling},
    stage::{
        flow::{Common, End, Moving},
        slots::{EventSlot, Slot},
    },
};

/// The call, as the policies before left it: without what only picks policies, and with what may be asked of us.
pub(super) fn call(started: &CallStarted, remote: &policies::Remote, common: &Common) -> CallStarted {
    let can = |what: &&str| started.capabilities.iter().any(|capability| capability == what);
    let mut capabilities: Vec<&str> =
        [capability::ANSWER, capability::EDITS, capability::INTEREST].into_iter().filter(can).collect();
    if common.can_consult && !remote.consult.is_empty() {
        capabilities.push(capability::CONSULT);
    }
    let capabilities = capabilities.into_iter().map(str::to_owned).collect();
    CallStarted { capabilities, headers: Vec::new(), ..started.clone() }
}

impl Remote {
    /// An event came: it is told, and held if the policy gates it.
    pub(super) fn event(&mut self, moving: Moving, common: &mut Common) {
        let Moving { seq, arrived_us, event } = moving;
        self.grammar.hear(&event.step);
        if !self.is_judging() {
            let place = self.levels.of(&event.step, &self.interest).0;
            return self.slots.push(Slot::Event(slot(seq, arrived_us, Some(event), place, Ruling::Pass)));
        }
        let last = Last::of(&event.step);
        if last.is_some() {
            self.reporter.cut_off();
        }
        self.add(seq, arrived_us, event, last, common);
    }

    /// A policy before it has ended the response: it is told of an end, and may put something before it.
    pub(super) fn end(&mut self, end: End, common: &mut Common) {
        if self.is_judging() && self.last.is_none() {
            self.reporter.cut_off();
            self.add(end.seq, end.arrived_us, Step::Ended.into(), Some(Last::ByPolicy), common);
        }
        if !self.ends {
            self.slots.push(Slot::End(end));
        }
    }

    fn add(&mut self, seq: u64, arrived_us: u64, event: Event, last: Option<Last>, common: &mut Common) {
        let (place, level) = self.levels.of(&event.step, &self.interest);
        let number = self.numbers.next(seq);
        let real = (!matches!(last, Some(Last::ByPolicy))).then(|| event.clone());
        self.last = last.map(|last| (number, last));
        self.tallies.at(place).told += 1;
        let mut slot = slot(seq, arrived_us, real, place, Ruling::Pass);
        slot.seen = true;
        let size = size(&event);
        let chunk = Chunk { seq: number, arrived_us, event: self.view.of(self.keys.told(event)) };
        self.reporter.add(chunk, level, size);
        if level == Level::Gate {
            slot.ruling = Ruling::Hold;
        }
        if level == Level::Gate || last.is_some() {
            self.put_before(&mut slot, common);
        }
        if matches!(slot.ruling, Ruling::Hold) {
            self.tallies.ruled(place, &Ruling::Hold);
            self.unsettled.push_back((number, self.slots.next()));
        }
        self.slots.push(Slot::Event(slot));
    }

    /// What stands behind all that was settled stands before this.
    fn put_before(&mut self, slot: &mut EventSlot, common: &mut Common) {
        match self.behind.take() {
            None => {}
            Some(Behind::Inject(events)) => slot.before = events,
            Some(Behind::End { events, reason, cancel_upstream }) => {
                slot.ruling = Ruling::End { events, reason, cancel_upstream };
                self.ended = true;
                self.quiet(common);
            }
        }
    }

    /// A block came whole, of a kind that no policy wants more of.
    pub(super) fn tell_block(&mut self, block: &Block) {
        let kind = block.started.kind.kind();
        self.tallies.at(Place::Kind(kind)).told += 1;
        let first = self.numbers.next(block.first);
        let last = if block.last > block.first { self.numbers.next(block.last) } else { first };
        let mut of = |step: Step, extras: Extras| self.view.of(self.keys.told(Event { step, extras }));
        let mut told = Block { first, last, deltas: Vec::new(), ..block.clone() };
        let mut bytes = size(&Step::BlockStarted(block.started.clone()).into());
        if let Event { step: Step::BlockStarted(started), extras } =
            of(Step::BlockStarted(block.started.clone()), block.extras.clone())
        {
            (told.started, told.extras) = (started, extras);
        }
        for (delta, extras) in &block.deltas {
            let event = of(Step::BlockDelta(delta.clone()), extras.clone());
            bytes += size(&event);
            if let Event { step: Step::BlockDelta(delta), extras } = event {
                told.deltas.push((delta, extras));
            }
        }
        of(Step::BlockStopped(block.started.block), Extras::NONE);
        self.reporter.add_block(told, bytes);
    }
}

fn slot(seq: u64, arrived_us: u64, event: Option<Event>, place: Place, ruling: Ruling) -> EventSlot {
    EventSlot { seq, arrived_us, event, place, seen: false, before: Vec::new(), ruling, injected: Vec::new() }
}

impl Last {
    fn of(step: &Step) -> Option<Self> {
        match step {
            Step::Ended => Some(Self::Ended),
            Step::Failed(error) => Some(Self::Failed(error.status)),
            Step::Started(_)
            | Step::BlockStarted(_)
            | Step::BlockDelta(_)
            | Step::BlockStopped(_)
            | Step::Usage(_)
            | Step::Finished(_)
            | Step::Opaque(_) => None,
        }
    }
}

/// About how many bytes a message of it is.
pub(super) fn size(event: &Event) -> usize {
    const AROUND: usize = 32;
    let json = |value: &Value| value.to_string().len();
    let content = match &event.step {
        Step::BlockDelta(delta) => match &delta.delta {
            Delta::Text(text) | Delta::Arguments(text) | Delta::Signature(text) => text.len(),
            Delta::Opaque(value) => json(value),
        },
        Step::BlockStarted(started) => match &started.kind {
            BlockKind::RedactedThinking { data } => data.len(),
            BlockKind::Opaque(value) => json(value),
            BlockKind::ToolCall(call) => call.id.len() + call.name.len(),
            BlockKind::Text | BlockKind::Thinking { .. } | BlockKind::Refusal => 0,
        },
        Step::Opaque(value) => json(value),
        Step::Failed(error) => error.message.len(),
        Step::Started(_) | Step::BlockStopped(_) | Step::Usage(_) | Step::Finished(_) | Step::Ended => 0,
    };
    let extras = if event.extras.is_empty() { 0 } else { json(&Value::Object(event.extras.clone().into_map())) };
    AROUND + content + extras
}
