"""A proxy's side of a conversation, said to a session message by message."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from luthien import Event, Policy, RecordedCall, convert
from luthien.session import Session
from luthien.v1 import call_pb2, policy_pb2

REVISION = "ab" * 32
ALL = ("answer", "consult", "edits", "interest", "resume")


def started(*, capabilities: Iterable[str] = ALL) -> policy_pb2.CallStarted:
    """What a call begins with."""
    message = RecordedCall.of([]).started
    del message.capabilities[:]
    message.capabilities.extend(capabilities)
    return message


def begin(
    policy: Callable[[], Policy],
    *,
    capabilities: Iterable[str] = ALL,
    resumed: policy_pb2.CallResumed | None = None,
) -> Session:
    """A session."""
    return Session(policy(), started(capabilities=capabilities), revision=REVISION, resumed=resumed)


def admission(session: Session) -> policy_pb2.Admission:
    """What it says first."""
    (said,) = session.take()
    assert said.WhichOneof("message") == "admission", said
    return said.admission


def chunks(first: int, events: Iterable[Event]) -> policy_pb2.EnforceRequest:
    """A batch."""
    batch = [
        call_pb2.Chunk(seq=seq, arrived_us=seq * 1000, event=convert.event_to_wire(event))
        for seq, event in enumerate(events, first)
    ]
    return policy_pb2.EnforceRequest(chunks=policy_pb2.Chunks(chunks=batch))


def consultation(id: str, events: Iterable[Event]) -> policy_pb2.EnforceRequest:
    """What a model answered."""
    wire = [convert.event_to_wire(event) for event in events]
    return policy_pb2.EnforceRequest(consultation=policy_pb2.Consultation(id=id, events=wire))


def ended(outcome: str = "OUTCOME_DELIVERED") -> policy_pb2.EnforceRequest:
    """The last message."""
    return policy_pb2.EnforceRequest(call_ended=policy_pb2.CallEnded(outcome=outcome))


def said(responses: Iterable[policy_pb2.EnforceResponse]) -> list[str]:
    """What was answered, in short."""
    return [_short(response) for response in responses]


def _short(response: policy_pb2.EnforceResponse) -> str:
    match response.WhichOneof("message"):
        case "verdict":
            verdict = response.verdict
            decision = verdict.WhichOneof("decision")
            events = [*verdict.replace.events, *verdict.end.events]
            return f"{decision} {verdict.through}" + "".join(f" {_word(event)}" for event in events)
        case "consult":
            return f"consult {response.consult.id}"
        case "cancel_consult":
            return f"cancel {response.cancel_consult.id}"
        case other:
            return str(other)


def _word(event: call_pb2.Event) -> str:
    return event.block_delta.text or event.block_delta.arguments or str(event.WhichOneof("event"))
