"""A proxy whose policy service lies, is silent, or says what can't be: nothing that has no verdict is released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import grpc
import pytest
from luthien import Event, Gate, Level, Request, ServiceLost, ToolCall, connect, response, text_block, tool_call_block
from luthien.convert import event_to_wire
from luthien.events import BlockStopped, Ended, Failed, TextDelta
from luthien.policy import Interest
from luthien.server import SERVICE
from luthien.session import write_interest
from luthien.v1 import call_pb2, policy_pb2

Go = Callable[[Coroutine[Any, Any, None]], None]
Script = Callable[["Service"], Awaitable[None]]
EVENTS = response(text_block(0, "Hello"), tool_call_block(1, ToolCall("ls", "c1"), "{}"))


class Service:
    """A policy service that says what the test says."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.seen = 0
        self.heard: list[policy_pb2.EnforceRequest] = []

    async def hear(self) -> str:
        request = await self._context.read()
        if not isinstance(request, policy_pb2.EnforceRequest):
            return "eof"
        self.heard.append(request)
        kind = request.WhichOneof("message") or ""
        self.seen += kind in ("chunks", "block", "consultation")
        return kind

    async def say(self, **message: Any) -> None:
        await self._context.write(policy_pb2.EnforceResponse(seen=self.seen, **message))

    async def admit(self, interest: Interest | None = None, **limits: int) -> None:
        await self.hear()
        forward = policy_pb2.Forward(known_kinds=policy_pb2.Kind.keys(), limits=policy_pb2.Limits(**limits))
        forward.interest.CopyFrom(write_interest(interest or Interest()))
        await self.say(admission=policy_pb2.Admission(forward=forward, revision="00"))

    async def settle(self, through: int, *events: Event, seen: int | None = None) -> None:
        replace = policy_pb2.Replace(events=[event_to_wire(event) for event in events])
        verdict = policy_pb2.Verdict(through=through, replace=replace)
        await self._context.write(policy_pb2.EnforceResponse(verdict=verdict, seen=self.seen if seen is None else seen))

    async def pass_(self, through: int) -> None:
        verdict = policy_pb2.Verdict(through=through)
        getattr(verdict, "pass").SetInParent()
        await self.say(verdict=verdict)


async def released(script: Script, *, lease: float = 5.0, consult: Any = None) -> list[Event]:
    """What a gate releases before it fails, or all of it."""
    events: list[Event] = []
    server = grpc.aio.server()
    scripts: list[BaseException] = []

    async def enforce(_: Any, context: Any) -> None:
        try:
            await script(Service(context))
        except AssertionError as error:
            scripts.append(error)

    handler = grpc.stream_stream_rpc_method_handler(
        enforce,
        request_deserializer=policy_pb2.EnforceRequest.FromString,
        response_serializer=policy_pb2.EnforceResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Enforce": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def upstream() -> AsyncIterator[Event]:
        for event in EVENTS:
            yield event

    try:
        async with connect(f"127.0.0.1:{port}") as channel:
            async with Gate(channel, Request(model="m"), lease_seconds=lease, consult=consult) as gate:
                async for event in gate.pass_(upstream()):
                    events.append(event)
    except ServiceLost:
        events.append(Event(Failed("lost")))
    finally:
        await server.stop(0)
    assert not scripts, scripts
    return events


LOST = Event(Failed("lost"))


async def finish(service: Service) -> None:
    """Goes on until the proxy has told how it ended."""
    while (kind := await service.hear()) not in ("call_ended", "eof"):
        if kind == "chunks":
            await service.pass_(service.heard[-1].chunks.chunks[-1].seq)
        else:
            await service.say(working=policy_pb2.Working())


async def passes_two_and(service: Service) -> None:
    await service.admit()
    while not service.heard[-1].chunks.chunks or service.heard[-1].chunks.chunks[-1].seq < 3:
        await service.hear()
        await service.say(working=policy_pb2.Working())
    await service.pass_(2)


async def closes(service: Service) -> None:
    await passes_two_and(service)


async def aborts(service: Service) -> None:
    await passes_two_and(service)
    await service._context.abort(grpc.StatusCode.UNAVAILABLE)


async def is_silent(service: Service) -> None:
    await passes_two_and(service)
    await asyncio.sleep(60)


async def steps_back(service: Service) -> None:
    await passes_two_and(service)
    await service.pass_(1)
    await asyncio.sleep(60)


async def settles_what_was_never_sent(service: Service) -> None:
    await passes_two_and(service)
    await service.pass_(99)
    await asyncio.sleep(60)


async def has_seen_too_much(service: Service) -> None:
    await passes_two_and(service)
    await service.settle(3, seen=99)
    await asyncio.sleep(60)


async def decides_nothing(service: Service) -> None:
    await passes_two_and(service)
    await service.say(verdict=policy_pb2.Verdict(through=3))
    await asyncio.sleep(60)


async def says_nothing_in_a_message(service: Service) -> None:
    await passes_two_and(service)
    await service.say()
    await asyncio.sleep(60)


async def makes_what_can_not_be(service: Service) -> None:
    await passes_two_and(service)
    await service.settle(3, Event(TextDelta(7, "x")))
    await asyncio.sleep(60)


async def ends_where_the_upstream_does_not(service: Service) -> None:
    await passes_two_and(service)
    await service.settle(3, Event(Ended()))
    await asyncio.sleep(60)


async def asks_who_can_not_ask(service: Service) -> None:
    await passes_two_and(service)
    await service.say(consult=policy_pb2.Consult(id="x/1"))
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    "script",
    [
        closes, aborts, is_silent, steps_back, settles_what_was_never_sent, has_seen_too_much, decides_nothing,
        says_nothing_in_a_message, makes_what_can_not_be, ends_where_the_upstream_does_not, asks_who_can_not_ask,
    ],
)  # fmt: skip
def test_what_was_not_passed_is_never_released(go: Go, script: Script) -> None:
    async def test() -> None:
        *events, last = await released(script, lease=0.3)
        # What passed may be lost with the service.
        assert (events == EVENTS[: len(events)], len(events) <= 2, last) == (True, True, LOST)

    go(test())


