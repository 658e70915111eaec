//! Which hooks run for what, by what the policy wants of it.

use luthien_proto::message::{Interest, Level};

use super::{
    How,
    blocks::{is_completed, stop_hook},
};
use crate::policy::{Hook, Hooks, Place};

/// What a policy wants of a place. What belongs to no block is gated when anything is, else observed.
pub(super) fn level(interest: &Interest, place: Place) -> Level {
    match place {
        Place::Kind(kind) => interest.of(kind),
        Place::Call => interest.strictest().max(Level::Observe),
    }
}

/// The hooks that run for an event, in order.
pub(super) fn hooks_of(hooks: Hooks, own: Option<Hook>, level: Level, how: How) -> [Option<Hook>; 2] {
    let own = own.filter(|own| hooks.has(*own));
    match level {
        Level::Record => [None, own.filter(|own| is_completed(*own))],
        Level::Observe | Level::Gate => {
            let first = hooks.has(Hook::ChunkStarted) && how == How::Came;
            [first.then_some(Hook::ChunkStarted), own]
        }
    }
}

/// Whether a hook sees the event, now or with the block whole.
pub(super) fn is_covered(hooks: Hooks, place: Place, own: Option<Hook>, level: Level) -> bool {
    let completed = match place {
        Place::Kind(kind) => stop_hook(kind).filter(|hook| is_completed(*hook) && hooks.has(*hook)),
        Place::Call => None,
    };
    let at_once = level > Level::Record && (hooks.has(Hook::ChunkStarted) || own.is_some_and(|own| hooks.has(own)));
    completed.is_some() || at_once
}
