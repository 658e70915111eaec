//! Judges that work at once, as one stage.
//!
//! Each takes in the same, in its own [`Stage`], with its own state, questions and coverage. Of a block that all of them
//! pass, all passes. The first of them that refuses a block owns it: what it says instead is let out, and to the others the
//! block is moot. What one of them writes anew waits for the others, who may refuse it; of several, the first in order is let
//! out, whoever was faster. What belongs to no block waits for all of them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use luthien_proto::{
    Event,
    event::{BlockKey, FinishReason},
    message::{Block, CallStarted},
};

use super::{
    Stage,
    flow::{Common, End, Failure, Flow, Moving, Stages},
    slots::{Change, EventSlot, Slot, block_of},
};
use crate::policy::{ConsultId, Policy, Ruling};

/// The judges, and what they have not decided yet.
pub(crate) struct Group {
    members: Vec<Stage>,
    /// For each of them, the numbers of the rows that it has not decided, in order.
    owed: Vec<VecDeque<u64>>,
    rows: VecDeque<Row>,
    /// The number of the first row.
    front: u64,
    /// Who refused what block.
    owners: BTreeMap<BlockKey, usize>,
    /// Of those who wrote a block anew, the first in order.
    rewriters: BTreeMap<BlockKey, usize>,
    /// Who changed anything since the last mark.
    changed: Stages,
    /// Whether one of them has ended the response.
    ended: bool,
}

/// What came in, and what each of them says to it.
struct Row {
    flow: Flow,
    block: Option<BlockKey>,
    said: Vec<Said>,
}