async def holds_for_too_long(service: Service) -> None:
    await service.admit(hold_ms=200)
    while True:
        await service.hear()
        await service.say(working=policy_pb2.Working())


def test_a_chunk_is_not_held_for_ever(go: Go) -> None:
    async def test() -> None:
        assert await released(holds_for_too_long) == [LOST]

    go(test())


async def admits_nothing(service: Service) -> None:
    await service.hear()
    await service.say(admission=policy_pb2.Admission(revision="00"))
    await asyncio.sleep(60)


async def admits_with_an_edit_that_can_not_be(service: Service) -> None:
    await service.hear()
    forward = policy_pb2.Forward(edits=[policy_pb2.Edit(drop_message=9)])
    await service.say(admission=policy_pb2.Admission(forward=forward, revision="00"))
    await asyncio.sleep(60)


async def edits_what_is_named(service: Service) -> None:
    await service.hear()
    forward = policy_pb2.Forward(edits=[policy_pb2.Edit(field=policy_pb2.Field(name="stream", json="true"))])
    await service.say(admission=policy_pb2.Admission(forward=forward, revision="00"))
    await asyncio.sleep(60)


async def answers_with_a_failure(service: Service) -> None:
    await service.hear()
    answer = policy_pb2.Answer(events=[event_to_wire(Event(Failed("x")))])
    await service.say(admission=policy_pb2.Admission(answer=answer, revision="00"))
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    "script", [admits_nothing, admits_with_an_edit_that_can_not_be, edits_what_is_named, answers_with_a_failure]
)
def test_an_admission_that_can_not_be_is_a_loss(go: Go, script: Script) -> None:
    async def test() -> None:
        assert await released(script) == [LOST]

    go(test())


async def records_all(service: Service) -> None:
    await service.admit(Interest.all(Level.RECORD))
    await finish(service)
    told = [request.WhichOneof("message") for request in service.heard]
    assert told[-1] == "call_ended" and told.count("block") == 2, told
    texts = [request.block for request in service.heard if request.WhichOneof("message") == "block"]
    assert [(it.first, it.last, it.stopped) for it in texts] == [(2, 4, True), (5, 7, True)]
    assert texts[0].deltas[0].delta.text == "Hello"


async def replaces_the_end(service: Service) -> None:
    await service.admit()
    last = 0
    while last < len(EVENTS):
        await service.hear()
        last = service.heard[-1].chunks.chunks[-1].seq
        await service.say(working=policy_pb2.Working())
    await service.pass_(len(EVENTS) - 2)
    await service.settle(len(EVENTS))
    await finish(service)


async def lets_what_needs_no_verdict_wait_behind_what_does(service: Service) -> None:
    await service.admit(Interest.only(text=Level.GATE))
    await finish(service)


@pytest.mark.parametrize("script", [records_all, replaces_the_end, lets_what_needs_no_verdict_wait_behind_what_does])
def test_a_response_is_whole_however_it_is_judged(go: Go, script: Script) -> None:
    async def test() -> None:
        events = await released(script)
        kept = [event for event in events if not isinstance(event.step, call_pb2.Finished)]
        assert kept[: len(EVENTS) - 2] == EVENTS[:-2]
        assert events[-1] == Event(Ended()) and len(events) == len(EVENTS)

    go(test())


async def ends_in_the_middle(service: Service) -> None:
    await service.admit()
    seqs: list[int] = []
    while not seqs or seqs[-1] < 3:
        await service.hear()
        seqs += [chunk.seq for chunk in service.heard[-1].chunks.chunks]
        await service.say(working=policy_pb2.Working())
    end = policy_pb2.End(events=[event_to_wire(event) for event in text_block(1 << 31, "stop")])
    await service.say(verdict=policy_pb2.Verdict(through=3, end=end, cancel_upstream=True))
    while await service.hear() != "call_ended":
        await service.say(working=policy_pb2.Working())
    assert service.heard[-1].call_ended.outcome == policy_pb2.OUTCOME_ENDED_BY_POLICY


def test_a_response_that_is_ended_is_finished(go: Go) -> None:
    async def test() -> None:
        events = await released(ends_in_the_middle)
        assert events[-1] == Event(Ended())
        assert Event(TextDelta(1 << 31, "stop")) in events and Event(BlockStopped(1 << 31)) in events

    go(test())
