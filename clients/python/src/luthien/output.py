"""What hooks speak through."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ._slots import End, Hold, Pass, Replace, Ruling
from ._turn import Ungrammatical, answered
from ._voice import Voice, to_wire
from .enums import FinishReason, Severity
from .events import Event, text_block
from .policy import ConsultId, Held, Interest, Question
from .v1 import call_pb2, policy_pb2


class _Noting:
    """An output is good for its hook, and for nothing later."""

    def __init__(self, voice: Voice, seq: int) -> None:
        self._voice = voice
        self._seq = seq
        self._is_over = False

    @property
    def policy(self) -> str:
        """The policy's name."""
        return self._voice.policy

    def _now(self) -> Voice:
        if self._is_over:
            raise self._voice.fault("an output was used after its hook had returned")
        return self._voice

    def _close(self) -> None:
        self._is_over = True


class SummaryOutput(_Noting):
    """What `on_response_completed` speaks through."""

    def annotate(self, severity: Severity, summary: str, details: dict[str, object] | None = None) -> None:
        """A note about the call."""
        self._now().annotate(self._seq, severity, summary, details)


class RequestOutput(SummaryOutput):
    """What `on_request` speaks through. Positions of messages are those of the request as it is shown, from 0: edits do not
    move each other."""

    def __init__(self, voice: Voice, messages: int) -> None:
        super().__init__(voice, 0)
        self._messages = messages
        self._edited: set[int] = set()
        self._edits: list[policy_pb2.Edit] = []
        self._reject: policy_pb2.Reject | None = None
        self._answer: policy_pb2.Answer | None = None

    def reject(self, message: str, *, status: int = 403, type: str = "") -> None:
        """Refuses the call: nothing goes upstream, and the client is told so, with that HTTP status (400 to 599)."""
        self._now()
        if not 400 <= status <= 599:
            raise self._voice.fault(f"a call can't be refused with status {status}")
        self._reject = policy_pb2.Reject(status=status, type=type, message=message)

    def answer(self, events: Sequence[Event]) -> None:
        """Answers the call: nothing goes upstream, and the client gets this response. `Started` and `Ended` may be left out, and
        choices that are not finished. A call that is refused as well is refused."""
        self._now()
        try:
            self._answer = policy_pb2.Answer(events=to_wire(answered(events)))
        except Ungrammatical as error:
            raise self._voice.fault(f"it gave an answer that is none: {error}") from None

    def text(self, text: str) -> list[Event]:
        """A block of text, whole, to answer with."""
        return text_block(self._now().new_block(), text)

    def insert_message(self, position: int, message: call_pb2.Message) -> None:
        """Puts a message before the one at that position; at the number of messages, behind the last."""
        self._check(position, self._messages + 1)
        self._edit(policy_pb2.Edit(insert_message=policy_pb2.MessageAt(position=position, message=message)))

    def replace_message(self, position: int, message: call_pb2.Message) -> None:
        """Puts another message in place of the one at that position."""
        self._once(position)
        self._edit(policy_pb2.Edit(replace_message=policy_pb2.MessageAt(position=position, message=message)))

    def drop_message(self, position: int) -> None:
        """Takes out the message at that position."""
        self._once(position)
        self._edit(policy_pb2.Edit(drop_message=position))

    def set_system(self, content: Sequence[call_pb2.Content]) -> None:
        """Puts that in place of all system content."""
        self._edit(policy_pb2.Edit(system=policy_pb2.SystemContent(content=content)))

    def set_tools(self, tools: Sequence[call_pb2.Tool]) -> None:
        """Puts these in place of all tools."""
        self._edit(policy_pb2.Edit(tools=policy_pb2.Tools(tools=tools)))

    def set_sampling(self, sampling: call_pb2.Sampling) -> None:
        """Puts that in place of all that was said of how to pick tokens."""
        self._edit(policy_pb2.Edit(sampling=sampling))

    def set_field(self, name: str, value: object) -> None:
        """Sets a top-level field of the client's dialect that the request model does not name."""
        text = json.dumps(value, allow_nan=False)
        self._edit(policy_pb2.Edit(field=policy_pb2.Field(name=name, json=text)))

    def remove_field(self, name: str) -> None:
        """Takes such a field out."""
        self._edit(policy_pb2.Edit(field=policy_pb2.Field(name=name)))

    def _edit(self, edit: policy_pb2.Edit) -> None:
        self._now()
        self._edits.append(edit)

    def _once(self, position: int) -> None:
        self._check(position, self._messages)
        if position in self._edited:
            raise self._voice.fault(f"it edited message {position} twice")
        self._edited.add(position)

    def _check(self, position: int, count: int) -> None:
        if not 0 <= position < count:
            raise self._voice.fault(f"it edited message {position}, but there are only {self._messages}")


