"""Events and words of the wire, checked once and turned into ours."""

from __future__ import annotations

import uuid

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from . import _json
from ._json import Malformed
from .enums import Dialect, FinishReason, ToolForm
from .events import (
    ArgumentsDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Delta,
    Ended,
    Event,
    Failed,
    Finished,
    Opaque,
    OpaqueBlock,
    OpaqueDelta,
    RedactedThinking,
    Refusal,
    SignatureDelta,
    Started,
    Step,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
)
from .v1 import call_pb2, policy_pb2

# Where the wire says nothing, nothing was said.
_MAY_BE_UNSET = {"luthien.v1.Reasoning.mode"}


def event(wire: call_pb2.Event) -> Event:
    """Reads an event.

    Raises:
        Malformed: Nothing happens in it, or a text in it is not the JSON that it should be.
    """
    _json.check_object(wire.extras_json, "event.extras_json")
    return Event(_step(wire), wire.extras_json)


def event_to_wire(event: Event) -> call_pb2.Event:
    """Writes an event."""
    wire = call_pb2.Event(extras_json=event.extras_json)
    match event.step:
        case Started(id, model, created):
            wire.started.CopyFrom(call_pb2.Started(id=id, model=model, created=created))
        case BlockStarted() as started:
            wire.block_started.CopyFrom(block_started_to_wire(started))
        case TextDelta() | ArgumentsDelta() | SignatureDelta() | OpaqueDelta() as delta:
            wire.block_delta.CopyFrom(delta_to_wire(delta))
        case BlockStopped(block):
            wire.block_stopped.CopyFrom(call_pb2.BlockStopped(block=block))
        case Usage() as it:
            wire.usage.CopyFrom(
                call_pb2.Usage(
                    input=it.input,
                    cache_read=it.cache_read,
                    cache_write=it.cache_write,
                    output=it.output,
                    thinking=it.thinking,
                    json=it.json,
                )
            )
        case Finished() as it:
            reason = call_pb2.FinishReason.Name(it.reason)
            finished = call_pb2.Finished(
                choice=it.choice, reason=reason, word=it.word, stop_sequence=it.stop_sequence
            )
            wire.finished.CopyFrom(finished)
        case Opaque(json):
            wire.opaque.CopyFrom(call_pb2.Opaque(json=json))
        case Ended():
            wire.ended.SetInParent()
        case Failed() as it:
            error = call_pb2.CallError(
                status=it.status, type=it.type, message=it.message, code=it.code, param=it.param
            )
            wire.failed.CopyFrom(call_pb2.Failed(error=error))
    return wire


def block_started(wire: call_pb2.BlockStarted) -> BlockStarted:
    """Reads the start of a block.

    Raises:
        Malformed: It is of no kind.
    """
    return BlockStarted(wire.block, _block_kind(wire), wire.choice)


def block_started_to_wire(started: BlockStarted) -> call_pb2.BlockStarted:
    """Writes the start of a block."""
    wire = call_pb2.BlockStarted(block=started.block, choice=started.choice)
    match started.kind:
        case Text():
            wire.text.SetInParent()
        case Thinking(field, id):
            wire.thinking.CopyFrom(call_pb2.Thinking(field=field, id=id))
        case RedactedThinking(data):
            wire.redacted_thinking.CopyFrom(call_pb2.RedactedThinking(data=data))
        case Refusal():
            wire.refusal.SetInParent()
        case ToolCall() as it:
            wire.tool_call.CopyFrom(tool_call_to_wire(it))
        case OpaqueBlock(json):
            wire.opaque.CopyFrom(call_pb2.OpaqueBlock(json=json))
    return wire


def tool_call_to_wire(call: ToolCall) -> call_pb2.ToolCall:
    """Writes the head of a tool call."""
    form = call_pb2.ToolForm.Name(call.form)
    return call_pb2.ToolCall(id=call.id, name=call.name, form=form, type=call.type, namespace=call.namespace)


def delta(wire: call_pb2.BlockDelta) -> Delta:
    """Reads a piece of a block.

    Raises:
        Malformed: It is none.
    """
    match wire.WhichOneof("delta"):
        case "text":
            return TextDelta(wire.block, wire.text)
        case "arguments":
            return ArgumentsDelta(wire.block, wire.arguments)
        case "signature":
            return SignatureDelta(wire.block, wire.signature)
        case "opaque_json":
            _json.check(wire.opaque_json, "block_delta.opaque_json")
            return OpaqueDelta(wire.block, wire.opaque_json)
        case _:
            raise Malformed("block_delta.delta", "not set")


def delta_to_wire(delta: Delta) -> call_pb2.BlockDelta:
    """Writes a piece of a block."""
    match delta:
        case TextDelta(block, text):
            return call_pb2.BlockDelta(block=block, text=text)
        case ArgumentsDelta(block, arguments):
            return call_pb2.BlockDelta(block=block, arguments=arguments)
        case SignatureDelta(block, signature):
            return call_pb2.BlockDelta(block=block, signature=signature)
        case OpaqueDelta(block, json):
            return call_pb2.BlockDelta(block=block, opaque_json=json)


