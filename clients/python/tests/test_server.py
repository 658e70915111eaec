"""A policy behind gRPC, and a proxy before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import grpc
import pytest
from conversation import chunks, ended, said, started
from luthien import (
    Answered,
    Call,
    Consulted,
    EndedCall,
    Event,
    Gate,
    Interest,
    Level,
    Outcome,
    Policy,
    Question,
    Rejected,
    Request,
    Seen,
    Server,
    ServiceLost,
    ToolCall,
    connect,
    message,
    response,
    text_block,
    tool_call_block,
)
from luthien.events import Ended, Failed, TextDelta
from luthien.output import ConsultedOutput, HookOutput, RequestOutput
from luthien.server import SERVICE, revision
from luthien.v1 import policy_pb2

Go = Callable[[Coroutine[Any, Any, None]], None]
HELLO = response(text_block(0, "Hello"), tool_call_block(1, ToolCall("ls", "c1"), "{}"))
ASKED = Request(model="m", stream=True, messages=[message("user", "Hi")])


class Upper(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_request(self, call: Call, out: RequestOutput) -> None:
        if call.request.model == "forbidden":
            out.reject("not here", status=451)
        if call.request.model == "answered":
            out.answer(out.text("Nobody is in."))
        if call.request.model == "edited":
            out.insert_message(1, message("user", "Be brief."))

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        match seen.step:
            case TextDelta(_, "die"):
                raise ValueError
            case TextDelta(block, text):
                out.replace([Event(TextDelta(block, text.upper()))])


async def upstream(events: list[Event]) -> AsyncIterator[Event]:
    for event in events:
        await asyncio.sleep(0)
        yield event


async def got(gate: Gate, events: list[Event]) -> list[Event]:
    return [event async for event in gate.pass_(upstream(events))]


def enforce(channel: grpc.aio.Channel) -> Any:
    return channel.stream_stream(
        f"/{SERVICE}/Enforce",
        request_serializer=policy_pb2.EnforceRequest.SerializeToString,
        response_deserializer=policy_pb2.EnforceResponse.FromString,
    )()


@pytest.mark.parametrize("threads", [0, 2])
def test_a_gate_gives_what_the_policy_lets_pass(go: Go, threads: int) -> None:
    over: list[EndedCall] = []

    async def test() -> None:
        async with Server(Upper, "127.0.0.1:0", record=over.append, threads=threads) as server:
            async with connect(server.address) as channel:
                async with Gate(channel, ASKED, session="s") as gate:
                    events = await got(gate, HELLO)
        assert [event.step for event in events if isinstance(event.step, TextDelta)] == [TextDelta(0, "HELLO")]
        assert events[-1] == Event(Ended()) and len(events) == len(HELLO)

    go(test())
    assert [(call.call.session, call.outcome) for call in over] == [("s", Outcome.DELIVERED)]


def test_requests_are_refused_answered_and_edited(go: Go) -> None:
    async def test() -> None:
        async with Server(Upper, "127.0.0.1:0") as server, connect(server.address) as channel:
            async with Gate(channel, Request(model="forbidden")) as gate:
                with pytest.raises(Rejected, match="not here") as refused:
                    gate.request
                with pytest.raises(Rejected):
                    await got(gate, HELLO)
            assert refused.value.status == 451
            async with Gate(channel, Request(model="answered")) as gate:
                with pytest.raises(Answered) as answer:
                    await got(gate, HELLO)
            assert "Nobody is in." in str(answer.value.events) and answer.value.events[-1] == Event(Ended())
            async with Gate(channel, Request(model="edited", messages=[message("user", "Hi")])) as gate:
                assert [it.content[0].text.text for it in gate.request.messages] == ["Hi", "Be brief."]
                await got(gate, HELLO)

    go(test())


def test_a_policy_that_fails_fails_the_response(go: Go) -> None:
    async def test() -> None:
        async with Server(Upper, "127.0.0.1:0") as server, connect(server.address) as channel:
            async with Gate(channel, ASKED) as gate:
                events = await got(gate, response(text_block(0, "die")))
        assert events[-1].step == Failed("policy Upper failed", 500)

    go(test())


class Asks(Policy):
    name = "asks"
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text:
            self.held = out.hold()
            out.consult(Question.ask("judge", seen.text))

    def on_consulted(self, consulted: Consulted, out: ConsultedOutput) -> None:
        out.replace_held(self.held, [Event(TextDelta(0, consulted.text or "nobody"))])


def test_a_gate_answers_questions(go: Go) -> None:
    async def judge(consult: policy_pb2.Consult) -> str:
        await asyncio.sleep(0.01)
        if consult.request.model != "judge":
            raise ValueError
        return "a word"

    async def fails(_: policy_pb2.Consult) -> str:
        raise OSError

    async def test() -> None:
        async with Server(Asks, "127.0.0.1:0") as server, connect(server.address) as channel:
            for consult, word in ((judge, "a word"), (fails, "nobody")):
                async with Gate(channel, ASKED, consult=consult) as gate:
                    assert Event(TextDelta(0, word)) in await got(gate, HELLO)
            async with Gate(channel, ASKED) as gate:
                assert isinstance((await got(gate, HELLO))[-1].step, Failed)

    go(test())


class EndsAtTools(Policy):
    interest = Interest.only(tool_call=Level.GATE)

    def on_tool_call_chunk(self, seen: Seen, out: HookOutput) -> None:
        out.end(out.text("no tools"))


def test_what_the_upstream_says_after_the_end_is_told_and_not_shown(go: Go) -> None:
    over: list[EndedCall] = []

    async def test() -> None:
        async with Server(EndsAtTools, "127.0.0.1:0", record=over.append) as server, connect(server.address) as channel:
            async with Gate(channel, ASKED) as gate:
                events = await got(gate, HELLO)
        assert [event.step for event in events][-1] == Ended()
        assert "no tools" in str(events) and "'ls'" not in str(events)

    go(test())
    assert over[0].outcome is Outcome.ENDED_BY_POLICY


class Holds(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text:
            out.hold()


def test_the_loss_of_the_service_releases_nothing(go: Go) -> None:
    async def test() -> None:
        server = Server(Holds, "127.0.0.1:0")
        await server.start()
        released: list[Event] = []

        async def slow() -> AsyncIterator[Event]:
            for event in HELLO[:3]:
                yield event
            await asyncio.sleep(0.1)
            await server.stop(0)
            await asyncio.sleep(60)

        async with connect(server.address) as channel:
            async with Gate(channel, ASKED) as gate:
                with pytest.raises(ServiceLost):
                    async for event in gate.pass_(slow()):
                        released.append(event)
        assert released == HELLO[:2]

    go(test())


def test_a_service_that_is_not_there_is_lost(go: Go) -> None:
    async def test() -> None:
        async with connect("127.0.0.1:1") as channel:
            with pytest.raises(ServiceLost):
                async with Gate(channel, ASKED):
                    pass

    go(test())


def test_while_something_is_owed_there_is_a_sign_of_life(go: Go) -> None:
    async def test() -> None:
        async with Server(Asks, "127.0.0.1:0", lease_seconds=0.1) as server, connect(server.address) as channel:
            stream = enforce(channel)
            await stream.write(policy_pb2.EnforceRequest(call_started=started()))
            await stream.write(chunks(1, response(text_block(0, "Hello"))))
            heard = [await stream.read() for _ in range(5)]
            assert said(heard) == ["admission", "consult asks/1", "pass 2", "working", "working"]
            assert [it.seen for it in heard] == [0, 0, 1, 1, 1]
            stream.cancel()

    go(test())


class SleepsAtText(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        import time

        time.sleep(0.3 if seen.text else 0)


def test_hooks_on_threads_may_be_slow(go: Go) -> None:
    async def test() -> None:
        async with Server(SleepsAtText, "127.0.0.1:0", lease_seconds=0.2, threads=1) as server:
            async with connect(server.address) as channel:
                stream = enforce(channel)
                await stream.write(policy_pb2.EnforceRequest(call_started=started()))
                await stream.write(chunks(1, response(text_block(0, "Hello"))))
                heard = [await stream.read() for _ in range(3)]
                assert said(heard)[:2] == ["admission", "working"]
                await stream.write(ended())
                while await stream.read() is not grpc.aio.EOF:
                    pass
                assert await stream.code() is grpc.StatusCode.OK

    go(test())


async def code_of(stream: Any, *messages: policy_pb2.EnforceRequest) -> tuple[list[str], grpc.StatusCode]:
    heard = []
    try:
        for each in messages:
            await stream.write(each)
        await stream.done_writing()
        while (response := await stream.read()) is not grpc.aio.EOF:
            heard.append(response)
    except grpc.aio.AioRpcError:
        pass
    return said(heard), await stream.code()


def test_streams_end_as_the_protocol_says(go: Go) -> None:
    start = policy_pb2.EnforceRequest(call_started=started())
    strange = policy_pb2.CallResumed(epoch=1, admission=policy_pb2.Admission(revision="00", reject={}))

    async def test() -> None:
        async with Server(Upper, "127.0.0.1:0") as server, connect(server.address) as channel:
            assert await code_of(enforce(channel), start, ended()) == (["admission"], grpc.StatusCode.OK)
            assert await code_of(enforce(channel), start, start) == (["admission"], grpc.StatusCode.INVALID_ARGUMENT)
            assert await code_of(enforce(channel), ended()) == ([], grpc.StatusCode.INVALID_ARGUMENT)
            resumed = policy_pb2.EnforceRequest(call_resumed=strange)
            assert await code_of(enforce(channel), resumed, start) == ([], grpc.StatusCode.FAILED_PRECONDITION)
            assert await code_of(enforce(channel), start) == (["admission"], grpc.StatusCode.CANCELLED)

    go(test())


def test_a_call_of_which_the_proxy_is_lost_is_waited_for_and_then_unknown(go: Go) -> None:
    over: list[EndedCall] = []
    start = policy_pb2.EnforceRequest(call_started=started())
    resumed = policy_pb2.EnforceRequest(call_resumed=policy_pb2.CallResumed(epoch=1))

    async def test() -> None:
        make = partial(Server, Upper, "127.0.0.1:0", record=over.append)
        async with make(resume_wait_seconds=60) as server, connect(server.address) as channel:
            await code_of(enforce(channel), start)
            assert await code_of(enforce(channel), start, ended()) == ([], grpc.StatusCode.INVALID_ARGUMENT)
            again = await code_of(enforce(channel), resumed, start, ended())
            assert again == (["admission"], grpc.StatusCode.OK)
            assert [(it.outcome, it.epoch) for it in over] == [(Outcome.DELIVERED, 1)]
        async with make(resume_wait_seconds=0.05) as server, connect(server.address) as channel:
            await code_of(enforce(channel), start)
            while len(over) < 2:
                await asyncio.sleep(0.01)
        assert over[1].outcome is Outcome.UNKNOWN

    go(test())


def test_a_record_that_fails_closes_the_stream_with_an_error(go: Go) -> None:
    def fails(_: EndedCall) -> None:
        raise OSError

    async def test() -> None:
        async with Server(Upper, "127.0.0.1:0", record=fails) as server, connect(server.address) as channel:
            start = policy_pb2.EnforceRequest(call_started=started())
            assert (await code_of(enforce(channel), start, ended()))[1] is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(ServiceLost, match="durable"):
                async with Gate(channel, ASKED) as gate:
                    await got(gate, HELLO)

    go(test())


def test_reports_are_answered(go: Go) -> None:
    over: list[EndedCall] = []

    async def test() -> None:
        async with Server(Upper, "127.0.0.1:0", record=over.append) as server, connect(server.address) as channel:
            report = channel.unary_unary(
                f"/{SERVICE}/Report",
                request_serializer=policy_pb2.CallReport.SerializeToString,
                response_deserializer=policy_pb2.CallReported.FromString,
            )
            told = policy_pb2.CallReport(
                epoch=1, call_started=started(), call_ended=policy_pb2.CallEnded(outcome="OUTCOME_FAILED"), reason="gone"
            )
            await report(told)
            told.ClearField("call_ended")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await report(told)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    go(test())
    assert [(it.outcome, it.reason, it.was_judged) for it in over] == [(Outcome.FAILED, "gone", False)]


def test_nothing_but_loopback_is_bound_or_reached_by_default() -> None:
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:1", "example.org:1"):
        with pytest.raises(ValueError, match="loopback"):
            Server(Upper, address)
        with pytest.raises(ValueError, match="loopback"):
            connect(address)
    for address in ("127.0.0.1:0", "[::1]:0", "localhost:0", "unix:/tmp/x"):
        Server(Upper, address)
    Server(Upper, "0.0.0.0:0", insecure=True)


class Configured(Policy):
    def __init__(self, words: list[str]) -> None:
        self.words = words


def test_a_revision_is_that_of_the_policy_and_its_configuration() -> None:
    one = revision(partial(Configured, ["a"]))
    assert one == revision(partial(Configured, ["a"]))
    assert one != revision(partial(Configured, ["b"])) and one != revision(Upper)
    assert len(one) == 64