class _Deciding(_Noting):
    _choice = 0
    """The alternative answer that it is about."""

    def pass_held(self, held: Held) -> None:
        """Lets a held chunk by as it is."""
        self._settle(held, Pass())

    def replace_held(self, held: Held, events: Sequence[Event]) -> None:
        """Puts events in place of a held chunk; none: it is dropped."""
        self._settle(held, Replace(to_wire(events)))

    def new_block(self) -> int:
        """A key for a block of the policy's own, new within the call."""
        return self._now().new_block()

    def text(self, text: str, choice: int | None = None) -> list[Event]:
        """A block of text of the policy's own, whole. Without a `choice` it belongs to that of the chunk, or to the first."""
        return text_block(self.new_block(), text, self._choice if choice is None else choice)

    def consult(self, question: Question) -> ConsultId:
        """Asks a model. The answer comes to `on_consulted`; until then the policy may hold what depends on it, the last chunk
        of the response included."""
        return self._now().consult(question)

    def cancel_consult(self, id: ConsultId) -> None:
        """The answer to a consult is not needed any more: none will come."""
        self._now().cancel_consult(id)

    def lower_interest(self, interest: Interest) -> None:
        """From the next chunk on, the policy wants no more than that of each kind. What it no longer gates it can't change
        any more, except for what it already holds. It never comes back."""
        self._now().lower(interest)

    def random(self) -> int:
        """The next of a row of 64-bit numbers that look random, the same for the same policy in the same call."""
        return self._now().random()

    def _settle(self, held: Held, ruling: Ruling) -> None:
        if not self._now().slots.settle(held, ruling):
            raise self._voice.fault("it decided about a chunk that it does not hold")


class HookOutput(_Deciding):
    """What the hooks of a response's chunks speak through."""

    def __init__(self, voice: Voice, seq: int, *, gated: bool, choice: int = 0) -> None:
        super().__init__(voice, seq)
        self._choice = choice
        self._gated = gated
        self._ticket = voice.slots.next
        self._ruling: Ruling = Pass()
        self._injected: list[call_pb2.Event] = []

    def pass_(self) -> None:
        """Lets the chunk by as it is: the default."""
        self._now()
        self._ruling = Pass()

    def hold(self) -> Held:
        """Leaves the chunk undecided. What comes behind it waits."""
        self._rule(Hold())
        return self._ticket

    def replace(self, events: Sequence[Event]) -> None:
        """Puts events in place of the chunk; none: it is dropped."""
        self._rule(Replace(to_wire(events)))

    def drop(self) -> None:
        """Puts nothing in place of the chunk."""
        self._rule(Replace([]))

    def inject(self, events: Sequence[Event]) -> None:
        """Puts events behind the chunk, or behind what stands in its place."""
        self._now()
        if not self._gated:
            raise self._voice.fault("it put events behind a chunk that it does not gate")
        self._injected += to_wire(events)

    def end(
        self, events: Sequence[Event] = (), *, reason: FinishReason | None = None, cancel_upstream: bool = False
    ) -> None:
        """Puts events in place of the chunk and of all that the policy holds, and ends the response. `reason`: why each
        unfinished choice finishes; None: what fits what is left."""
        self._rule(End(to_wire(events), reason, cancel_upstream))

    def annotate(self, severity: Severity, summary: str, details: dict[str, object] | None = None) -> None:
        """A note about the chunk."""
        self._now().annotate(self._seq, severity, summary, details)

    def _rule(self, ruling: Ruling) -> None:
        self._now()
        if not self._gated:
            raise self._voice.fault("it decided about a chunk that it does not gate")
        self._ruling = ruling

    def _settle(self, held: Held, ruling: Ruling) -> None:
        if held == self._ticket and isinstance(self._ruling, Hold):
            self._rule(ruling)
        else:
            super()._settle(held, ruling)


class ConsultedOutput(_Deciding):
    """What `on_consulted` speaks through. There is no chunk to decide about but those that the policy holds."""

    def __init__(self, voice: Voice) -> None:
        super().__init__(voice, 0)
        self._has_ended = False

    def end_held(
        self,
        held: Held,
        events: Sequence[Event] = (),
        *,
        reason: FinishReason | None = None,
        cancel_upstream: bool = False,
    ) -> None:
        """Puts events in place of a held chunk, drops all else that the policy holds and all that comes behind it, and ends
        the response."""
        if not self._now().slots.end(held, End(to_wire(events), reason, cancel_upstream)):
            raise self._voice.fault("it decided about a chunk that it does not hold")
        self._has_ended = True

    def annotate(
        self, severity: Severity, summary: str, details: dict[str, object] | None = None, *, seq: int = 0
    ) -> None:
        """A note; `seq`: the chunk that it is about; 0: the call."""
        self._now().annotate(seq, severity, summary, details)
