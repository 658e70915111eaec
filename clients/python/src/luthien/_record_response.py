"""What the model said, chunk by chunk, from the blocks and steps of the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ._fields import Fields, Unreadable
from .enums import FinishReason, ToolForm
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
    response,
    text_block,
)


@dataclass(slots=True)
class _Placed:
    seq: int
    arrived_us: int
    event: Event


def chunks_of(entries: list[dict[str, Any]]) -> list[tuple[int, Event]]:
    """The chunks of a response, in their order, each with when it arrived."""
    placed: list[_Placed] = []
    begun: set[int] = set()
    for entry in entries:
        if entry.get("original") is None:
            continue
        if entry.get("type") == "block":
            placed += _block(Fields("block", entry), begun)
        elif entry.get("type") == "step":
            placed += _step(Fields("step", entry))
    placed.sort(key=lambda each: each.seq)
    return [(each.arrived_us, each.event) for each in placed]


def answer_of(consult: Fields) -> list[Event]:
    """What a model answered. Judges are asked for text; what else a model says is no opinion."""
    texts = []
    for key, block in enumerate(consult.items("answer")):
        fields = Fields("answer", block)
        events = text_block(key, fields.fields("content").text("text"))
        if fields.text("kind") != "text":
            events[0] = Event(BlockStarted(key, Thinking()))
        texts.append(events)
    if consult.text("state") == "failed":
        return [*(event for events in texts for event in events), Event(Failed(consult.text("error")))]
    return response(*texts)


def _block(block: Fields, begun: set[int]) -> Iterator[_Placed]:
    """The chunks of a block. One that was told in parts begins once."""
    content = block.fields("original")
    key = block.count("block") or 0
    deltas = [delta for delta in block.items("deltas") if isinstance(delta, list)]
    # Of a block that was only recorded, it is known when it stopped.
    came = any(delta[2:3] and delta[2] not in ("start", "stop") for delta in deltas)
    for placed in _as_it_came(block, content, key, deltas) if came else _joined(block, content, key):
        if isinstance(placed.event.step, BlockStarted):
            if key in begun:
                continue
            begun.add(key)
        yield placed


def _as_it_came(block: Fields, content: Fields, key: int, deltas: list[list[Any]]) -> list[_Placed]:
    known = content.items("extras")
    is_arguments = "arguments" in content
    rest = content.text("arguments" if is_arguments else "text").encode()
    opaque = iter(content.items("opaque"))
    placed = [_start(block, content, key)]
    seq, arrived_us = placed[0].seq, placed[0].arrived_us
    try:
        for seqs, us, piece, *extras in deltas:
            seq, arrived_us = seq + seqs, arrived_us + us
            extras_json = json.dumps(known[extras[0]]) if extras else ""
            step: Step
            match piece:
                case "start":
                    placed[0].event = Event(placed[0].event.step, extras_json)
                    continue
                case "stop":
                    step = BlockStopped(key)
                case "signature":
                    step = SignatureDelta(key, content.text("signature"))
                case "opaque":
                    step = OpaqueDelta(key, json.dumps(next(opaque)))
                case int(length) if length <= len(rest):
                    text, rest = rest[:length].decode(), rest[length:]
                    step = ArgumentsDelta(key, text) if is_arguments else TextDelta(key, text)
                case _:
                    raise block.wrong("deltas")
            placed.append(_Placed(seq, arrived_us, Event(step, extras_json)))
    except (IndexError, StopIteration, TypeError, ValueError) as error:
        raise error if isinstance(error, Unreadable) else block.wrong("deltas") from None
    return placed


def _joined(block: Fields, content: Fields, key: int) -> list[_Placed]:
    """In one piece of each sort, in the order in which dialects have them."""
    extras = iter([json.dumps(each) for each in content.items("extras")])
    placed = [_start(block, content, key, next(extras, ""))]
    seq, last, arrived_us = placed[0].seq, block.count("last") or 0, placed[0].arrived_us
    for delta in _pieces(content, key):
        seq = min(seq + 1, last)
        placed.append(_Placed(seq, arrived_us, Event(delta, next(extras, ""))))
    if block.flag("stopped"):
        placed.append(_Placed(last, arrived_us, Event(BlockStopped(key))))
    return placed


def _start(block: Fields, content: Fields, key: int, extras_json: str = "") -> _Placed:
    started = BlockStarted(key, _kind(block, content), block.count("choice") or 0)
    return _Placed(block.count("first") or 0, block.count("arrived_us") or 0, Event(started, extras_json))


def _pieces(content: Fields, key: int) -> Iterator[Delta]:
    if content.text("text"):
        yield TextDelta(key, content.text("text"))
    if content.text("arguments"):
        yield ArgumentsDelta(key, content.text("arguments"))
    if content.text("signature"):
        yield SignatureDelta(key, content.text("signature"))
    for each in content.items("opaque"):
        yield OpaqueDelta(key, json.dumps(each))


def _kind(block: Fields, content: Fields) -> BlockKind:
    match block.text("kind"):
        case "text":
            return Text()
        case "refusal":
            return Refusal()
        case "thinking" if "redacted" in content:
            return RedactedThinking(content.text("redacted"))
        case "thinking":
            return Thinking(id=content.text("id"))
        case "opaque":
            return OpaqueBlock(json.dumps(content.json.get("json")))
        case "tool_call":
            try:
                form = ToolForm[content.text("form").upper()]
            except KeyError:
                raise content.wrong("form") from None
            namespace = content.text("namespace")
            return ToolCall(content.text("name"), content.text("id"), form, content.text("call_type"), namespace)
        case _:
            raise block.wrong("kind")


def _step(entry: Fields) -> Iterator[_Placed]:
    original = entry.fields("original")
    for step in _steps(entry, original):
        yield _Placed(entry.count("seq") or 0, 0, Event(step, original.object_json("extras")))


def _steps(entry: Fields, step: Fields) -> Iterator[Step]:
    match entry.text("step"):
        case "started":
            yield Started(step.text("id"), step.text("model"), step.count("created"))
        case "usage":
            yield Usage(
                step.count("input"),
                step.count("cache_read"),
                step.count("cache_write"),
                step.count("output"),
                step.count("thinking"),
                step.object_json("raw"),
            )
        case "finished":
            stop = step.text("stop_sequence") if "stop_sequence" in step else None
            try:
                reason = FinishReason[step.text("reason").upper()]
            except KeyError:
                raise step.wrong("reason") from None
            yield Finished(step.count("choice") or 0, reason, step.text("word"), stop)
        case "opaque":
            yield Opaque(json.dumps(step.json.get("json")))
        case "ended":
            yield Ended()
        case "failed":
            status = step.count("status") or 0
            yield Failed(step.text("message"), status, step.text("error_type"), step.text("code"), step.text("param"))
        case "block_delta":
            # Pieces of a block that is only recorded.
            pieces = step.fields("pieces").items("opaque") if "pieces" in step else []
            yield from (OpaqueDelta(step.count("block") or 0, json.dumps(each)) for each in pieces)
        case _:
            raise entry.wrong("step")
