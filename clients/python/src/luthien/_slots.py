"""What a policy has taken in and not decided yet, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from .enums import FinishReason
from .policy import Held
from .v1.call_pb2 import Event


@dataclass(frozen=True, slots=True)
class Pass:
    """It goes on as it is."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not decided yet."""


@dataclass(frozen=True, slots=True)
class Replace:
    """These instead."""

    events: list[Event]


@dataclass(frozen=True, slots=True)
class End:
    """These instead, and the response is over."""

    events: list[Event]
    reason: FinishReason | None
    cancel_upstream: bool


Ruling: TypeAlias = Pass | Hold | Replace | End


@dataclass(slots=True)
class Slot:
    """One place in the queue."""

    seq: int
    event: Event | None
    """None: a stop that never came; to pass it is to let out nothing."""
    ruling: Ruling
    gated: bool = False
    """Whether the chunk needs a verdict."""
    is_chunk: bool = True
    """Whether a chunk is settled with it."""
    injected: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a chunk."""

    seq: int
    gated: bool
    events: list[Event] | None
    """None: it passed."""


@dataclass(frozen=True, slots=True)
class Over:
    """The response is over at that chunk."""

    seq: int
    end: End
    """With all events that stand there."""


class Slots:
    """A queue that gives up its decided prefix."""

    def __init__(self) -> None:
        self._queue: deque[tuple[int, Slot]] = deque()
        self._held: dict[int, Slot] = {}
        self._next = 0
        self._events: list[Event] = []
        self._changed = False

    @property
    def next(self) -> Held:
        """The ticket of the slot that is pushed next."""
        return Held(self._next)

    @property
    def undecided(self) -> int:
        """How many events wait for their ruling."""
        return len(self._held)

    def push(self, slot: Slot) -> None:
        """Puts a slot behind the others."""
        if isinstance(slot.ruling, Hold):
            self._held[self._next] = slot
        self._queue.append((self._next, slot))
        self._next += 1

    def is_held(self, held: Held) -> bool:
        """Whether an event is still held."""
        return held.number in self._held

    def settle(self, held: Held, ruling: Ruling) -> bool:
        """Decides about a held event; False: it is not held."""
        slot = self._held.pop(held.number, None)
        if slot is None:
            return False
        slot.ruling = ruling
        return True

    def end(self, held: Held, ruling: End) -> bool:
        """The response ends at a held event: what else is held is dropped, and so is all behind it."""
        if not self.settle(held, ruling):
            return False
        self.settle_all(Replace([]))
        while self._queue and self._queue[-1][0] > held.number:
            self._queue.pop()
        return True

    def settle_all(self, ruling: Ruling) -> None:
        """Decides about everything that is held."""
        for slot in self._held.values():
            slot.ruling = ruling
        self._held.clear()

    def drain(self) -> Iterator[Settled | Over]:
        """Lets out the decided prefix."""
        while self._queue and not isinstance(self._queue[0][1].ruling, Hold):
            slot = self._queue.popleft()[1]
            match slot.ruling:
                case Pass():
                    self._events += [slot.event] if slot.event is not None else []
                case Replace(events):
                    self._events += events
                    self._changed |= slot.event is not None or bool(events)
                case End(events, reason, cancel_upstream):
                    all_of_it = [*self._events, *events, *slot.injected]
                    yield Over(slot.seq, End(all_of_it, reason, cancel_upstream))
                    return
                case Hold():
                    pass
            self._events += slot.injected
            self._changed |= bool(slot.injected)
            if slot.is_chunk:
                yield Settled(slot.seq, slot.gated, self._events if self._changed else None)
                self._events, self._changed = [], False
