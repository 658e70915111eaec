//! The keys of blocks: what a remote policy calls them, and what they are called in the call.

use std::collections::{BTreeMap, BTreeSet};

use luthien_proto::{
    Event, Step,
    event::{BlockKey, BlockStarted},
};

use crate::{policy::HookError, stage::keys::first_of};

/// The first key by which a remote policy is told of the block of another policy.
const OTHERS_FIRST: u32 = 1 << 30;

/// To the service all that comes is the upstream's, and what it makes has keys of its own from 2³¹ on, as it would say them to
/// any proxy. In the call the latter are new.
#[derive(Debug)]
pub(super) struct Keys {
    /// The blocks that it was told of, as it knows them.
    known: BTreeSet<BlockKey>,
    /// The blocks of policies before it, and what it knows them by; and back.
    others: BTreeMap<BlockKey, BlockKey>,
    back: BTreeMap<BlockKey, BlockKey>,
    /// Its own blocks, and what they are called.
    own: BTreeMap<BlockKey, BlockKey>,
    next: u32,
}

impl Keys {
    pub fn new(index: usize) -> Self {
        let (known, others, back) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { known, others, back, own: BTreeMap::new(), next: first_of(index) }
    }

    /// An event as it is told.
    pub fn told(&mut self, mut event: Event) -> Event {
        if let Step::BlockStarted(started) = &mut event.step {
            started.block = self.know(started.block);
            return event;
        }
        if let Some(key) = key_of(&mut event.step) {
            *key = self.others.get(key).copied().unwrap_or(*key);
        }
        event
    }

    /// Events as they stand in the call.
    pub fn made(&mut self, events: Vec<Event>) -> Result<Vec<Event>, HookError> {
        events.into_iter().map(|event| self.made_one(event)).collect()
    }

    fn know(&mut self, key: BlockKey) -> BlockKey {
        let told = match key.is_policys() {
            false => key,
            true => match self.others.get(&key) {
                Some(told) => *told,
                None => BlockKey(OTHERS_FIRST + u32::try_from(self.others.len()).unwrap_or(u32::MAX >> 2)),
            },
        };
        if key.is_policys() {
            self.others.insert(key, told);
            self.back.insert(told, key);
        }
        self.known.insert(told);
        told
    }

    fn made_one(&mut self, mut event: Event) -> Result<Event, HookError> {
        if let Step::BlockStarted(BlockStarted { block, .. }) = &mut event.step {
            *block = self.start(*block)?;
            return Ok(event);
        }
        if let Some(key) = key_of(&mut event.step) {
            let called = if key.is_policys() { self.own.get(key) } else { self.back.get(key) };
            *key = match called {
                Some(called) => *called,
                None if self.known.contains(key) => *key,
                None => return Err(HookError(format!("block {} is not known to it", key.0))),
            };
        }
        Ok(event)
    }

    /// One of its own, or one that it was told of: then it stands in the place of that.
    fn start(&mut self, key: BlockKey) -> Result<BlockKey, HookError> {
        if !key.is_policys() {
            let called = self.back.get(&key).copied().or_else(|| self.known.contains(&key).then_some(key));
            return called.ok_or_else(|| HookError(format!("block {} has a key of the upstream's", key.0)));
        }
        if self.own.contains_key(&key) {
            return Err(HookError(format!("block {} was started twice", key.0)));
        }
        let called = BlockKey(self.next);
        self.next = self.next.wrapping_add(1).max(BlockKey::POLICY_FIRST.0);
        self.own.insert(key, called);
        Ok(called)
    }
}

/// The block that a piece or a stop belongs to.
fn key_of(step: &mut Step) -> Option<&mut BlockKey> {
    match step {
        Step::BlockDelta(delta) => Some(&mut delta.block),
        Step::BlockStopped(key) => Some(key),
        Step::BlockStarted(_)
        | Step::Started(_)
        | Step::Usage(_)
        | Step::Finished(_)
        | Step::Opaque(_)
        | Step::Ended
        | Step::Failed(_) => None,
    }
}
