"""A proxy that breaks the protocol: the call ends closed. What is unset or unknown is read as the strictest."""

from __future__ import annotations

import pytest
from conversation import admission, begin, chunks, consultation, ended, said, started
from luthien import Event, FailureMode, Fault, Interest, Level, Outcome, Policy, response, text_block
from luthien.enums import ToolForm
from luthien.events import BlockStarted, BlockStopped, Ended, Started, Text, TextDelta
from luthien.session import Session, read_interest
from luthien.v1 import call_pb2, policy_pb2

HELLO = response(text_block(0, "Hello"))


class Gates(Policy):
    pass


class Records(Policy):
    interest = Interest.all(Level.RECORD)


def raw(event: call_pb2.Event) -> policy_pb2.EnforceRequest:
    return policy_pb2.EnforceRequest(chunks=policy_pb2.Chunks(chunks=[call_pb2.Chunk(seq=1, event=event)]))


def block(**fields: object) -> policy_pb2.EnforceRequest:
    whole = policy_pb2.Block(first=2, last=4, stopped=True)
    whole.started.text.SetInParent()
    for name, value in fields.items():
        setattr(whole, name, value)
    return policy_pb2.EnforceRequest(block=whole)


BAD_FIRST = [
    (policy_pb2.EnforceRequest(), "not set"),
    (policy_pb2.EnforceRequest(call_started=started()), "twice"),
    (policy_pb2.EnforceRequest(call_resumed=policy_pb2.CallResumed(epoch=1)), "nothing asked for"),
    (policy_pb2.EnforceRequest(chunks=policy_pb2.Chunks()), "empty"),
    (chunks(0, HELLO[:1]), "rise"),
    (chunks(2, HELLO[:1]), "missing"),
    (chunks(1, [HELLO[0], HELLO[0]]), "second time"),
    (chunks(1, [HELLO[1], HELLO[1]]), "second time"),
    (chunks(1, [Event(BlockStarted(1 << 31, Text()))]), "belong to the policies"),
    (chunks(1, [Event(TextDelta(0, "x"))]), "not open"),
    (chunks(1, [Event(BlockStopped(0))]), "not open"),
    (chunks(1, [Event(Ended()), Event(Started())]), "after the end"),
    (chunks(1, [Event(Started(), "[]")]), "not a JSON object"),
    (chunks(1, [Event(Started(), '{"a":1,"a":2}')]), "named twice"),
    (chunks(1, [Event(Started(), '{"a":NaN}')]), "not JSON"),
    (raw(call_pb2.Event()), "not set"),
    (raw(call_pb2.Event(block_started=call_pb2.BlockStarted())), "not set"),
    (raw(call_pb2.Event(block_delta=call_pb2.BlockDelta())), "not set"),
    (raw(call_pb2.Event(failed=call_pb2.Failed())), "not set"),
    (raw(call_pb2.Event(opaque=call_pb2.Opaque())), "not set"),
    (block(), "chunk by chunk"),
    (consultation("Gates/1", HELLO), "nothing asked for"),
]


@pytest.mark.parametrize(("request_", "why"), BAD_FIRST, ids=range(len(BAD_FIRST)))
def test_what_can_not_come_is_a_fault(request_: policy_pb2.EnforceRequest, why: str) -> None:
    session = begin(Gates)
    admission(session)
    with pytest.raises(Fault, match=why):
        session.handle(request_)


def test_a_batch_with_a_fault_has_no_effect() -> None:
    seen = []

    class Sees(Policy):
        def on_response_started(self, *_: object) -> None:
            seen.append(1)

    session = begin(Sees)
    with pytest.raises(Fault):
        session.handle(chunks(1, [HELLO[0], HELLO[0]]))
    assert not seen


def test_seqs_rise_from_batch_to_batch() -> None:
    session = begin(Gates)
    session.handle(chunks(1, HELLO[:2]))
    with pytest.raises(Fault, match="after chunk 2"):
        session.handle(chunks(2, HELLO[1:]))


def test_nothing_comes_after_the_end() -> None:
    session = begin(Gates)
    session.handle(ended())
    with pytest.raises(Fault, match="after CallEnded"):
        session.handle(ended())


@pytest.mark.parametrize(("fields", "why"), [({"first": 0}, "chunks 0"), ({"last": 1}, "chunks 2 to 1")])
def test_a_block_has_its_chunks(fields: dict[str, int], why: str) -> None:
    with pytest.raises(Fault, match=why):
        begin(Records).handle(block(**fields))


def test_blocks_that_are_recorded_are_counted_and_may_come_in_parts() -> None:
    session = begin(Records)
    session.take()
    (answer,) = session.handle(block(stopped=False))
    assert (said([answer]), answer.seen) == (["working"], 1)
    (answer,) = session.handle(block(first=5, last=6))
    assert answer.seen == 2
    with pytest.raises(Fault, match="second time"):
        session.handle(block(first=7, last=8))


def broken(**fields: object) -> policy_pb2.CallStarted:
    message = started()
    for name, value in fields.items():
        if value is None:
            message.ClearField(name)
        else:
            setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "message", [broken(call_id="x"), broken(dialect=0), broken(dialect=99), broken(upstream_dialect=0), broken(request=None)]
)
def test_a_call_that_can_not_be_read_is_a_fault(message: policy_pb2.CallStarted) -> None:
    with pytest.raises(Fault):
        Session(Gates(), message, revision="")


def test_a_request_with_what_is_not_set_is_a_fault() -> None:
    message = started()
    message.request.messages[0].content.add()
    with pytest.raises(Fault, match=r"Content\.content"):
        Session(Gates(), message, revision="")
    message = started()
    message.request.extras_json = '{"a": 1, "a": 2}'
    with pytest.raises(Fault, match="extras_json"):
        Session(Gates(), message, revision="")


def test_what_is_unset_or_unknown_is_the_strictest() -> None:
    assert read_interest(policy_pb2.Forward()) == Interest.all(Level.GATE)
    assert Level(17) is Level.GATE
    assert FailureMode(0) is FailureMode.CLOSED
    assert Outcome(0) is Outcome.UNKNOWN
    assert ToolForm(0) is ToolForm.SERVER
    assert Interest() == Interest.all(Level.GATE)
