"""What the outputs of all hooks of a policy have in common."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence

from . import convert
from ._slots import Slots
from .enums import Severity
from .events import POLICY_BLOCKS, Event
from .policy import Annotation, ConsultId, Interest, Question
from .v1 import call_pb2, policy_pb2

_64 = (1 << 64) - 1


class HookError(Exception):
    """A policy failed at its work: what its failure mode says happens to the call."""


class Random:
    """Numbers that look random, and are the same for the same policy in the same call. SplitMix64; not for secrets."""

    def __init__(self, call_id: str, policy: str) -> None:
        digest = hashlib.sha256(uuid.UUID(call_id).bytes + policy.encode()).digest()
        self._state = int.from_bytes(digest[:8], "big")

    def draw(self) -> int:
        """The next one: 64 bits."""
        self._state = (self._state + 0x9E37_79B9_7F4A_7C15) & _64
        mixed = ((self._state ^ self._state >> 30) * 0xBF58_476D_1CE4_E5B9) & _64
        mixed = ((mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB) & _64
        return mixed ^ mixed >> 31


class Voice:
    """What a policy has said beside its decisions."""

    def __init__(self, policy: str, call_id: str, *, can_consult: bool) -> None:
        self.policy = policy
        self.slots = Slots()
        self.notes: list[Annotation] = []
        """Those that nobody was told yet."""
        self.all_notes: list[Annotation] = []
        self.asks: list[policy_pb2.Consult | str] = []
        """Consults that nobody was told yet, and the ids of those that were cancelled."""
        self.lowered: Interest | None = None
        self.misuse: HookError | None = None
        """What the policy did that it may not, whether or not it let that be raised."""
        self._random = Random(call_id, policy)
        self._can_consult = can_consult
        self._next_block = POLICY_BLOCKS
        self._asked = 0
        self._running: set[int] = set()
        self._cancelled: set[int] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether an answer may still come."""
        return bool(self._running)

    def fault(self, what: str) -> HookError:
        """The policy does what it may not."""
        error = HookError(what)
        self.misuse = self.misuse or error
        return error

    def annotate(self, seq: int, severity: Severity, summary: str, details: dict[str, object] | None) -> None:
        """Adds a note."""
        json.dumps(details, allow_nan=False)
        note = Annotation(self.policy, severity, summary, details, seq)
        self.notes.append(note)
        self.all_notes.append(note)

    def new_block(self) -> int:
        """A key that no other block of the call has."""
        self._next_block += 1
        return self._next_block - 1

    def random(self) -> int:
        """The next number."""
        return self._random.draw()

    def lower(self, interest: Interest) -> None:
        """From the next chunk on no more is wanted than that."""
        self.lowered = interest if self.lowered is None else self.lowered.meet(interest)

    def consult(self, question: Question) -> ConsultId:
        """Asks a model."""
        if not self._can_consult:
            raise self.fault("it has a question, and the proxy is not able to ask models")
        self._asked += 1
        deadline_ms = 0 if question.deadline is None else max(1, round(question.deadline * 1000))
        consult = policy_pb2.Consult(
            id=self._id(self._asked),
            request=question.request,
            upstream=question.upstream,
            credentials=policy_pb2.Credentials.Name(question.credentials),
            deadline_ms=deadline_ms,
            reuse=question.reuse,
        )
        self._running.add(self._asked)
        self.asks.append(consult)
        return ConsultId(self._asked)

    def cancel_consult(self, id: ConsultId) -> None:
        """No answer is needed any more."""
        if id.number in self._running:
            self._running.remove(id.number)
            self._cancelled.add(id.number)
            self.asks.append(self._id(id.number))

    def cancel_all(self) -> None:
        """Nothing of the response depends on the policy any more."""
        for number in sorted(self._running):
            self.cancel_consult(ConsultId(number))

    def answered(self, id: str) -> ConsultId | None:
        """An answer came; None: nobody waits for it any more.

        Raises:
            KeyError: It was never asked for, or has been given.
        """
        policy, _, number = id.rpartition("/")
        asked = int(number) if number.isascii() and number.isdigit() else 0
        if policy != self.policy or number != str(asked) or asked not in self._running | self._cancelled:
            raise KeyError(id)
        if asked in self._cancelled:
            return None
        self._running.remove(asked)
        return ConsultId(asked)

    def _id(self, number: int) -> str:
        return f"{self.policy}/{number}"


def to_wire(events: Sequence[Event]) -> list[call_pb2.Event]:
    """Writes events that a policy made."""
    return [convert.event_to_wire(event) for event in events]
