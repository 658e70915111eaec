"""What the proxy may say, and when."""

from __future__ import annotations

from .enums import Kind, Level
from .events import (
    POLICY_BLOCKS,
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    OpaqueDelta,
    SignatureDelta,
    Started,
    TextDelta,
    kind_of,
)
from .policy import Interest
from .v1 import policy_pb2


class Fault(Exception):
    """The proxy broke the protocol: the call ends closed."""


class Intake:
    """What has been received, as far as the order of what follows depends on it."""

    def __init__(self, admitted: Interest) -> None:
        self.interest = admitted
        """What is wanted now. From when on the proxy keeps to it is not known."""
        self.last = 0
        """The last chunk."""
        self._admitted = admitted
        self._started = False
        self._over = False
        self._known: set[int] = set()
        self._open: dict[int, Kind] = {}
        self._in_parts: set[int] = set()

    def chunk(self, seq: int, event: Event) -> bool:
        """Checks a chunk, and says whether it may need a verdict.

        Raises:
            Fault: It can't come here.
        """
        if seq <= self.last:
            raise Fault(f"chunk {seq} came after chunk {self.last}")
        if seq != self.last + 1 and all(self.interest.of(kind) is not Level.RECORD for kind in Kind):
            raise Fault(f"chunk {seq} came after chunk {self.last}, and those between them are missing")
        if self._over:
            raise Fault(f"chunk {seq} came after the end of the response")
        self.last = seq
        self._over = event.is_last
        kind = self._kind(seq, event)
        return self._admitted.gates if kind is None else self._admitted.of(kind) is Level.GATE

    def block(self, block: policy_pb2.Block, started: BlockStarted) -> None:
        """Checks a recorded block.

        Raises:
            Fault: It can't come here.
        """
        if self.interest.of(kind_of(started.kind)) is not Level.RECORD:
            raise Fault(f"block {started.block} came whole, although its kind is to be sent chunk by chunk")
        if block.first == 0 or block.last < block.first:
            raise Fault(f"block {started.block} came with chunks {block.first} to {block.last}")
        if started.block not in self._in_parts:
            self._start(block.first, started.block)
        if block.stopped:
            self._in_parts.discard(started.block)
        else:
            self._in_parts.add(started.block)

    def _kind(self, seq: int, event: Event) -> Kind | None:
        match event.step:
            case Started() if self._started:
                raise Fault(f"chunk {seq} starts the response for a second time")
            case Started():
                self._started = True
                return None
            case BlockStarted(block, kind):
                self._start(seq, block)
                self._open[block] = kind_of(kind)
                return self._open[block]
            case OpaqueDelta():
                # It may belong to a block that is itself only recorded, and so not known here yet.
                return Kind.OPAQUE
            case TextDelta(block) | ArgumentsDelta(block) | SignatureDelta(block):
                if block not in self._open:
                    raise Fault(f"chunk {seq} belongs to block {block}, which is not open")
                return self._open[block]
            case BlockStopped(block):
                if block not in self._open:
                    raise Fault(f"chunk {seq} belongs to block {block}, which is not open")
                return self._open.pop(block)
            case _:
                return None

    def _start(self, seq: int, block: int) -> None:
        if block >= POLICY_BLOCKS:
            raise Fault(f"chunk {seq} starts block {block}: such keys belong to the policies")
        if block in self._known:
            raise Fault(f"chunk {seq} starts block {block} for a second time")
        self._known.add(block)