#[derive(Debug, Default)]
enum Said {
    /// It may pass, or nobody asks.
    #[default]
    Pass,
    Owed,
    Instead {
        events: Vec<Event>,
        /// Whether that is the end of the response.
        ends: Option<Ending>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Ending {
    reason: Option<FinishReason>,
    cancel_upstream: bool,
}

impl Group {
    /// Begins the state of each. Their positions are `first` and those behind it.
    pub fn begin(
        first: usize,
        policies: &[Arc<dyn Policy>],
        started: &CallStarted,
        common: &mut Common,
    ) -> (Self, Result<(), Failure>) {
        let mut all_begun = Ok(());
        let mut members = Vec::new();
        for (index, policy) in (first..).zip(policies) {
            let (mut stage, begun) = Stage::begin(index, policy, started, common);
            stage.slots.watch_changes();
            members.push(stage);
            all_begun = all_begun.and(begun);
        }
        let owed = members.iter().map(|_| VecDeque::new()).collect();
        let group = Self {
            members,
            owed,
            rows: VecDeque::new(),
            front: 0,
            owners: BTreeMap::new(),
            rewriters: BTreeMap::new(),
            changed: Stages::default(),
            ended: false,
        };
        (group, all_begun)
    }

    pub fn members(&self) -> &[Stage] {
        &self.members
    }

    pub fn members_mut(&mut self) -> &mut [Stage] {
        &mut self.members
    }

    /// Takes in what the stage before lets out, and lets out what is decided.
    pub fn take(&mut self, flow: Flow, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        let block = match &flow {
            Flow::Event(moving) => block_of(&moving.event),
            Flow::Mark { .. } | Flow::End(_) => None,
        };
        let said = self.members.iter().map(|_| Said::Pass).collect();
        self.rows.push_back(Row { flow, block, said });
        let shown = self.show_last(common);
        self.let_out(common, out);
        shown
    }

    /// A block that is only recorded came, whole.
    pub fn recorded(&mut self, block: &Block, common: &mut Common, out: &mut Vec<Flow>) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        for index in 0..self.members.len() {
            self.members[index].recorded_in(block, common)?;
            self.hear(index, common)?;
        }
        self.let_out(common, out);
        Ok(())
    }

    /// The answer to a consult of one of them came.
    pub fn consulted(
        &mut self,
        policy: &str,
        id: ConsultId,
        events: &[Event],
        common: &mut Common,
        out: &mut Vec<Flow>,
    ) -> Result<(), Failure> {
        let Some(index) = self.members.iter().position(|member| member.name() == policy) else { return Ok(()) };
        let ran = self.members[index].consulted_in(id, events, common);
        let heard = self.hear(index, common);
        self.let_out(common, out);
        ran.and(heard)
    }

    /// Shows the last row to those that it may matter to.
    fn show_last(&mut self, common: &mut Common) -> Result<(), Failure> {
        let number = self.front + self.rows.len() as u64 - 1;
        for index in 0..self.members.len() {
            let Some(row) = self.rows.back_mut().filter(|row| !matches!(row.flow, Flow::Mark { .. })) else { break };
            let owner = row.block.and_then(|block| self.owners.get(&block));
            if !self.members[index].is_judging() || owner.is_some_and(|owner| *owner != index) {
                continue;
            }
            row.said[index] = Said::Owed;
            self.owed[index].push_back(number);
            let flow = row.flow.clone();
            let taken = self.members[index].take_in(flow, common);
            self.hear(index, common)?;
            taken?;
        }
        Ok(())
    }

    /// Takes down what one of them has decided. What it refused the others let go of.
    fn hear(&mut self, index: usize, common: &mut Common) -> Result<(), Failure> {
        self.take_down(index);
        for (block, change) in self.members[index].slots.take_changed_blocks() {
            match change {
                Change::Refused if !self.owners.contains_key(&block) => self.refused(block, index, common)?,
                Change::Refused => {}
                Change::Rewritten => {
                    let first = self.rewriters.entry(block).or_insert(index);
                    *first = index.min(*first);
                }
            }
        }
        Ok(())
    }

    fn refused(&mut self, block: BlockKey, by: usize, common: &mut Common) -> Result<(), Failure> {
        self.owners.insert(block, by);
        for other in (0..self.members.len()).filter(|other| *other != by) {
            self.members[other].moot(block, common)?;
            self.take_down(other);
        }
        Ok(())
    }

    fn take_down(&mut self, index: usize) {
        let Stage { slots, tallies, .. } = &mut self.members[index];
        while let Some(slot) = slots.pop_decided(tallies) {
            let said = match slot {
                // The stop that never came is in no row.
                Slot::Event(EventSlot { event: None, .. }) | Slot::Mark { .. } => continue,
                Slot::Event(slot) => Said::of(slot),
                Slot::End(_) => Said::Pass,
            };
            let row = self.owed[index].pop_front().and_then(|number| number.checked_sub(self.front));
            let row = row.and_then(|at| self.rows.get_mut(usize::try_from(at).ok()?));
            if let Some(row) = row {
                row.said[index] = said;
            }
        }
    }

    fn let_out(&mut self, common: &mut Common, out: &mut Vec<Flow>) {
        while !self.ended
            && self.rows.front().is_some_and(|row| self.is_decided(row))
            && let Some(row) = self.rows.pop_front()
        {
            self.front += 1;
            self.let_row_out(row, common, out);
        }
    }

    fn is_decided(&self, row: &Row) -> bool {
        let is_owed = |said: &Said| matches!(said, Said::Owed);
        match row.block.and_then(|block| self.owners.get(&block)) {
            Some(owner) => !is_owed(&row.said[*owner]),
            None => !row.said.iter().any(is_owed),
        }
    }

    fn let_row_out(&mut self, row: Row, common: &mut Common, out: &mut Vec<Flow>) {
        let owner = row.block.and_then(|block| self.owners.get(&block).or(self.rewriters.get(&block)).copied());
        match row.flow {
            Flow::Mark { seq, gated, by } => {
                let by = by.and(std::mem::take(&mut self.changed));
                out.push(Flow::Mark { seq, gated, by });
            }
            Flow::End(end) => out.push(Flow::End(End { by: end.by.and(self.changed), ..end })),
            Flow::Event(moving) => {
                let counts = |index: &usize| owner.is_none_or(|owner| owner == *index);
                let said = row.said.into_iter().enumerate().filter(|(index, _)| counts(index));
                self.let_event_out(moving, said, common, out);
            }
        }
    }

    fn let_event_out(
        &mut self,
        moving: Moving,
        said: impl Iterator<Item = (usize, Said)>,
        common: &mut Common,
        out: &mut Vec<Flow>,
    ) {
        let Moving { seq, arrived_us, event } = moving;
        let mut instead = None;
        for (index, said) in said {
            let Said::Instead { events, ends } = said else { continue };
            self.changed = self.changed.with(self.members[index].index);
            instead = Some(match instead {
                None => (events, ends),
                Some((before, None)) => (joined(before, events, &event), ends),
                Some(before) => before,
            });
        }
        let (events, ends) = instead.unwrap_or_else(|| (vec![event], None));
        out.extend(events.into_iter().map(|event| Flow::Event(Moving { seq, arrived_us, event })));
        if let Some(Ending { reason, cancel_upstream }) = ends {
            out.push(Flow::End(End { seq, arrived_us, reason, cancel_upstream, by: self.changed }));
            self.ended = true;
            self.rows.clear();
            self.members.iter_mut().for_each(|member| member.quiet(common));
        }
    }
}

impl Said {
    fn of(slot: EventSlot) -> Self {
        let EventSlot { event, ruling, injected, .. } = slot;
        let (events, ends) = match ruling {
            Ruling::Pass | Ruling::Hold if injected.is_empty() => return Self::Pass,
            Ruling::Pass | Ruling::Hold => (event.into_iter().collect(), None),
            Ruling::Replace(events) => (events, None),
            Ruling::End { events, reason, cancel_upstream } => (events, Some(Ending { reason, cancel_upstream })),
        };
        Self::Instead { events: events.into_iter().chain(injected).collect(), ends }
    }
}

/// What two of them put in place of an event that belongs to no block: what both put before it, if both keep it; else what
/// the one says that does not.
fn joined(mut one: Vec<Event>, mut other: Vec<Event>, event: &Event) -> Vec<Event> {
    match (one.last() == Some(event), other.last() == Some(event)) {
        (true, true) => {
            one.pop();
            one.append(&mut other);
            one
        }
        (true, false) => other,
        (false, _) => one,
    }
}
