"""One call, as the policy service sees it: messages of the proxy go in, answers come out.

It has no clock, no sockets and no tasks: the same messages give the same answers, however they were batched.
"""

from __future__ import annotations

import enum

from . import convert
from ._intake import Fault, Intake
from ._json import Malformed
from ._slots import Over, Settled
from ._stage import PolicyFailed, Stage
from ._verdicts import Verdicts
from .enums import Dialect, Kind, Level, Outcome
from .policy import Annotation, Call, Interest, Policy
from .v1 import policy_pb2

__all__ = ["Fault", "Session"]


class _State(enum.Enum):
    """open ──end, failure──▶ over ──CallEnded──▶ ended; stopped ──CallEnded──▶ ended"""

    OPEN = enum.auto()
    STOPPED = enum.auto()
    """The call does not go upstream: it is refused, or answered."""
    OVER = enum.auto()
    ENDED = enum.auto()


class Session:
    """A call, from its beginning on."""

    def __init__(
        self,
        policy: Policy,
        started: policy_pb2.CallStarted,
        *,
        revision: str,
        resumed: policy_pb2.CallResumed | None = None,
    ) -> None:
        """Begins a call, or takes one over: the policy sees the request.

        Raises:
            Fault: What the proxy told can't be read.
        """
        try:
            convert.check_started(started)
            self.call = read_call(started)
            if resumed is not None:
                _check_resumed(resumed)
        except Malformed as malformed:
            raise Fault(str(malformed)) from None
        self._stage = Stage(policy, self.call)
        self._verdicts = Verdicts(resumed)
        self._outputs: list[policy_pb2.EnforceResponse] = []
        self._lowered: Interest | None = None
        self.outcome = Outcome.UNKNOWN
        """How the call ended, once it has."""
        self.seen = 0
        """The Chunks, Block and Consultation messages taken."""
        self._begin(resumed.admission if resumed is not None and resumed.HasField("admission") else None, revision)

    @property
    def annotations(self) -> list[Annotation]:
        """All that the policy noted, in order."""
        return self._stage.voice.all_notes

    @property
    def has_ended(self) -> bool:
        """Whether the call is over: nothing follows."""
        return self._state is _State.ENDED

    def take(self) -> list[policy_pb2.EnforceResponse]:
        """What is to be said to the proxy."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def handle(self, request: policy_pb2.EnforceRequest) -> list[policy_pb2.EnforceResponse]:
        """Takes in what the proxy says, and answers it.

        Raises:
            Fault: The proxy broke the protocol: the stream is to be closed with an error.
        """
        try:
            self._handle(request)
        except Malformed as malformed:
            raise Fault(str(malformed)) from None
        return self.take()

    def lost(self) -> None:
        """The proxy's stream broke before CallEnded: what the client got is not known."""
        if self._state is not _State.ENDED:
            self._end(Outcome.UNKNOWN)

    def _begin(self, stands: policy_pb2.Admission | None, revision: str) -> None:
        failed: PolicyFailed | None = None
        stop: policy_pb2.Reject | policy_pb2.Answer | None = None
        edits: list[policy_pb2.Edit] = []
        try:
            self._stage.begin()
            stop, edits = self._stage.request()
        except PolicyFailed as error:
            failed = error
            stop = policy_pb2.Reject(status=500, message=f"policy {self._stage.name} failed")
        if isinstance(stop, policy_pb2.Answer) and "answer" not in self.call.capabilities:
            stop = policy_pb2.Reject(
                status=500, message="the policy answers this call, and the proxy is not able to say that"
            )
        if stop is None and edits and "edits" not in self.call.capabilities:
            stop = policy_pb2.Reject(
                status=500, message="the policy changed the request, and the proxy is not able to send it so"
            )
        admission = stands if stands is not None else self._admission(stop, edits, revision)
        is_forwarded = admission.HasField("forward")
        self._state = _State.OPEN if is_forwarded else _State.STOPPED
        interest = read_interest(admission.forward) if is_forwarded else Interest.all(Level.RECORD)
        self._stage.interest = self._stage.interest.meet(interest)
        self._stage.can_close = interest.gates
        self._intake = Intake(interest)
        self._note()
        if stands is None:
            self._say(policy_pb2.EnforceResponse(admission=admission))
        elif failed is not None:
            # It failed at what it once did: the Admission stands, and the call ends.
            self._fail()
            self._speak()
        if not self._outputs:
            self._say(policy_pb2.EnforceResponse(working=policy_pb2.Working()))

    def _admission(
        self, stop: policy_pb2.Reject | policy_pb2.Answer | None, edits: list[policy_pb2.Edit], revision: str
    ) -> policy_pb2.Admission:
        admission = policy_pb2.Admission(revision=revision, pipeline=[self._stage.name], capabilities=["resume"])
        if isinstance(stop, policy_pb2.Reject):
            admission.reject.CopyFrom(stop)
            return admission
        if isinstance(stop, policy_pb2.Answer):
            admission.answer.CopyFrom(stop)
            return admission
        admission.forward.CopyFrom(
            policy_pb2.Forward(
                interest=write_interest(self._stage.interest),
                failure_mode=policy_pb2.FailureMode.Name(self._stage.failure_mode),
                known_kinds=[policy_pb2.Kind.Name(kind) for kind in Kind],
                edits=edits,
            )
        )
        if self._stage.hold_ms:
            admission.forward.limits.hold_ms = self._stage.hold_ms
        return admission

    def _handle(self, request: policy_pb2.EnforceRequest) -> None:
        kind = request.WhichOneof("message")
        if self._state is _State.ENDED:
            raise Fault("a message came after CallEnded")
        match kind:
            case "call_ended":
                self._end(Outcome(request.call_ended.outcome))
            case "chunks" | "block" if self._state is _State.STOPPED:
                raise Fault("a part of a response came, although the call was not forwarded")
            case "chunks":
                self._chunks(request.chunks)
            case "block":
                self._block(request.block)
            case "consultation" if self._state is not _State.STOPPED:
                self._consultation(request.consultation)
            case "call_started":
                raise Fault("CallStarted came twice")
            case None:
                raise Fault("message: not set")
            case _:
                raise Fault("a message came that nothing asked for")

    def _chunks(self, batch: policy_pb2.Chunks) -> None:
        # All of it is checked before any of it has an effect.
        chunks = convert.check_batch(batch)
        gated = [self._intake.chunk(chunk.seq, event) for chunk, event in chunks]
        self.seen += 1
        for (chunk, event), is_gated in zip(chunks, gated, strict=True):
            if self._state is _State.OPEN:
                try:
                    self._settle(self._stage.chunk(chunk, event, gated=is_gated))
                except PolicyFailed:
                    self._fail()
        self._answer()

    def _block(self, block: policy_pb2.Block) -> None:
        if not block.HasField("started"):
            raise Malformed("block.started", "not set")
        convert.check_message(block)
        started = convert.block_started(block.started)
        self._intake.block(block, started)
        self.seen += 1
        if self._state is _State.OPEN:
            try:
                self._settle(self._stage.recorded(block, started))
            except PolicyFailed:
                self._fail()
        self._answer()

    def _consultation(self, consultation: policy_pb2.Consultation) -> None:
        events = convert.consultation(consultation)
        try:
            id = self._stage.voice.answered(consultation.id)
        except KeyError:
            raise Fault("an answer came that nothing asked for") from None
        self.seen += 1
        if id is not None and self._state is _State.OPEN:
            try:
                self._settle(self._stage.consulted(id, events))
            except PolicyFailed:
                self._fail()
        self._answer()

    def _settle(self, all_settled: list[Settled | Over]) -> None:
        self._note()
        for settled in all_settled:
            if self._state is _State.OPEN and self._verdicts.settle(settled, self._stage.voice.notes):
                self._over()

    def _fail(self) -> None:
        if self._state is _State.OPEN:
            self._note()
            self._verdicts.fail(f"policy {self._stage.name} failed", self._stage.voice.notes)
            self._over()

    def _over(self) -> None:
        self._state = _State.OVER
        self._stage.voice.cancel_all()

    def _note(self) -> None:
        """Takes note of interest that the hooks have given up."""
        if self._stage.has_lowered:
            self._stage.has_lowered = False
            interest = self._stage.interest.meet(self._intake.interest)
            if "interest" in self.call.capabilities and interest != self._intake.interest:
                self._intake.interest = self._lowered = interest

    def _answer(self) -> None:
        before = len(self._outputs)
        if not self._speak():
            self._say(policy_pb2.EnforceResponse(working=policy_pb2.Working()))
        # Only the last counts the message: a proxy whose messages are all counted waits for nothing more.
        for response in self._outputs[before:-1]:
            response.seen -= 1

    def _speak(self) -> bool:
        """Says what there is to say; whether there was anything."""
        before = len(self._outputs)
        # Questions first: while a model is asked, a proxy has patience with what is held.
        for ask in self._asks():
            self._say(ask)
        if self._lowered is not None:
            self._say(policy_pb2.EnforceResponse(interest=write_interest(self._lowered)))
            self._lowered = None
        for verdict in self._verdicts.take():
            self._say(policy_pb2.EnforceResponse(verdict=verdict))
        return len(self._outputs) > before

    def _asks(self) -> list[policy_pb2.EnforceResponse]:
        """Consults and cancellations. What was asked and cancelled at once was never asked."""
        asks, self._stage.voice.asks = self._stage.voice.asks, []
        cancelled = {ask for ask in asks if isinstance(ask, str)}
        asked = {ask.id for ask in asks if isinstance(ask, policy_pb2.Consult)}
        said = []
        for ask in asks:
            match ask:
                case str() if ask not in asked:
                    cancel = policy_pb2.CancelConsult(id=ask)
                    said.append(policy_pb2.EnforceResponse(cancel_consult=cancel))
                case policy_pb2.Consult() if ask.id not in cancelled:
                    said.append(policy_pb2.EnforceResponse(consult=ask))
                case _:
                    pass
        return said

    def _say(self, response: policy_pb2.EnforceResponse) -> None:
        response.seen = self.seen
        self._outputs.append(response)

    def _end(self, outcome: Outcome) -> None:
        self._state, self.outcome = _State.ENDED, outcome
        self._stage.completed(outcome)


