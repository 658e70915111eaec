"""A policy service of one policy: `luthien.v1.PolicyService`, on grpc.aio."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

from . import convert
from ._json import Malformed
from ._streams import Place, Streams, Taken
from .enums import Outcome
from .policy import Annotation, Call, Policy
from .session import Fault, Session, read_call
from .v1 import policy_pb2

SERVICE = "luthien.v1.PolicyService"
DEFAULT_ADDRESS = "127.0.0.1:50061"
_MESSAGE_BYTES_MAX = 256 * 1024 * 1024
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    # Proxies may look as often as they like whether we are there.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    # Two servers on one port would have half of the calls each.
    ("grpc.so_reuseport", 0),
)

_log = logging.getLogger("luthien")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that is over."""

    call: Call
    outcome: Outcome
    annotations: tuple[Annotation, ...]
    """All that the policy noted in this stream of the call; of one that was taken over, from its beginning on."""
    epoch: int = 0
    """How many streams of the call there were before. Of several, the highest is right."""
    reason: str = ""
    """What went wrong, by the proxy's account."""
    was_judged: bool = True
    """False: no service had the call at its end, and the proxy told of it later."""


class _Failure(Exception):
    """Why a stream does not end well."""

    def __init__(self, code: grpc.StatusCode, why: str, *, may_go_on: bool = False) -> None:
        super().__init__(why)
        self.code = code
        self.may_go_on = may_go_on


class Server:
    """Serves a policy; `policy` makes an instance for each call.

    Args:
        policy: The policy's class, or whatever makes its instances.
        address: Where it listens; `127.0.0.1:0`: on a free port. An address that is not loopback needs `credentials`, or
            `insecure=True`.
        record: Called with each call that is over, before its stream is closed: when it returns, what it wants of the call
            has to be durable. If it raises, the proxy is told that the record may be lost.
        threads: How many threads run hooks; 0: they run on the event loop, which is faster for hooks that are quick.
        lease_seconds: While the proxy is owed something it hears of us this often.
        resume_wait_seconds: How long a call of which the proxy was lost is waited for.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        address: str = DEFAULT_ADDRESS,
        *,
        record: Callable[[EndedCall], None] | None = None,
        threads: int = 0,
        credentials: grpc.ServerCredentials | None = None,
        insecure: bool = False,
        lease_seconds: float = 5.0,
        resume_wait_seconds: float = 30.0,
    ) -> None:
        if credentials is None and not insecure and not is_loopback(address):
            raise ValueError(f"{address} is not loopback: whoever reaches it sees calls; give credentials, or insecure=True")
        self.revision = revision(policy)
        self.address = address
        self._policy = policy
        self._record = record
        self._pool = ThreadPoolExecutor(threads, "luthien-hooks") if threads else None
        self._credentials = credentials
        self._lease = lease_seconds
        self._resume_wait = resume_wait_seconds
        self._streams = Streams()
        self._waiting: set[asyncio.Task[None]] = set()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Begins to listen. `address` then says on which port."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Enforce": grpc.stream_stream_rpc_method_handler(
                self._enforce,
                request_deserializer=policy_pb2.EnforceRequest.FromString,
                response_serializer=policy_pb2.EnforceResponse.SerializeToString,
            ),
            "Report": grpc.unary_unary_rpc_method_handler(
                self._report,
                request_deserializer=policy_pb2.CallReport.FromString,
                response_serializer=policy_pb2.CallReported.SerializeToString,
            ),
        }
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        if self._credentials is not None:
            port = server.add_secure_port(self.address, self._credentials)
        else:
            port = server.add_insecure_port(self.address)
        if not self.address.startswith("unix:"):
            self.address = f"{self.address.rpartition(':')[0]}:{port}"
        await server.start()
        self._server = server

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Takes no more calls; what runs may end within the grace."""
        if self._server is not None:
            await self._server.stop(grace_seconds)
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(0)

    async def _enforce(self, _: Any, context: _Context) -> None:
        conversation = _Conversation(self, context)
        try:
            await conversation.run()
        except _Failure as failure:
            _log.log(logging.INFO if failure.may_go_on else logging.WARNING, "a call's stream fails: %s", failure)
            self._leave(conversation, may_go_on=failure.may_go_on)
            await context.abort(failure.code, str(failure))
        except asyncio.CancelledError:
            self._leave(conversation, may_go_on=True)
            raise
        except Exception:
            _log.exception("a call's stream fails")
            self._leave(conversation, may_go_on=True)
            await context.abort(grpc.StatusCode.INTERNAL, "the policy service failed")

    def _leave(self, conversation: _Conversation, *, may_go_on: bool) -> None:
        """The stream ends, and the call with it, unless it is resumed."""
        task = asyncio.get_running_loop().create_task(conversation.aftermath(self._resume_wait if may_go_on else 0))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _report(self, report: policy_pb2.CallReport, context: _Context) -> policy_pb2.CallReported:
        try:
            if report.epoch == 0:
                raise Malformed("epoch", "not set")
            if not report.HasField("call_ended"):
                raise Malformed("call_ended", "not set")
            convert.check_started(report.call_started)
        except Malformed as malformed:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(malformed))
        call = read_call(report.call_started)
        self._streams.supersede(call.call_id, report.epoch)
        ended = EndedCall(call, Outcome(report.call_ended.outcome), (), report.epoch, report.reason, was_judged=False)
        try:
            await self._put_on_record(ended)
        except Exception as error:
            _log.exception("a report could not be put on record")
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"not on record: {type(error).__name__}")
        return policy_pb2.CallReported()

    async def _put_on_record(self, ended: EndedCall) -> None:
        if self._record is not None:
            await asyncio.to_thread(self._record, ended)


