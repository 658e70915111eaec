"""Calls that are on record, from a JSONL export (`GET /api/export`)."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import _record_request
from ._fields import Fields, Unreadable
from ._record_response import answer_of, chunks_of
from .enums import Dialect, Outcome
from .events import Event
from .policy import message
from .v1 import call_pb2, policy_pb2

__all__ = ["RecordedCall", "Unreadable", "read_export"]

_CAPABILITIES = ("answer", "consult", "edits", "interest", "resume")
_DIALECTS = {
    "openai-chat": Dialect.OPENAI_CHAT,
    "anthropic-messages": Dialect.ANTHROPIC_MESSAGES,
    "openai-responses": Dialect.OPENAI_RESPONSES,
    "gemini": Dialect.GEMINI,
}


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call: what the client asked for, and what the model said."""

    started: policy_pb2.CallStarted
    chunks: Sequence[tuple[int, Event]]
    """What the model said, each with when it arrived: microseconds since the call began."""
    outcome: Outcome = Outcome.DELIVERED
    answers: Sequence[tuple[policy_pb2.Consult, Sequence[Event]]] = ()
    """What policies asked models then, and what these answered."""
    was_judged: bool = True
    """False: no policy was asked about it."""
    entries: Sequence[dict[str, Any]] = field(default=(), repr=False)
    """All that is on record of it."""

    @property
    def call_id(self) -> str:
        """Its id."""
        return self.started.call_id

    @classmethod
    def of(
        cls,
        events: Iterable[Event],
        *,
        request: call_pb2.Request | None = None,
        call_id: str = "01890a5d-ac96-774b-bcce-b302099a8057",
        dialect: Dialect = Dialect.OPENAI_CHAT,
        session: str = "",
    ) -> RecordedCall:
        """A call that is on no record: of events that a test makes up."""
        asked = request or call_pb2.Request(model="model", stream=True, messages=[message("user", "Hello")])
        started = policy_pb2.CallStarted(
            call_id=str(uuid.UUID(call_id)),
            dialect=call_pb2.Dialect.Name(dialect),
            upstream_dialect=call_pb2.Dialect.Name(dialect),
            upstream_model=asked.model,
            session=session,
            request=asked,
            capabilities=_CAPABILITIES,
        )
        return cls(started, [(1000 * at, event) for at, event in enumerate(events)])

    @classmethod
    def read(cls, json: Any) -> RecordedCall:
        """Reads a call with its entries, as `GET /api/calls/{id}?deltas=true` and a line of an export have it.

        Raises:
            Unreadable: It is not what luthien writes.
        """
        call = Fields("call", json)
        entries = [Fields("entry", entry).fields("body").json for entry in call.items("entries")]
        requests = [entry for entry in entries if entry.get("type") == "request"]
        if not requests:
            raise Unreadable("a call without its request")
        outcomes = [entry["outcome"] for entry in entries if entry.get("type") == "outcome"]
        consults = [entry for entry in entries if entry.get("type") == "consult"]
        return cls(
            started=_started(call, Fields("request", requests[0])),
            chunks=chunks_of(entries),
            outcome=Outcome[outcomes[0].upper()] if outcomes else Outcome.UNKNOWN,
            answers=[_answer(consult) for consult in consults if consult.get("state") in ("answered", "failed")],
            was_judged=any(entry.get("type") == "admission" for entry in entries),
            entries=entries,
        )


def read_export(path: str | os.PathLike[str]) -> Iterator[RecordedCall]:
    """Reads an export, call by call. Calls that no policy was asked about are among them: see `was_judged`.

    Raises:
        Unreadable: It is not whole, or not what luthien writes.
    """
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            call = json.loads(line)
            if "error" in call and "call_id" not in call:
                raise Unreadable(f"the export: it broke off, and is not whole ({call['error']})")
            yield RecordedCall.read(call)


def _started(call: Fields, entry: Fields) -> policy_pb2.CallStarted:
    time = call.text("started_at")
    began = datetime.fromisoformat(time.replace("Z", "+00:00")) if time else None
    return policy_pb2.CallStarted(
        call_id=call.text("call_id"),
        started_at_us=round(began.timestamp() * 1e6) if began is not None else 0,
        dialect=_dialect(entry, "dialect"),
        upstream_dialect=_dialect(entry, "upstream_dialect"),
        upstream=entry.text("upstream"),
        route=entry.text("route"),
        upstream_model=entry.text("upstream_model"),
        client=entry.text("client"),
        session=entry.text("session"),
        dropped=entry.items("dropped"),
        omitted=entry.items("omitted"),
        request=_record_request.read(entry.text("model"), entry.fields("request")),
        capabilities=_CAPABILITIES,
    )


def _dialect(entry: Fields, name: str) -> str:
    dialect = _DIALECTS.get(entry.text(name))
    if dialect is None:
        raise entry.wrong(name)
    return call_pb2.Dialect.Name(dialect)


def _answer(entry: dict[str, Any]) -> tuple[policy_pb2.Consult, Sequence[Event]]:
    consult = Fields("consult", entry)
    request = _record_request.read(consult.text("model"), consult.fields("request"))
    question = policy_pb2.Consult(id=consult.text("id"), request=request, upstream=consult.text("upstream"))
    return question, answer_of(consult)