def consultation(wire: policy_pb2.Consultation) -> list[Event]:
    """Reads the answer of a model.

    Raises:
        Malformed: Its end is missing, or not at its end.
    """
    events = [event(each) for each in wire.events]
    if not events or not events[-1].is_last or any(each.is_last for each in events[:-1]):
        raise Malformed("consultation.events", "the last one, and no other, has to be Ended or Failed")
    return events


def check_started(started: policy_pb2.CallStarted) -> None:
    """Checks what a call begins with.

    Raises:
        Malformed: It can't be read.
    """
    try:
        uuid.UUID(started.call_id)
    except ValueError:
        raise Malformed("call_started.call_id", "not a UUID") from None
    for field, dialect in (("dialect", started.dialect), ("upstream_dialect", started.upstream_dialect)):
        if int(dialect) not in [int(known) for known in Dialect]:
            raise Malformed(f"call_started.{field}", "not set, or not known")
    if not started.HasField("request"):
        raise Malformed("call_started.request", "not set")
    check_message(started.request)


def check_message(message: Message) -> None:
    """Checks that every oneof in a message is set, and that what should be JSON is.

    Raises:
        Malformed: Something is not.
    """
    name = message.DESCRIPTOR.full_name
    for oneof in message.DESCRIPTOR.oneofs:
        is_optional_field = oneof.name.startswith("_")
        path = f"{name}.{oneof.name}"
        if not is_optional_field and path not in _MAY_BE_UNSET and message.WhichOneof(oneof.name) is None:
            raise Malformed(path, "not set")
    for field, value in message.ListFields():
        path = f"{name}.{field.name}"
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in [value] if isinstance(value, Message) else value:
                check_message(each)
        elif field.name in ("extras_json", "details_json"):
            _json.check_object(value, path)
        elif field.name == "json" or field.name.endswith("_json"):
            _json.check(value, path)


def check_batch(batch: policy_pb2.Chunks) -> list[tuple[call_pb2.Chunk, Event]]:
    """Reads a batch.

    Raises:
        Malformed: It is empty, its seqs do not rise, or an event in it can't be read.
    """
    if not batch.chunks:
        raise Malformed("chunks.chunks", "empty")
    last = 0
    read = []
    for chunk in batch.chunks:
        if chunk.seq <= last:
            raise Malformed("chunks.chunks.seq", "seqs have to rise, and begin at 1")
        last = chunk.seq
        if not chunk.HasField("event"):
            raise Malformed("chunks.chunks.event", "not set")
        read.append((chunk, event(chunk.event)))
    return read


def _step(wire: call_pb2.Event) -> Step:
    match wire.WhichOneof("event"):
        case "block_delta":
            return delta(wire.block_delta)
        case "block_started":
            return block_started(wire.block_started)
        case "block_stopped":
            return BlockStopped(wire.block_stopped.block)
        case "started":
            it = wire.started
            return Started(it.id, it.model, it.created if it.HasField("created") else None)
        case "usage":
            return _usage(wire.usage)
        case "finished":
            end = wire.finished
            stop = end.stop_sequence if end.HasField("stop_sequence") else None
            return Finished(end.choice, FinishReason(end.reason), end.word, stop)
        case "opaque":
            _json.check(wire.opaque.json, "event.opaque.json")
            return Opaque(wire.opaque.json)
        case "ended":
            return Ended()
        case "failed":
            if not wire.failed.HasField("error"):
                raise Malformed("event.failed.error", "not set")
            error = wire.failed.error
            return Failed(error.message, error.status, error.type, error.code, error.param)
        case _:
            raise Malformed("event.event", "not set")


def _usage(wire: call_pb2.Usage) -> Usage:
    _json.check_object(wire.json, "event.usage.json")
    return Usage(
        input=wire.input if wire.HasField("input") else None,
        cache_read=wire.cache_read if wire.HasField("cache_read") else None,
        cache_write=wire.cache_write if wire.HasField("cache_write") else None,
        output=wire.output if wire.HasField("output") else None,
        thinking=wire.thinking if wire.HasField("thinking") else None,
        json=wire.json,
    )


def _block_kind(wire: call_pb2.BlockStarted) -> BlockKind:
    match wire.WhichOneof("kind"):
        case "text":
            return Text()
        case "thinking":
            return Thinking(wire.thinking.field, wire.thinking.id)
        case "redacted_thinking":
            return RedactedThinking(wire.redacted_thinking.data)
        case "refusal":
            return Refusal()
        case "tool_call":
            it = wire.tool_call
            return ToolCall(it.name, it.id, ToolForm(it.form), it.type, it.namespace)
        case "opaque":
            _json.check(wire.opaque.json, "block_started.opaque.json")
            return OpaqueBlock(wire.opaque.json)
        case _:
            raise Malformed("block_started.kind", "not set")