class _Broken(Policy):
    """Stands for one that could not be made: it fails as it begins, and closed."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def begin(self, call: Call) -> None:
        raise self._error


class _Conversation:
    """One stream: drives a session. Decides nothing."""

    def __init__(self, server: Server, context: _Context) -> None:
        self._server = server
        self._context = context
        self._session: Session | None = None
        self._place: Place | None = None
        self._epoch = 0
        self._reason = ""
        self._read: asyncio.Future[Any] | None = None
        self._work: asyncio.Future[Any] | None = None

    async def run(self) -> None:
        """Until the call is over, and on record."""
        session = await self._begin()
        try:
            await self._say(session.take())
            while not session.has_ended:
                request = await self._hear()
                if request.WhichOneof("message") == "call_ended":
                    self._reason = request.call_ended.reason
                await self._say(await self._run(session.handle, request))
        except Fault as fault:
            raise _Failure(grpc.StatusCode.INVALID_ARGUMENT, str(fault)) from None
        try:
            await self._close()
        except Exception as error:
            _log.exception("a call could not be put on record")
            raise _Failure(grpc.StatusCode.UNAVAILABLE, f"not on record: {type(error).__name__}") from error

    async def aftermath(self, wait_seconds: float) -> None:
        """The stream broke: waits for the call to be resumed here, and else ends it."""
        if self._work is not None:
            # A thread can't be stopped: what it does with the session it does alone.
            await asyncio.wait({self._work})
        session, place = self._session, self._place
        if session is None or place is None or session.has_ended:
            if place is not None:
                place.leave()
            return
        try:
            can_resume = "resume" in session.call.capabilities
            if await place.is_superseded(wait_seconds if can_resume else 0):
                return
            session.lost()
            await self._close()
        except Exception:
            _log.exception("a call that was lost could not be put on record")
        finally:
            place.leave()

    async def _begin(self) -> Session:
        first = await self._hear()
        resumed = None
        if first.WhichOneof("message") == "call_resumed":
            resumed = first.call_resumed
            self._epoch = resumed.epoch
            first = await self._hear()
        if first.WhichOneof("message") != "call_started":
            raise _Failure(grpc.StatusCode.INVALID_ARGUMENT, "the call does not begin with CallStarted")
        revision = self._server.revision
        if resumed is not None and resumed.HasField("admission") and resumed.admission.revision != revision:
            why = f"revision {resumed.admission.revision} is not known here"
            raise _Failure(grpc.StatusCode.FAILED_PRECONDITION, why)
        try:
            self._place = self._server._streams.enter(first.call_started.call_id, self._epoch)
        except Taken as taken:
            raise _Failure(grpc.StatusCode.INVALID_ARGUMENT, str(taken)) from None
        make = partial(self._make, first.call_started, resumed)
        try:
            self._session = await self._run(make)
        except Fault as fault:
            raise _Failure(grpc.StatusCode.INVALID_ARGUMENT, str(fault)) from None
        return self._session

    def _make(self, started: policy_pb2.CallStarted, resumed: policy_pb2.CallResumed | None) -> Session:
        policy: Policy
        try:
            policy = self._server._policy()
        except Exception as error:
            policy = _Broken(error)
        return Session(policy, started, revision=self._server.revision, resumed=resumed)

    async def _run(self, run: Callable[..., _T], *args: Any) -> _T:
        if self._server._pool is None:
            return run(*args)
        work = asyncio.get_running_loop().run_in_executor(self._server._pool, partial(run, *args))
        self._work = work
        return await self._with_life(work)

    async def _hear(self) -> policy_pb2.EnforceRequest:
        if self._read is None:
            self._read = asyncio.ensure_future(self._context.read())
        request = await self._with_life(self._read)
        self._read = None
        if not isinstance(request, policy_pb2.EnforceRequest):
            raise _Failure(grpc.StatusCode.CANCELLED, "the proxy was lost before CallEnded", may_go_on=True)
        return request

    async def _with_life(self, future: asyncio.Future[_T]) -> _T:
        """Waits, and shows life meanwhile. A silence that begins just behind one sign ends at the next: within a lease."""
        superseded = self._place.superseded if self._place is not None else None
        both: set[asyncio.Future[Any]] = {future} if superseded is None else {future, superseded}
        while not future.done():
            await asyncio.wait(both, timeout=self._server._lease / 2, return_when=asyncio.FIRST_COMPLETED)
            if superseded is not None and superseded.done():
                raise _Failure(grpc.StatusCode.ABORTED, "the call goes on with another stream", may_go_on=True)
            if not future.done() and self._place is not None:
                seen = self._session.seen if self._session is not None else 0
                await self._say([policy_pb2.EnforceResponse(working=policy_pb2.Working(), seen=seen)])
        return future.result()

    async def _say(self, responses: list[policy_pb2.EnforceResponse]) -> None:
        for response in responses:
            await self._context.write(response)

    async def _close(self) -> None:
        session, place = self._session, self._place
        if session is None or place is None:
            return
        outcome = session.outcome
        ended = EndedCall(session.call, outcome, tuple(session.annotations), self._epoch, self._reason)
        await self._server._put_on_record(ended)
        place.leave()


def serve(policy: Callable[[], Policy], address: str = "", **options: Any) -> None:
    """Serves a policy until SIGTERM or SIGINT, as `Server` does. Where it listens is said on stderr; without an `address`, it is
    `LUTHIEN_POLICY_LISTEN` of the environment, or 127.0.0.1:50061."""
    listen = address or os.environ.get("LUTHIEN_POLICY_LISTEN") or DEFAULT_ADDRESS
    asyncio.run(_serve(Server(policy, listen, **options)))


async def _serve(server: Server) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Not every system has them; an interrupt then ends the loop.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    print(f"luthien: a policy service listens on http://{server.address}", file=sys.stderr, flush=True)
    await stop.wait()
    await server.stop()


def revision(policy: Callable[[], Policy]) -> str:
    """The revision of a policy: a call is taken over only by a server of the same.

    It is made of the source of the module that defines the policy, of its class, and of what an instance has in its attributes
    before any call, by its `repr`. So what can't be told apart by that (code in another module, say) has to be in an attribute.
    """
    instance = policy()
    kind = type(instance)
    digest = hashlib.sha256(f"{kind.__module__ if kind.__module__ != '__main__' else ''}:{kind.__qualname__}\n".encode())
    try:
        digest.update(Path(inspect.getfile(kind)).read_bytes())
    except (OSError, TypeError):
        pass  # made at run time: the class and its attributes are all that is known
    fields = ("name", "interest", "failure_mode", "hold_seconds")
    attributes = {field: getattr(instance, field) for field in fields} | vars(instance)
    digest.update(repr(sorted(attributes.items())).encode(errors="replace"))
    return digest.hexdigest()


def is_loopback(address: str) -> bool:
    """Whether nobody beyond this machine reaches an address."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_Context = grpc.aio.ServicerContext[Any, Any]
