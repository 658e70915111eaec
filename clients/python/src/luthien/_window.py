"""The proxy's side of a call, without a network: what is held, what is told, and what verdicts make of it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from . import convert
from ._json import Malformed
from ._turn import Turn, Ungrammatical
from .enums import FinishReason, Kind, Level
from .events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Delta,
    Ended,
    Event,
    Failed,
    OpaqueDelta,
    SignatureDelta,
    TextDelta,
    kind_of,
)
from .policy import Interest
from .session import read_interest
from .v1 import call_pb2, policy_pb2

_BATCH_BYTES = 256 * 1024


class ServiceFault(Exception):
    """The policy service broke the protocol: the call ends closed."""


@dataclass(slots=True)
class _Slot:
    seq: int
    event: Event
    size: int
    is_held: bool
    instead: list[Event] | None = None
    """What stands in its place; None: it was passed, or needed no verdict."""


class Window:
    """Holds what has no verdict, and applies verdicts to it."""

    def __init__(self, forward: policy_pb2.Forward) -> None:
        self.held_bytes = 0
        """About how many bytes have come and were not released."""
        self.has_ended = False
        """Whether a verdict has ended the response: what comes is told, and not shown."""
        self.cancel_upstream = False
        self.written = 0
        """The last chunk that was released, or whose replacement was."""
        self._interest: Interest = read_interest(forward)
        self._known = set(forward.known_kinds)
        self._turn = Turn()
        self._slots: deque[_Slot] = deque()
        self._released: list[Event] = []
        self._due: tuple[FinishReason | None] | None = None
        self._blocks: dict[int, tuple[Kind, Level]] = {}
        self._growing: dict[int, _Growing] = {}
        self._untold: deque[policy_pb2.Block | tuple[call_pb2.Chunk, int]] = deque()
        self._last = 0
        self._sent = 0
        self._settled = 0
        self._told = 0
        self._seen = 0

    @property
    def is_holding(self) -> bool:
        """Whether a chunk waits for its verdict."""
        return any(slot.is_held for slot in self._slots)

    @property
    def settled(self) -> int:
        """The last chunk that a verdict named."""
        return self._settled

    @property
    def is_idle(self) -> bool:
        """Whether everything was told and taken."""
        return not self._untold and self._seen == self._told

    @property
    def is_over(self) -> bool:
        """Whether all of the response has been released."""
        return self._turn.is_over

    @property
    def has_failed(self) -> bool:
        """Whether that response failed."""
        return self._turn.has_failed

    def push(self, event: Event, arrived_us: int) -> None:
        """Takes in what the upstream said."""
        kind, level = self._place(event)
        self._last += 1
        chunk = call_pb2.Chunk(seq=self._last, arrived_us=arrived_us, event=convert.event_to_wire(event))
        size = chunk.ByteSize()
        if not self.has_ended:
            self._slots.append(_Slot(self._last, event, size, level is Level.GATE))
            self.held_bytes += size
        if level is Level.RECORD and kind is not None:
            self._grow(chunk, event)
        else:
            self._untold.append((chunk, size))

    def end(self) -> None:
        """The upstream says no more: blocks that have not stopped are told as they are."""
        self._untold.extend(growing.whole() for growing in self._growing.values())
        self._growing.clear()

    def next_message(self) -> policy_pb2.EnforceRequest | None:
        """What is to be told; one message is under way at most."""
        if not self._untold or self._seen < self._told:
            return None
        self._told += 1
        first = self._untold[0]
        if isinstance(first, policy_pb2.Block):
            self._untold.popleft()
            return policy_pb2.EnforceRequest(block=first)
        chunks: list[call_pb2.Chunk] = []
        size = 0
        while self._untold and not isinstance(item := self._untold[0], policy_pb2.Block):
            size += item[1]
            if chunks and size > _BATCH_BYTES:
                break
            self._untold.popleft()
            chunks.append(item[0])
        self._sent = chunks[-1].seq
        return policy_pb2.EnforceRequest(chunks=policy_pb2.Chunks(chunks=chunks))

    def answered(self) -> None:
        """A Consultation is told, beside what is under way."""
        self._told += 1

    def heard(self, response: policy_pb2.EnforceResponse) -> None:
        """Takes in what the service said.

        Raises:
            ServiceFault: It can't say that.
        """
        if not self._seen <= response.seen <= self._told:
            raise ServiceFault(f"it has seen {response.seen} of {self._told} messages, after {self._seen}")
        self._seen = response.seen
        match response.WhichOneof("message"):
            case "verdict":
                self._apply(response.verdict)
            case "interest" | "working" | "consult" | "cancel_consult":
                # Interest that falls is not taken: nothing is told otherwise than it began.
                pass
            case other:
                raise ServiceFault(f"it said {other or 'nothing'}")

    def release(self) -> list[Event]:
        """What may go on its way.

        Raises:
            ServiceFault: What stands there can't stand there.
        """
        try:
            while self._slots and not self._slots[0].is_held and not self._turn.is_over:
                slot = self._slots.popleft()
                self.held_bytes -= slot.size
                for event in [slot.event] if slot.instead is None else slot.instead:
                    self._released += self._turn.put(event)
                self.written = slot.seq
            if self._due is not None and not self._slots and not self._turn.is_over:
                self._released += self._turn.finish(self._due[0])
        except Ungrammatical as why:
            raise ServiceFault(f"a verdict makes a response that can't be: {why}") from None
        released, self._released = self._released, []
        return released

    def _apply(self, verdict: policy_pb2.Verdict) -> None:
        through = verdict.through
        decision = verdict.WhichOneof("decision")
        if self.has_ended:
            raise ServiceFault("a verdict came after the end of the response")
        if through > self._sent:
            raise ServiceFault(f"a verdict through chunk {through}, but only {self._sent} were sent")
        if through < self._settled:
            raise ServiceFault(f"a verdict through chunk {through} after one through {self._settled}")
        self.cancel_upstream |= verdict.cancel_upstream
        match decision:
            case "pass":
                for slot in self._slots:
                    slot.is_held &= slot.seq > through
            case "replace":
                self._replace(through, events_of(verdict.replace.events))
            case "end":
                self._put_instead(through, events_of(verdict.end.events), lambda _: [])
                while self._slots and self._slots[-1].seq > through:
                    self.held_bytes -= self._slots.pop().size
                self.has_ended = True
                self._due = (FinishReason(verdict.end.reason) if verdict.end.reason else None,)
            case _:
                raise ServiceFault("a verdict decides nothing")
        self._settled = through

    def _replace(self, through: int, events: list[Event]) -> None:
        covered = [slot.event.step for slot in self._slots if slot.is_held and slot.seq <= through]
        has_end = any(isinstance(step, Ended) for step in covered)
        if not has_end and any(isinstance(event.step, Ended) for event in events):
            raise ServiceFault(f"a verdict through chunk {through} has an end where the upstream has none")
        goes_on = not any(event.is_last for event in events)

        def rest(event: Event) -> list[Event]:
            # One that failed has failed whatever stands in its place, and the client is not told the upstream's words.
            match event.step:
                case Failed() as failed if goes_on:
                    return [Event(Failed("The upstream's response failed", failed.status))]
                case _:
                    return []

        self._put_instead(through, events, rest)
        if has_end and goes_on:
            self.has_ended, self._due = True, (None,)

    def _put_instead(self, through: int, events: list[Event], rest: Callable[[Event], list[Event]]) -> None:
        """The events stand in the place of the first chunk that the verdict settles; settling none, they are injected."""
        first: list[Event] | None = events
        for slot in self._slots:
            if slot.is_held and slot.seq <= through:
                slot.is_held, slot.instead = False, (first or []) + rest(slot.event)
                first = None
        if first:
            held = (at for at, slot in enumerate(self._slots) if slot.is_held)
            at = next(held, len(self._slots))
            self._slots.insert(at, _Slot(through, Event(Ended()), 0, False, first))

    def _place(self, event: Event) -> tuple[Kind | None, Level]:
        match event.step:
            case BlockStarted(block, block_kind):
                kind = kind_of(block_kind)
                if int(kind) not in self._known:
                    raise ServiceFault(f"it does not know the kind {kind.name}")
                self._blocks[block] = (kind, self._interest.of(kind))
                return self._blocks[block]
            case TextDelta(block) | ArgumentsDelta(block) | SignatureDelta(block):
                return self._blocks.get(block, (Kind.OPAQUE, Level.GATE))
            case BlockStopped(block):
                return self._blocks.pop(block, (Kind.OPAQUE, Level.GATE))
            case OpaqueDelta(block):
                _, level = self._blocks.get(block, (Kind.OPAQUE, Level.GATE))
                return Kind.OPAQUE, max(self._interest.opaque, min(level, Level.OBSERVE))
            case _:
                return None, max(self._interest.strictest, Level.OBSERVE)

    def _grow(self, chunk: call_pb2.Chunk, event: Event) -> None:
        """A chunk of a block that is told whole."""
        match event.step:
            case BlockStarted(key):
                at, arrived_us = chunk.seq, chunk.arrived_us
                block = policy_pb2.Block(
                    first=at,
                    last=at,
                    first_arrived_us=arrived_us,
                    last_arrived_us=arrived_us,
                    started=chunk.event.block_started,
                    extras_json=event.extras_json,
                )
                self._growing[key] = _Growing(block)
            case TextDelta(key) | ArgumentsDelta(key) | SignatureDelta(key) | OpaqueDelta(key) | BlockStopped(key):
                growing = self._growing.get(key)
                if growing is None:
                    return
                growing.block.last, growing.block.last_arrived_us = chunk.seq, chunk.arrived_us
                if isinstance(event.step, BlockStopped):
                    growing.block.stopped = True
                    self._untold.append(self._growing.pop(key).whole())
                else:
                    growing.pieces.append((event.step, event.extras_json))
            case _:
                pass


@dataclass(slots=True)
class _Growing:
    """A block that is told whole, and has not stopped."""

    block: policy_pb2.Block
    pieces: list[tuple[Delta, str]] = field(default_factory=list)

    def whole(self) -> policy_pb2.Block:
        """Neighbouring pieces of one sort are joined. A piece with extras stands alone."""
        for _, group in itertools.groupby(enumerate(self.pieces), _sort):
            pieces = [piece for _, piece in group]
            joined = _join([delta for delta, _ in pieces])
            delta = policy_pb2.Delta(delta=convert.delta_to_wire(joined), extras_json=pieces[0][1])
            self.block.deltas.append(delta)
        return self.block


def _sort(numbered: tuple[int, tuple[Delta, str]]) -> tuple[object, int]:
    number, (delta, extras_json) = numbered
    stands_alone = bool(extras_json) or not isinstance(delta, TextDelta | ArgumentsDelta)
    return type(delta), number if stands_alone else -1


def _join(deltas: list[Delta]) -> Delta:
    match deltas[0]:
        case TextDelta(block):
            return TextDelta(block, "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)))
        case ArgumentsDelta(block):
            pieces = (delta.arguments for delta in deltas if isinstance(delta, ArgumentsDelta))
            return ArgumentsDelta(block, "".join(pieces))
        case alone:
            return alone


def events_of(wire: Iterable[call_pb2.Event]) -> list[Event]:
    """Reads events that a service made.

    Raises:
        ServiceFault: They can't be read.
    """
    try:
        return [convert.event(each) for each in wire]
    except Malformed as malformed:
        raise ServiceFault(str(malformed)) from None
