"""A call that is taken over: nothing is said that was applied."""

from __future__ import annotations

import pytest
from conversation import REVISION, admission, begin, chunks, consultation, said
from luthien import Call, Consulted, Event, Fault, Interest, Level, Policy, Question, Seen, response, text_block
from luthien.events import TextDelta
from luthien.output import ConsultedOutput, HookOutput, RequestOutput
from luthien.v1 import policy_pb2

WORDS = response(text_block(0, "a"), text_block(1, "b"), text_block(2, "c"))


class Upper(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        match seen.step:
            case TextDelta(block, text):
                out.replace([Event(TextDelta(block, text.upper()))])


class EndAtB(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text == "b":
            out.end(out.text("stop"))


class FailsAtB(Policy):
    name = "fails"
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text == "b":
            raise ValueError


def resume(
    policy: type[Policy], *, settled: int = 0, injected: int = 0, ended: bool = False, has_admission: bool = True
) -> list[str]:
    """What is said by a service that takes the call over, and is told all of it at once."""
    resumed = policy_pb2.CallResumed(epoch=1, settled=settled, injected=injected, ended=ended)
    if has_admission:
        resumed.admission.CopyFrom(admission(begin(policy)))
    session = begin(policy, resumed=resumed)
    return said([*session.take(), *session.handle(chunks(1, WORDS))])


WHOLE = ["pass 2", "replace 3 A", "pass 5", "replace 6 B", "pass 8", "replace 9 C", "pass 12"]


@pytest.mark.parametrize(
    ("settled", "left"), [(0, WHOLE), (2, WHOLE[1:]), (3, WHOLE[2:]), (4, WHOLE[2:]), (7, WHOLE[4:]), (12, [])]
)
def test_what_was_settled_is_not_settled_again(settled: int, left: list[str]) -> None:
    assert resume(Upper, settled=settled) == ["working", *(left or ["working"])]


def test_without_an_admission_there_is_one() -> None:
    assert resume(Upper, has_admission=False) == ["admission", *WHOLE]


def test_an_end_is_said_once() -> None:
    end = "end 6 block_started stop block_stopped"
    assert resume(EndAtB) == ["working", "pass 5", end]
    assert resume(EndAtB, settled=5) == ["working", end]
    assert resume(EndAtB, settled=6, ended=True) == ["working", "working"]


def test_a_failure_is_injected_where_it_is_and_once() -> None:
    assert resume(FailsAtB) == ["working", "pass 5", "replace 5 failed"]
    assert resume(FailsAtB, settled=5) == ["working", "replace 5 failed"]
    assert resume(FailsAtB, settled=5, injected=1) == ["working", "working"]


class AsksAndPasses(Policy):
    name = "asks"
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text == "b":
            self.held = out.hold()
            out.consult(Question.ask("judge", "b?"))

    def on_consulted(self, consulted: Consulted, out: ConsultedOutput) -> None:
        out.pass_held(self.held)


def test_a_question_is_asked_again_by_the_same_id() -> None:
    assert resume(AsksAndPasses, settled=5) == ["working", "consult asks/1"]
    resumed = policy_pb2.CallResumed(epoch=1, settled=5, admission=admission(begin(AsksAndPasses)))
    session = begin(AsksAndPasses, resumed=resumed)
    session.take()
    session.handle(chunks(1, WORDS))
    answer = response(text_block(0, "yes"))
    assert said(session.handle(consultation("asks/1", answer))) == ["pass 12"]
    with pytest.raises(Fault, match="nothing asked for"):
        session.handle(consultation("asks/1", answer))


def test_an_admission_that_was_applied_stands() -> None:
    rejected = policy_pb2.Admission(revision=REVISION, reject=policy_pb2.Reject(status=403))
    session = begin(Upper, resumed=policy_pb2.CallResumed(epoch=1, admission=rejected))
    assert said(session.take()) == ["working"]
    with pytest.raises(Fault, match="not forwarded"):
        session.handle(chunks(1, WORDS))


class FailsNow(Policy):
    name = "fails"

    def on_request(self, call: Call, out: RequestOutput) -> None:
        raise ValueError


def test_a_policy_that_fails_at_what_it_once_did_ends_the_call() -> None:
    resumed = policy_pb2.CallResumed(epoch=1, settled=3, admission=admission(begin(Upper)))
    assert said(begin(FailsNow, resumed=resumed).take()) == ["replace 3 failed"]
