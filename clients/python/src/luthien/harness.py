"""Runs a policy over a call, in process: for unit tests, and to see what it would have done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from . import _edits, convert
from ._window import Window
from .enums import Outcome, Severity
from .events import (
    ArgumentsDelta,
    BlockStarted,
    Event,
    Failed,
    Text,
    TextDelta,
    ToolCall,
    response,
    text_block,
)
from .policy import Annotation, Policy
from .recorded import RecordedCall
from .session import Session
from .v1 import call_pb2, policy_pb2

Answer: TypeAlias = str | Sequence[Event]


@dataclass(slots=True)
class Decided:
    """What a policy decided of a call."""

    call: RecordedCall
    reject: policy_pb2.Reject | None = None
    """What the client is told instead, of a call that it refused."""
    request: call_pb2.Request = field(default_factory=call_pb2.Request)
    """The request as it goes upstream."""
    is_answered: bool = False
    """Whether the policy made the response itself, and nothing goes upstream."""
    events: list[Event] = field(default_factory=list)
    """What the client gets, as events of a response. The proxy writes them in the client's dialect, and may put text before
    tool calls."""
    verdicts: list[policy_pb2.Verdict] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    consults: list[policy_pb2.Consult] = field(default_factory=list)
    unanswered: int = 0
    """How many questions nobody had an answer to: they failed."""

    @property
    def text(self) -> str:
        """The text of the first choice, as the client gets it."""
        return "".join(text for kind, text in self._contents() if isinstance(kind, Text))

    @property
    def tool_calls(self) -> list[tuple[str, str]]:
        """The tool calls that the client gets: name and arguments."""
        return [(kind.name, text) for kind, text in self._contents() if isinstance(kind, ToolCall)]

    @property
    def failure(self) -> Failed | None:
        """How the response fails, if it does."""
        last = self.events[-1].step if self.events else None
        return last if isinstance(last, Failed) else None

    @property
    def has_failed(self) -> bool:
        """Whether the policy itself failed: a hook of it raised."""
        return any(note.severity is Severity.ERROR and (note.details or {}).get("doing") for note in self.annotations)

    def _contents(self) -> list[tuple[object, str]]:
        started: dict[int, object] = {}
        contents: dict[int, list[str]] = {}
        for event in self.events:
            match event.step:
                case BlockStarted(block, kind, 0):
                    started[block], contents[block] = kind, []
                case TextDelta(block, text) | ArgumentsDelta(block, text) if block in contents:
                    contents[block].append(text)
                case _:
                    pass
        return [(kind, "".join(contents[block])) for block, kind in started.items()]


def run(
    policy: Callable[[], Policy],
    call: RecordedCall,
    *,
    answer: Callable[[policy_pb2.Consult], Answer] | None = None,
    one_by_one: bool = True,
    at_once: bool = False,
) -> Decided:
    """Runs a policy over a call. An equal question to a model is answered as it was then; another one by `answer`; and where
    nobody has an answer, it fails.

    Models are slow: their answers come when the response is over, and with `at_once` as soon as they are asked. A policy has to
    bear both. `one_by_one`: each chunk is told by itself, else as many in one message as there are; that makes no difference
    to what is decided.

    Raises:
        Fault: The call is none that can be.
        ServiceFault: The policy decides what can't be: no proxy would take it, and the call would end closed.
    """
    return _Run(policy, call, answer, at_once).run(one_by_one)


class _Run:
    def __init__(
        self,
        policy: Callable[[], Policy],
        call: RecordedCall,
        answer: Callable[[policy_pb2.Consult], Answer] | None,
        at_once: bool,
    ) -> None:
        self._at_once = at_once
        self._session = Session(policy(), call.started, revision="")
        self._answer = answer
        self._asked: list[policy_pb2.Consult] = []
        self._decided = Decided(call)
        self._window: Window | None = None

    def run(self, one_by_one: bool) -> Decided:
        decided = self._decided
        for said in self._session.take():
            if said.WhichOneof("message") == "admission":
                self._admitted(said.admission)
            else:
                self._heard(said)
        if self._window is not None:
            for arrived_us, event in decided.call.chunks:
                self._window.push(event, arrived_us)
                if one_by_one:
                    self._tell(self._window)
            self._window.end()
            self._tell(self._window)
            self._answer_all()
            self._decided.events += self._window.release()
            has_ended = self._window.has_ended
        else:
            has_ended = True
        outcome = Outcome.ENDED_BY_POLICY if has_ended else decided.call.outcome
        ended = policy_pb2.CallEnded(outcome=policy_pb2.Outcome.Name(outcome))
        self._session.handle(policy_pb2.EnforceRequest(call_ended=ended))
        decided.annotations = self._session.annotations
        return decided

    def _admitted(self, admission: policy_pb2.Admission) -> None:
        request = self._decided.call.started.request
        if admission.HasField("reject"):
            self._decided.reject = admission.reject
            return
        if admission.HasField("answer"):
            self._decided.is_answered = True
            self._decided.events = [convert.event(event) for event in admission.answer.events]
            return
        self._decided.request = _edits.applied(request, admission.forward.edits)
        self._window = Window(admission.forward)

    def _tell(self, window: Window) -> None:
        while (message := window.next_message()) is not None:
            self._say(message)
        self._decided.events += window.release()

    def _say(self, message: policy_pb2.EnforceRequest) -> None:
        for said in self._session.handle(message):
            self._heard(said)
        if self._at_once:
            self._answer_all()

    def _answer_all(self) -> None:
        while self._asked and self._window is not None:
            consult = self._asked.pop(0)
            self._window.answered()
            consultation = policy_pb2.Consultation(id=consult.id, events=self._answered(consult))
            for said in self._session.handle(policy_pb2.EnforceRequest(consultation=consultation)):
                self._heard(said)

    def _heard(self, said: policy_pb2.EnforceResponse) -> None:
        if self._window is None:
            return
        self._window.heard(said)
        match said.WhichOneof("message"):
            case "verdict":
                self._decided.verdicts.append(said.verdict)
            case "consult":
                self._decided.consults.append(said.consult)
                self._asked.append(said.consult)
            case "cancel_consult":
                self._asked = [asked for asked in self._asked if asked.id != said.cancel_consult.id]
            case _:
                pass

    def _answered(self, consult: policy_pb2.Consult) -> list[call_pb2.Event]:
        given = next((events for question, events in self._decided.call.answers if _is_equal(question, consult)), None)
        if given is None and self._answer is not None:
            answer = self._answer(consult)
            given = response(text_block(0, answer)) if isinstance(answer, str) else answer
        if given is None:
            self._decided.unanswered += 1
            given = [Event(Failed("the answer is not on record"))]
        return [convert.event_to_wire(event) for event in given]


def _is_equal(one: policy_pb2.Consult, other: policy_pb2.Consult) -> bool:
    return one.upstream == other.upstream and _plain(one.request) == _plain(other.request)


def _plain(request: call_pb2.Request) -> call_pb2.Request:
    """What was not said is said in one way."""
    plain = call_pb2.Request()
    plain.CopyFrom(request)
    plain.choices = max(1, plain.choices)
    if not plain.sampling.ListFields():
        plain.ClearField("sampling")
    return plain
