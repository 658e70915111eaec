"""A policy that does all that it may, over calls whose service is lost at any moment: what the client gets is the same.

What a seed picks: the response, what the policy decides of each chunk, how chunks are batched, and where services are lost.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

import pytest
from conversation import REVISION
from luthien import Call, Consulted, ConsultId, Event, Held, Policy, Question, RecordedCall, Seen, response
from luthien import text_block, tool_call_block
from luthien import ToolCall as Tool
from luthien._window import Window
from luthien.convert import event_to_wire
from luthien.events import ArgumentsDelta, BlockStopped, TextDelta
from luthien.output import ConsultedOutput, HookOutput
from luthien.session import Session
from luthien.v1 import policy_pb2


class Restless(Policy):
    """Decides by what it is shown, and by nothing else: holds, replaces, drops, injects, asks, ends."""

    def begin(self, call: Call) -> None:
        self.salt = call.session
        self.held: list[Held] = []
        self.asked: dict[ConsultId, list[Held]] = {}

    def pick(self, seen: Seen) -> int:
        return zlib.crc32(f"{self.salt} {seen.seq} {seen.step}".encode()) % 100

    def on_chunk_started(self, seen: Seen, out: HookOutput) -> None:
        pick = self.pick(seen)
        match seen.step:
            case TextDelta(block, text):
                if pick < 15:
                    out.replace([Event(TextDelta(block, text.upper()))])
                elif pick < 25:
                    out.drop()
                elif pick < 45:
                    self.held.append(out.hold())
                elif pick < 55:
                    self.asked[out.consult(Question.ask("judge", text))] = [out.hold()]
                elif pick < 65:
                    out.inject([Event(TextDelta(block, f"<{out.random() % 1000}>"))])
            case ArgumentsDelta() if pick < 30:
                self.held.append(out.hold())
            case BlockStopped():
                for held in self.held:
                    out.pass_held(held)
                self.held.clear()
                if seen.tool:
                    pass  # nobody may end a tool call but its maker
                elif pick < 20:
                    out.inject(out.text("injected"))
                elif pick > 88:
                    out.end(out.text("ended"), cancel_upstream=pick > 96)
                elif pick > 80:
                    raise ValueError("failed")
            case _:
                pass

    def on_consulted(self, consulted: Consulted, out: ConsultedOutput) -> None:
        for held in self.asked.pop(consulted.id):
            out.replace_held(held, [Event(TextDelta(int(consulted.text), "[asked]"))])


def made_up(rng: random.Random) -> list[Event]:
    """A response."""
    blocks = []
    for key in range(rng.randint(1, 6)):
        if rng.random() < 0.7:
            start, *_, stop = text_block(key, "")
            pieces = [Event(TextDelta(key, word)) for word in rng.choices(["a", "bc", "def", "ghij"], k=rng.randint(1, 8))]
            blocks.append([start, *pieces, stop])
        else:
            start, *_, stop = tool_call_block(key, Tool("ls", f"c{key}"), "{}")
            pieces = [Event(ArgumentsDelta(key, piece)) for piece in ("{", '"a"', ":1", "}")]
            blocks.append([start, *pieces, stop])
    return response(*blocks)


class Proxy:
    """A proxy that loses its service wherever it is told to."""

    def __init__(self, call: RecordedCall, seed: int, losses: float) -> None:
        self._call = call
        # What is told when is the same, wherever services are lost: a policy may decide by what has been answered.
        self._rng = random.Random(seed)
        self._losing = random.Random(f"{seed} {losses}")
        self._losses = losses
        self._admission: policy_pb2.Admission | None = None
        self._told: list[policy_pb2.EnforceRequest] = []
        self._asked: dict[str, policy_pb2.EnforceRequest] = {}
        self._epoch = 0
        self._injected = 0
        self._has_failed = False
        self.said: list[str] = []
        self.events: list[Event] = []
        self.window: Window | None = None
        self._session = self._begin()

    def run(self) -> list[Event]:
        assert self.window is not None
        events = [event for _, event in self._call.chunks]
        while events and not self.window.cancel_upstream:
            for _ in range(self._rng.randint(1, 4)):
                if events:
                    self.window.push(events.pop(0), 0)
            self._tell()
        self.window.end()
        self._tell(is_last=True)
        assert self.window.is_over or self.window.cancel_upstream
        return self.events

    def _begin(self) -> Session:
        if self._admission is None:
            session = Session(Restless(), self._call.started, revision=REVISION)
            (said,) = session.take()
            self._admission = said.admission
            self.window = Window(said.admission.forward)
            return session
        assert self.window is not None
        resumed = policy_pb2.CallResumed(
            epoch=self._epoch,
            admission=self._admission,
            settled=self.window.settled,
            injected=self._injected,
            ended=self.window.has_ended,
        )
        session = Session(Restless(), self._call.started, revision=REVISION, resumed=resumed)
        assert [said.WhichOneof("message") for said in session.take()] == ["working"]
        return session

    def _tell(self, *, is_last: bool = False) -> None:
        assert self.window is not None
        while True:
            message = self.window.next_message()
            if message is None:
                answers = [id for id, answer in self._asked.items() if answer not in self._told]
                if not answers or (not is_last and self._rng.random() < 0.3):
                    break
                message = self._asked[answers[0]]
                self.window.answered()
            self._told.append(message)
            self._hear(self._session.handle(message))
        self.events += self.window.release()

    def _hear(self, said: Sequence[policy_pb2.EnforceResponse]) -> None:
        assert self.window is not None
        responses = list(said)
        while responses:
            if self._losing.random() < self._losses:
                # Whatever has not been heard is lost, and all is told again.
                self._epoch += 1
                self._session = self._begin()
                responses = [again for message in list(self._told) for again in self._session.handle(message)]
                for response_ in responses:
                    response_.seen = len(self._told)
                self._losses *= 0.7
                continue
            self._take(responses.pop(0))

    def _take(self, said: policy_pb2.EnforceResponse) -> None:
        assert self.window is not None
        before = self.window.settled
        self.window.heard(said)
        match said.WhichOneof("message"):
            case "verdict":
                assert not self._has_failed, "a failure is said once, and nothing behind it"
                self._has_failed = any(event.HasField("failed") for event in said.verdict.replace.events)
                injects = said.verdict.through == before
                made = said.verdict.replace.events or said.verdict.end.events
                self._injected = self._injected + len(made) if injects else 0
                self.said.append(f"{said.verdict.WhichOneof('decision')} {said.verdict.through}")
            case "consult":
                self._asked.setdefault(said.consult.id, self._answer(said.consult))
            case _:
                pass

    def _answer(self, consult: policy_pb2.Consult) -> policy_pb2.EnforceRequest:
        """The judge knows in which block the piece is: the number in the id of the question tells the policy nothing."""
        text = consult.request.messages[0].content[0].text.text
        blocks = [e.step.block for _, e in self._call.chunks if isinstance(e.step, TextDelta) and e.step.text == text]
        answer = response(text_block(0, str(blocks[0])))
        wire = [event_to_wire(event) for event in answer]
        return policy_pb2.EnforceRequest(consultation=policy_pb2.Consultation(id=consult.id, events=wire))


@pytest.mark.parametrize("seed", range(100))
def test_a_lost_service_changes_nothing_that_the_client_gets(seed: int) -> None:
    rng = random.Random(seed)
    # Each piece of text is in one block only, so that the judge can say in which.
    events = [
        Event(TextDelta(it.step.block, f"{it.step.text}{it.step.block}")) if isinstance(it.step, TextDelta) else it
        for it in made_up(rng)
    ]
    call = RecordedCall.of(events, session=str(seed))
    whole = Proxy(call, seed, 0).run()
    for losses in (0.2, 0.5):
        proxy = Proxy(call, seed, losses)
        assert proxy.run() == whole, proxy.said