def read_call(started: policy_pb2.CallStarted) -> Call:
    """Reads what a call begins with, once it is checked."""
    return Call(
        call_id=started.call_id,
        request=started.request,
        dialect=Dialect(started.dialect),
        upstream_dialect=Dialect(started.upstream_dialect),
        upstream=started.upstream,
        route=started.route,
        upstream_model=started.upstream_model,
        client=started.client,
        session=started.session,
        started_at_us=started.started_at_us,
        headers=tuple((header.name, header.value) for header in started.headers),
        capabilities=frozenset(started.capabilities),
    )


def read_interest(forward: policy_pb2.Forward) -> Interest:
    """Reads an interest. What is unset or unknown is gated."""
    it = forward.interest
    return Interest(Level(it.text), Level(it.thinking), Level(it.refusal), Level(it.tool_call), Level(it.opaque))


def write_interest(interest: Interest) -> policy_pb2.Interest:
    """Writes an interest."""
    level = policy_pb2.Level.Name
    return policy_pb2.Interest(
        text=level(interest.text),
        thinking=level(interest.thinking),
        refusal=level(interest.refusal),
        tool_call=level(interest.tool_call),
        opaque=level(interest.opaque),
    )


def _check_resumed(resumed: policy_pb2.CallResumed) -> None:
    if resumed.epoch == 0:
        raise Malformed("call_resumed.epoch", "a call that is resumed had a stream before")
    if resumed.HasField("admission") and resumed.admission.WhichOneof("decision") is None:
        raise Malformed("call_resumed.admission.decision", "not set")
