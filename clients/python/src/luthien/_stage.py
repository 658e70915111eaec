"""One policy in one call: which hooks run for what, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ._slots import End, Hold, Over, Pass, Replace, Settled, Slot
from ._voice import Voice
from .enums import FailureMode, Kind, Level, Outcome, Severity
from .events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Ended,
    Event,
    Failed,
    Finished,
    Opaque,
    OpaqueDelta,
    SignatureDelta,
    Started,
    TextDelta,
    ToolCall,
    Usage,
    kind_of,
)
from .output import ConsultedOutput, HookOutput, RequestOutput, SummaryOutput
from .policy import Call, ConsultId, Consulted, Held, Interest, Policy, Seen, SeenBlock
from .v1 import call_pb2, policy_pb2

_CHUNK_HOOKS = {
    Kind.TEXT: "on_content_chunk",
    Kind.THINKING: "on_thinking_chunk",
    Kind.REFUSAL: "on_refusal_chunk",
    Kind.TOOL_CALL: "on_tool_call_chunk",
    Kind.OPAQUE: "on_opaque_chunk",
}
_STOP_HOOKS = _CHUNK_HOOKS | {Kind.TEXT: "on_content_completed", Kind.TOOL_CALL: "on_tool_call_completed"}
_COMPLETED = ("on_content_completed", "on_tool_call_completed")


class PolicyFailed(Exception):
    """A closed policy failed: the call must not go on."""


@dataclass(slots=True)
class _Open:
    """A block that is open."""

    seen: SeenBlock
    whole: list[str] = field(default_factory=list)
    stop: Held | None = None
    """Its stop, if the policy held it."""


class Stage:
    """A policy, and what it has not decided yet."""

    def __init__(self, policy: Policy, call: Call) -> None:
        self.name = policy.name or type(policy).__name__
        self.voice = Voice(self.name, call.call_id, can_consult="consult" in call.capabilities)
        self.interest = Interest.all(Level.RECORD)
        self.failure_mode = FailureMode(policy.failure_mode)
        self.hold_ms = 0
        """How long a chunk may be held; 0: as long as the proxy lets it."""
        self.can_close = True
        """Whether anything can be kept from the client: before Admission, and where anything was gated then."""
        self.has_lowered = False
        self.has_ended = False
        self._policy: Policy | None = policy
        self._call = call
        self._open: dict[int, _Open] = {}
        self._over: int | None = None
        """Where the response was over, if it is: nothing more comes that the policy could wait for, but answers."""

    def has(self, hook: str) -> bool:
        """Whether the policy has a hook of its own."""
        return getattr(getattr(self._policy, hook, None), "__func__", None) is not getattr(Policy, hook)

    def begin(self) -> None:
        """Begins the policy's state.

        Raises:
            PolicyFailed: It could not.
        """

        def begin(policy: Policy) -> None:
            policy.begin(self._call)
            self.interest = policy.interest
            self.hold_ms = 0 if policy.hold_seconds is None else max(1, round(policy.hold_seconds * 1000))

        self._guard("begin", begin)

    def request(self) -> tuple[policy_pb2.Reject | policy_pb2.Answer | None, list[policy_pb2.Edit]]:
        """Shows the policy the request, and gives what keeps it from going upstream, and its edits.

        Raises:
            PolicyFailed: It failed at it.
        """
        out = RequestOutput(self.voice, len(self._call.request.messages))
        if self._guard("on_request", lambda policy: policy.on_request(self._call, out), out=out):
            return out._reject or out._answer, out._edits
        return None, []

    def chunk(self, chunk: call_pb2.Chunk, event: Event, *, gated: bool) -> list[Settled | Over]:
        """Takes in a chunk, and lets out what is decided.

        Raises:
            PolicyFailed: The policy did, and is closed.
        """
        if event.is_last and self._policy is not None:
            self._cut_off(chunk.seq, chunk.arrived_us)
        if self.has_ended:
            return list(self.voice.slots.drain())
        match event.step:
            case BlockStarted() as started:
                self._enter(started)
            case TextDelta(block, text) | ArgumentsDelta(block, text):
                self._append(block, text)
            case _:
                pass
        slot = Slot(chunk.seq, chunk.event, Pass(), gated)
        if self._policy is not None:
            level, placed, hook = self._place(event)
            seen = Seen(chunk.seq, chunk.arrived_us, event, placed)
            hooks = ["on_chunk_started"] if level > Level.RECORD else []
            if hook and (level > Level.RECORD or hook in _COMPLETED):
                hooks.append(hook)
            self._judge(seen, level, hooks, slot)
        self.voice.slots.push(slot)
        if event.is_last:
            self._over = chunk.seq
            self._check_over()
        return list(self.voice.slots.drain())

    def recorded(self, block: policy_pb2.Block, started: BlockStarted) -> list[Settled | Over]:
        """A block that is only recorded came, whole, or a part of one that is too large.

        Raises:
            PolicyFailed: The policy did, and is closed.
        """
        if self._policy is None or self.has_ended:
            return []
        self._enter(started)
        for delta in block.deltas:
            self._append(started.block, delta.delta.text or delta.delta.arguments)
        event = Event(BlockStopped(started.block))
        _, placed, hook = self._place(event)
        seen = Seen(block.last, block.last_arrived_us, event, placed, block.stopped)
        slot = Slot(block.last, None, Pass(), is_chunk=False)
        self._judge(seen, Level.RECORD, [hook] if hook in _COMPLETED else [], slot)
        return list(self.voice.slots.drain())

    def consulted(self, id: ConsultId, events: Sequence[Event]) -> list[Settled | Over]:
        """The answer to a consult came.

        Raises:
            PolicyFailed: The policy failed at it, and is closed.
        """
        out = ConsultedOutput(self.voice)
        self._guard("on_consulted", lambda policy: policy.on_consulted(Consulted(id, events), out), out=out)
        if out._has_ended and self._policy is not None:
            self.has_ended = True
            self.voice.cancel_all()
        self._check_over()
        return list(self.voice.slots.drain())

    def completed(self, outcome: Outcome) -> None:
        """The call is over: the last hook runs."""
        out = SummaryOutput(self.voice, 0)
        try:
            self._guard("on_response_completed", lambda policy: policy.on_response_completed(outcome, out), out=out)
        except PolicyFailed:
            pass  # there is nothing left to keep from anybody

    def _guard(
        self,
        doing: str,
        run: Callable[[Policy], None],
        *,
        out: SummaryOutput | HookOutput | ConsultedOutput | None = None,
        seq: int = 0,
    ) -> bool:
        """Runs what a policy wrote; False: it failed, and is open, or had failed before."""
        if self._policy is None:
            return False
        self.voice.misuse = None
        error: BaseException | None = None
        try:
            run(self._policy)
        except (Exception, SystemExit) as raised:
            error = raised
        finally:
            if out is not None:
                out._close()
        error = self.voice.misuse or error
        if self.voice.lowered is not None:
            self.interest = self.interest.meet(self.voice.lowered)
            self.voice.lowered, self.has_lowered = None, True
        if error is None:
            return True
        self._fail(doing, error, seq)
        return False

    def _fail(self, doing: str, error: BaseException, seq: int) -> None:
        """The policy is never run again, and its failure mode says whether the call goes on. Where nothing at all is gated it
        does in any case: nothing could be kept from the client."""
        details: dict[str, object] = {"doing": doing, "error": f"{type(error).__name__}: {error}"}
        self.voice.annotate(seq, Severity.ERROR, f"policy {self.name} failed", details)
        self._policy = None
        self.voice.cancel_all()
        if self.failure_mode is FailureMode.CLOSED and self.can_close:
            raise PolicyFailed(self.name) from error
        self.voice.slots.settle_all(Pass())

    def _judge(self, seen: Seen, level: Level, hooks: list[str], slot: Slot) -> None:
        """Runs hooks, and puts what they decided into the slot."""
        choice = seen.block.choice if seen.block is not None else 0
        out = HookOutput(self.voice, seen.seq, gated=level is Level.GATE, choice=choice)
        opened = self._open.get(seen.block.key) if seen.block is not None else None
        whole = "".join(opened.whole) if opened is not None and hooks and hooks[-1] in _COMPLETED else ""

        def run(policy: Policy) -> None:
            for hook in hooks:
                if hook in _COMPLETED:
                    getattr(policy, hook)(whole, seen, out)
                else:
                    getattr(policy, hook)(seen, out)

        ran = self._guard(hooks[-1] if hooks else "", run, out=out, seq=seen.seq) if hooks else True
        ruling = out._ruling if ran else Pass()
        if isinstance(seen.step, BlockStopped):
            if isinstance(ruling, Hold) and seen.stopped and slot.is_chunk and opened is not None:
                opened.stop, opened.whole = self.voice.slots.next, []
            else:
                self._open.pop(seen.step.block, None)
        slot.ruling, slot.injected = ruling, out._injected if ran else []
        if isinstance(ruling, End):
            self.voice.slots.settle_all(Replace([]))
            self.has_ended = True
            self.voice.cancel_all()

    def _cut_off(self, seq: int, arrived_us: int) -> None:
        """The response is over: the hooks of every open block's stop run, as if it had come."""
        for key, opened in sorted(self._open.items()):
            if opened.stop is not None and not self.voice.slots.is_held(opened.stop):
                del self._open[key]
                continue
            if self._policy is None or self.has_ended:
                return
            event = Event(BlockStopped(key))
            level, block, hook = self._place(event)
            runs = hook and (level > Level.RECORD or hook in _COMPLETED)
            slot = Slot(seq, None, Pass(), is_chunk=False)
            self._judge(Seen(seq, arrived_us, event, block, stopped=False), level, [hook] if runs else [], slot)
            self.voice.slots.push(slot)

    def _check_over(self) -> None:
        """Nothing more will come that the policy could wait for, but answers of models."""
        held = self.voice.slots.undecided
        if self._over is None or not held or self.voice.is_waiting or self._policy is None:
            return
        error = RuntimeError(f"it still held {held} chunks when the response was over")
        self._fail("the end", error, self._over)

    def _enter(self, started: BlockStarted) -> None:
        tool = started.kind if isinstance(started.kind, ToolCall) else None
        seen = SeenBlock(started.block, started.choice, kind_of(started.kind), tool)
        self._open[started.block] = _Open(seen)

    def _append(self, block: int, text: str) -> None:
        opened = self._open.get(block)
        if opened is not None and text:
            hook = _STOP_HOOKS[opened.seen.kind]
            if hook in _COMPLETED and self.has(hook):
                opened.whole.append(text)

    def _place(self, event: Event) -> tuple[Level, SeenBlock | None, str]:
        """What is wanted of an event, the block that it belongs to, and the hook that is its own."""
        of_call = max(self.interest.strictest, Level.OBSERVE)
        match event.step:
            case BlockStarted(block) | TextDelta(block) | ArgumentsDelta(block) | SignatureDelta(block):
                return self._of_block(block, _CHUNK_HOOKS)
            case BlockStopped(block):
                return self._of_block(block, _STOP_HOOKS)
            case OpaqueDelta(block):
                _, seen, _ = self._of_block(block, _CHUNK_HOOKS)
                return self.interest.opaque, seen, "on_opaque_chunk"
            case Started():
                return of_call, None, "on_response_started"
            case Usage():
                return of_call, None, "on_usage"
            case Finished():
                return of_call, None, "on_finished"
            case Opaque():
                return of_call, None, "on_opaque_chunk"
            case Failed():
                return of_call, None, "on_failed"
            case Ended():
                return of_call, None, ""

    def _of_block(self, block: int, hooks: dict[Kind, str]) -> tuple[Level, SeenBlock | None, str]:
        """Of a block that was never started, nothing is known: it is as strict as can be."""
        opened = self._open.get(block)
        kind = opened.seen.kind if opened is not None else Kind.OPAQUE
        return self.interest.of(kind), opened.seen if opened is not None else None, hooks[kind]


def details_json(details: dict[str, object] | None) -> str:
    """The details of a note, as the wire has them."""
    return "" if details is None else json.dumps(details, allow_nan=False)
