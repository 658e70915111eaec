"""The other end: a proxy that is not luthien asks a policy service for verdicts."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, TypeAlias

import grpc
import grpc.aio

from . import _edits, convert
from ._turn import Ungrammatical, answered
from ._window import ServiceFault, Window, events_of
from .enums import Dialect, Outcome
from .events import Ended, Event, Failed, response, text_block
from .server import SERVICE, is_loopback
from .v1 import call_pb2, policy_pb2

_HOLD_SECONDS = 60.0
_HELD_BYTES = 16 * 1024 * 1024
_MESSAGE_BYTES_MAX = 256 * 1024 * 1024

Answer: TypeAlias = str | Sequence[Event]
"""What a model said: its text, or all events of its response, the last of them `Ended` or `Failed`."""


class Rejected(Exception):
    """The policies refuse the call: nothing goes upstream, and the client is told so."""

    def __init__(self, reject: policy_pb2.Reject) -> None:
        super().__init__(reject.message)
        self.status = reject.status or 403
        self.type = reject.type
        self.message = reject.message


class Answered(Exception):
    """The policies answer the call: nothing goes upstream, and the client gets their response."""

    def __init__(self, events: Sequence[Event]) -> None:
        super().__init__("the policies answer the call")
        self.events = events
        """The response, whole. Its id and model, and the ids of tool calls, may be empty: the proxy has its own."""


class ServiceLost(Exception):
    """The policy service is gone, or broke the protocol. What is held is never released: the response ends with an error."""


def connect(
    address: str, *, credentials: grpc.ChannelCredentials | None = None, insecure: bool = False
) -> grpc.aio.Channel:
    """A connection to a policy service (`127.0.0.1:50051`), for any number of calls.

    Raises:
        ValueError: The address is not loopback, and there are neither credentials nor `insecure=True`.
    """
    options = (("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX), ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX))
    if credentials is not None:
        return grpc.aio.secure_channel(address, credentials, options=options)
    if not insecure and not is_loopback(address):
        raise ValueError(f"{address} is not loopback: calls would cross the network in the clear; give credentials, or insecure=True")
    return grpc.aio.insecure_channel(address, options=options)


class Gate:
    """A call that a policy service judges::

        async with Gate(channel, request, dialect=Dialect.ANTHROPIC_MESSAGES) as gate:
            upstream = ask_the_model(gate.request)         # raises Rejected or Answered, if it is not to be asked
            async for event in gate.pass_(upstream):       # raises ServiceLost
                write(event)

    It fails closed: whatever happens to the service, what has no verdict is not released, also where the operator of the
    policies would let it pass (failure mode *open*). It does not resume: the loss of the service is the loss of the call.

    Args:
        channel: The connection, from `connect`.
        request: What the client asked for.
        consult: Asks a model for a policy, without any policy in between. Without it, policies that ask fail.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        request: call_pb2.Request,
        *,
        dialect: Dialect = Dialect.OPENAI_CHAT,
        upstream_dialect: Dialect | None = None,
        upstream: str = "",
        client: str = "",
        session: str = "",
        call_id: str = "",
        headers: Sequence[tuple[str, str]] = (),
        consult: Callable[[policy_pb2.Consult], Awaitable[Answer]] | None = None,
        lease_seconds: float = 5.0,
    ) -> None:
        self.call_id = call_id or _uuid7()
        self._request = request
        self._consult = consult
        self._lease = lease_seconds
        self._began = time.monotonic()
        self._started = policy_pb2.CallStarted(
            call_id=self.call_id,
            started_at_us=time.time_ns() // 1000,
            dialect=call_pb2.Dialect.Name(dialect),
            upstream_dialect=call_pb2.Dialect.Name(upstream_dialect or dialect),
            upstream=upstream,
            upstream_model=request.model,
            client=client,
            session=session,
            request=request,
            headers=[policy_pb2.Header(name=name.lower(), value=value) for name, value in headers],
            capabilities=["answer", "edits", *(["consult"] if consult is not None else [])],
        )
        self._enforce = channel.stream_stream(
            f"/{SERVICE}/Enforce",
            request_serializer=policy_pb2.EnforceRequest.SerializeToString,
            response_deserializer=policy_pb2.EnforceResponse.FromString,
        )
        self._stream: Any = None
        self._reading: asyncio.Task[Any] | None = None
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._window: Window | None = None
        self._stopped: Rejected | Answered | None = None
        self._lost: ServiceLost | None = None
        self._outcome: Outcome | None = None
        self._edited = request
        self._hold_seconds, self._held_bytes = _HOLD_SECONDS, _HELD_BYTES
        self._heard = self._began
        self._marks: dict[str, int] = {}

    @property
    def request(self) -> call_pb2.Request:
        """The request as it is to go upstream.

        Raises:
            Rejected: It is not to: the call is refused.
            Answered: It is not to: the policies made the response.
        """
        if self._stopped is not None:
            raise self._stopped
        return self._edited

    async def __aenter__(self) -> Gate:
        self._stream = self._enforce()
        try:
            await self._write(policy_pb2.EnforceRequest(call_started=self._started))
            while (response := await self._read()).WhichOneof("message") == "working":
                pass
            if response.WhichOneof("message") != "admission":
                raise self._is_lost("it did not begin with Admission")
            self._admit(response.admission)
        except BaseException:
            self._drop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._lost is None:
                await self._end(error)
        finally:
            self._drop()

    async def pass_(self, events: AsyncIterable[Event]) -> AsyncIterator[Event]:
        """Gives the events of a response that may go to the client, as soon as they may; and, once these are complete, reads
        what the upstream still says of a response that the policies have ended.

        Raises:
            Rejected, Answered: The call is not to go upstream.
            ServiceLost: The service is gone, or broke the protocol; what was not released will not be.
        """
        window = self._must_be_admitted()
        upstream = events.__aiter__()
        pull: asyncio.Task[Event | None] | None = None
        is_read = False
        patience = _Patience(self._hold_seconds)
        try:
            while True:
                await self._tell(window)
                for event in self._checked(window.release):
                    self._marks.setdefault("client_first_us", self._now_us())
                    yield event
                if window.cancel_upstream and not is_read:
                    is_read = True
                    if not window.has_ended:
                        self._checked(lambda: window.push(Event(Ended()), self._now_us()))
                        window.end()
                        continue
                if is_read and window.is_idle and window.is_over:
                    break
                if pull is None and not is_read and window.held_bytes < self._held_bytes:
                    pull = asyncio.ensure_future(_next(upstream))
                is_waiting_for_upstream = pull is not None and window.is_idle and not self._asking
                timeout = self._timeout(window, patience, is_waiting_for_upstream)
                await self._wait(window, pull, timeout)
                patience.spend(window, is_waiting_for_upstream)
                if pull is not None and pull.done():
                    event_or_end, pull = pull.result(), None
                    is_read = self._take(window, event_or_end)
        except asyncio.CancelledError:
            self._outcome = Outcome.CUT_BY_CLIENT
            raise
        except GeneratorExit:
            self._outcome = self._outcome or Outcome.CUT_BY_CLIENT
            raise
        finally:
            if pull is not None:
                pull.cancel()
        if window.has_ended:
            self._outcome = Outcome.ENDED_BY_POLICY
        else:
            self._outcome = Outcome.FAILED if window.has_failed else Outcome.DELIVERED

    def _admit(self, admission: policy_pb2.Admission) -> None:
        match admission.WhichOneof("decision"):
            case "reject":
                self._stopped = Rejected(admission.reject)
                self._outcome = Outcome.ENDED_BY_POLICY
            case "answer":
                events = self._checked(lambda: events_of(admission.answer.events))
                try:
                    self._stopped = Answered(answered(events))
                except Ungrammatical as why:
                    raise self._is_lost(f"its answer is none: {why}") from None
                self._outcome = Outcome.ENDED_BY_POLICY
            case "forward":
                limits = admission.forward.limits
                self._hold_seconds = min(limits.hold_ms / 1000 or _HOLD_SECONDS, _HOLD_SECONDS)
                self._held_bytes = min(limits.held_bytes or _HELD_BYTES, _HELD_BYTES)
                try:
                    self._edited = _edits.applied(self._request, admission.forward.edits)
                except ValueError as error:
                    raise self._is_lost(str(error)) from None
                self._window = Window(admission.forward)
            case _:
                raise self._is_lost("its Admission decides nothing")

    def _must_be_admitted(self) -> Window:
        if self._stopped is not None:
            raise self._stopped
        if self._lost is not None:
            raise self._lost
        if self._window is None:
            raise RuntimeError("`async with` the gate first")
        return self._window

    def _take(self, window: Window, event: Event | None) -> bool:
        """Takes in what the upstream said; whether that was all."""
        self._marks.setdefault("upstream_first_us", self._now_us())
        event = event or Event(Failed("the upstream's response broke off"))
        self._checked(lambda: window.push(event, self._now_us()))
        if event.is_last:
            window.end()
        return event.is_last

    def _timeout(self, window: Window, patience: _Patience, is_waiting_for_upstream: bool) -> float | None:
        is_owed = window.is_holding or not window.is_idle or bool(self._asking)
        if not is_owed:
            self._heard = time.monotonic()
            return None
        silence = self._heard + 2 * self._lease - time.monotonic()
        if silence <= 0:
            raise self._is_lost("it is silent")
        if not window.is_holding or is_waiting_for_upstream:
            return silence
        if patience.left <= 0:
            raise self._is_lost("it held a chunk for too long")
        return min(silence, patience.left)

    async def _wait(self, window: Window, pull: asyncio.Task[Event | None] | None, timeout: float | None) -> None:
        """Until something happens; takes in what the service said, and tells it what models answered."""
        reading = self._reading = self._reading or asyncio.ensure_future(self._stream.read())
        waited = {reading, *self._asking.values(), *([pull] if pull is not None else [])}
        await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for id, task in [(id, task) for id, task in self._asking.items() if task.done()]:
            del self._asking[id]
            consultation = policy_pb2.Consultation(id=id, events=_answer(task))
            await self._write(policy_pb2.EnforceRequest(consultation=consultation))
            window.answered()
        if reading.done():
            response = await self._read()
            self._checked(lambda: window.heard(response))
            self._beside(response)

    def _beside(self, response: policy_pb2.EnforceResponse) -> None:
        match response.WhichOneof("message"):
            case "consult":
                if self._consult is None or response.consult.id in self._asking:
                    raise self._is_lost("it asked what it may not")
                self._asking[response.consult.id] = asyncio.ensure_future(self._ask(self._consult, response.consult))
            case "cancel_consult":
                task = self._asking.pop(response.cancel_consult.id, None)
                if task is not None:
                    task.cancel()
            case _:
                pass

    async def _ask(
        self, consult: Callable[[policy_pb2.Consult], Awaitable[Answer]], question: policy_pb2.Consult
    ) -> Answer:
        return await asyncio.wait_for(consult(question), question.deadline_ms / 1000 or None)

    async def _tell(self, window: Window) -> None:
        while (message := window.next_message()) is not None:
            await self._write(message)

    async def _end(self, error: BaseException | None) -> None:
        """Tells how it ended; the service closes the stream when its record is durable."""
        if self._window is not None:
            while not self._window.is_idle:
                timeout = self._timeout(self._window, _Patience(self._hold_seconds), True)
                await self._wait(self._window, None, timeout)
        if error is not None and self._outcome is None:
            self._outcome = Outcome.FAILED
        ended = policy_pb2.CallEnded(
            outcome=policy_pb2.Outcome.Name(self._outcome or Outcome.CUT_BY_CLIENT),
            written=self._window.written if self._window is not None else 0,
            reason=type(error).__name__ if error is not None else "",
            status=self._stopped.status if isinstance(self._stopped, Rejected) else 200,
            ended_us=self._now_us(),
            upstream_first_us=self._marks.get("upstream_first_us", 0),
            client_first_us=self._marks.get("client_first_us", 0),
        )
        await self._write(policy_pb2.EnforceRequest(call_ended=ended))
        await self._stream.done_writing()
        try:
            while True:
                read = self._reading or asyncio.ensure_future(self._stream.read())
                self._reading = None
                if await read is grpc.aio.EOF:
                    break
            code = await self._stream.code()
        except grpc.aio.AioRpcError as failure:
            code = failure.code()
        if code is not grpc.StatusCode.OK:
            raise self._is_lost(f"the record of the call may not be durable ({code.name})")

    async def _read(self) -> policy_pb2.EnforceResponse:
        read = self._reading or asyncio.ensure_future(self._stream.read())
        self._reading = None
        try:
            response = await asyncio.wait_for(read, 2 * self._lease)
        except grpc.aio.AioRpcError as failure:
            raise self._is_lost(f"{failure.code().name}: {failure.details()}") from None
        except asyncio.TimeoutError:
            raise self._is_lost("it is silent") from None
        if not isinstance(response, policy_pb2.EnforceResponse):
            raise self._is_lost("it closed the stream before CallEnded")
        self._heard = time.monotonic()
        return response

    async def _write(self, message: policy_pb2.EnforceRequest) -> None:
        try:
            await self._stream.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as failure:
            raise self._is_lost(f"nothing can be told: {failure}") from None

    def _checked(self, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except ServiceFault as fault:
            raise self._is_lost(str(fault)) from None

    def _is_lost(self, why: str) -> ServiceLost:
        self._lost = ServiceLost(f"the policy service is lost: {why}")
        return self._lost

    def _drop(self) -> None:
        for task in [*self._asking.values(), *([self._reading] if self._reading is not None else [])]:
            task.cancel()
        self._stream.cancel()

    def _now_us(self) -> int:
        return round((time.monotonic() - self._began) * 1e6)


class _Patience:
    """How long the service may hold. While we wait for the upstream, it does not count."""

    def __init__(self, seconds: float) -> None:
        self.left = self._all = seconds
        self._settled = 0
        self._since = time.monotonic()

    def spend(self, window: Window, is_waiting_for_upstream: bool) -> None:
        """Counts the time since the last look."""
        now = time.monotonic()
        if window.settled != self._settled or not window.is_holding:
            self.left, self._settled = self._all, window.settled
        elif not is_waiting_for_upstream:
            self.left -= now - self._since
        self._since = now


async def _next(upstream: AsyncIterator[Event]) -> Event | None:
    try:
        return await upstream.__anext__()
    except StopAsyncIteration:
        return None


def _answer(task: asyncio.Task[Answer]) -> list[call_pb2.Event]:
    error = task.exception()
    if error is not None:
        # Never content: a model's words may be in it.
        return [convert.event_to_wire(Event(Failed(f"the model could not be asked: {type(error).__name__}")))]
    answer = task.result()
    events = response(text_block(0, answer)) if isinstance(answer, str) else answer
    return [convert.event_to_wire(event) for event in events]


def _uuid7() -> str:
    """RFC 9562: milliseconds, then randomness."""
    value = (time.time_ns() // 1_000_000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
