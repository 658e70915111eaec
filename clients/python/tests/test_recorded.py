"""Calls from an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from luthien import Interest, Level, Outcome, Policy, RecordedCall, Seen, Unreadable, read_export, run
from luthien.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Ended,
    Finished,
    OpaqueDelta,
    SignatureDelta,
    Started,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
)
from luthien.output import HookOutput


def step(seq: int, name: str, original: dict[str, Any]) -> dict[str, Any]:
    return {"type": "step", "seq": seq, "step": name, "unchanged": True, "original": original}


def block(key: int, kind: str, first: int, last: int, original: dict[str, Any], **more: Any) -> dict[str, Any]:
    about = {"type": "block", "choice": 0, "block": key, "kind": kind, "first": first, "last": last}
    return {**about, "arrived_us": 100, "stopped": True, "unchanged": True, "original": original, **more}


def call(*entries: dict[str, Any]) -> dict[str, Any]:
    request = {
        "type": "request", "dialect": "openai-chat", "upstream_dialect": "anthropic-messages", "upstream": "a",
        "route": "*", "model": "m", "upstream_model": "u", "session": "s",
        "request": {
            "stream": True,
            "system": [{"text": "be kind"}],
            "messages": [
                {"role": "user", "content": [{"text": "hi"}], "extras": {"name": "a"}},
                {"role": "assistant", "content": [
                    {"thinking": "", "signature": "s"}, {"redacted_thinking": "x"}, {"refusal": "no"},
                    {"tool_call": {"id": "1", "name": "ls", "form": "custom", "arguments": "-l"}},
                    {"tool_result": {"id": "1", "is_error": True, "content": [{"text": "denied"}]}},
                    {"image": {"inline": {"media_type": "image/png", "data": "AA=="}, "detail": "low"}},
                    {"document": {"url": "https://example.com/a.pdf", "title": "a"}},
                    {"audio": {"data": "AA==", "format": "wav"}}, {"opaque": {"type": "later"}},
                ]},
            ],
            "tools": [
                {"name": "ls", "function": {"schema": {}, "strict": True}}, {"name": "sh", "custom": {"format": None}},
                {"name": "", "hosted": {"type": "web_search"}},
            ],
            "tool_choice": {"allowed": ["ls"], "required": True},
            "sampling": {"max_output_tokens": 5, "temperature": 0.5, "stop": ["x"], "seed": -1},
            "reasoning": {"mode": "adaptive", "effort": "high"},
            "output": {"schema": {"type": "object"}, "name": "n"},
            "service": {"end_user": "u", "store": False},
            "extras": {"later": [1]},
        },
    }  # fmt: skip
    bodies = [request, {"type": "admission", "decision": "forward"}, *entries]
    listed = [{"epoch": 0, "seq": at, "body": body} for at, body in enumerate(bodies)]
    return {
        "call_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "started_at": "2026-11-23T09:11:29.483Z",
        "entries": listed,
    }


TEXT = block(0, "text", 2, 5, {"text": "hé!"}, deltas=[[1, 10, 3], [1, 0, 1], [1, 5, "stop"]])
WHOLE = call(
    step(1, "started", {"id": "r", "model": "u", "created": 7}),
    TEXT,
    step(6, "finished", {"choice": 0, "reason": "end_turn"}),
    step(7, "ended", {}),
    {"type": "outcome", "outcome": "delivered"},
)


def steps(recorded: RecordedCall) -> list[object]:
    return [event.step for _, event in recorded.chunks]


def test_a_block_comes_again_in_the_chunks_that_it_came_in() -> None:
    recorded = RecordedCall.read(WHOLE)
    assert steps(recorded) == [
        Started("r", "u", 7), BlockStarted(0, Text()), TextDelta(0, "hé"), TextDelta(0, "!"), BlockStopped(0),
        Finished(), Ended(),
    ]  # fmt: skip
    assert [at for at, _ in recorded.chunks[1:5]] == [100, 110, 110, 115]
    assert recorded.outcome is Outcome.DELIVERED and recorded.was_judged


def test_every_sort_of_piece_is_read() -> None:
    original = {"text": "ab", "signature": "proof", "opaque": [{"later": 1}], "extras": [{"x": 1}]}
    deltas = [[0, 0, "start", 0], [1, 1, 2], [1, 1, "opaque"], [1, 1, "signature", 0], [1, 1, "stop"]]
    recorded = RecordedCall.read(call(block(3, "thinking", 1, 5, original, deltas=deltas)))
    assert steps(recorded) == [
        BlockStarted(3, Thinking()), TextDelta(3, "ab"), OpaqueDelta(3, '{"later": 1}'), SignatureDelta(3, "proof"),
        BlockStopped(3),
    ]  # fmt: skip
    assert [event.extras for _, event in recorded.chunks] == [{"x": 1}, {}, {}, {"x": 1}, {}]


def test_a_block_that_was_only_recorded_comes_in_one_piece() -> None:
    original = {"name": "ls", "id": "c", "form": "function", "arguments": "{}"}
    recorded = RecordedCall.read(call(block(1, "tool_call", 1, 9, original, deltas=[[8, 5, "stop"]])))
    assert steps(recorded) == [BlockStarted(1, ToolCall("ls", "c")), ArgumentsDelta(1, "{}"), BlockStopped(1)]


def test_the_request_is_read_back() -> None:
    request = RecordedCall.read(WHOLE).started.request
    assert [content.WhichOneof("content") for content in request.messages[1].content] == [
        "thinking", "redacted_thinking", "refusal", "tool_call", "tool_result", "image", "document", "audio", "opaque",
    ]  # fmt: skip
    assert [tool.WhichOneof("kind") for tool in request.tools] == ["function", "custom", "hosted_json"]
    assert (request.model, request.system[0].text.text, request.sampling.seed) == ("m", "be kind", -1)
    assert list(request.tool_choice.allowed.names) == ["ls"] and request.tool_choice.allowed.required
    assert request.output.json_schema.schema_json == '{"type": "object"}'
    assert request.reasoning.WhichOneof("mode") == "adaptive"
    assert request.service.HasField("store") and json.loads(request.extras_json) == {"later": [1]}


def test_lengths_that_do_not_fit_are_refused() -> None:
    for deltas in ([[1, 0, 2]], [[1, 0, 5]], [[1, 0, 3, 9]], [[1, 0, "opaque"]], [[1, 0, 3], [1]]):
        with pytest.raises(Unreadable, match="deltas"):
            RecordedCall.read(call({**TEXT, "deltas": deltas}))


@pytest.mark.parametrize("json_", [1, {}, {"entries": []}, {**WHOLE, "entries": [{"body": 1}]}])
def test_what_luthien_does_not_write_is_refused(json_: Any) -> None:
    with pytest.raises(Unreadable):
        RecordedCall.read(json_)


def test_an_export_is_read_call_by_call_and_one_that_broke_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    line = json.dumps(WHOLE) + "\n"
    path.write_text(line * 2)
    assert len(list(read_export(path))) == 2
    path.write_text(line + '{"error": {"message": "the database went away"}}\n')
    calls = read_export(path)
    next(calls)
    with pytest.raises(Unreadable, match="broke off"):
        next(calls)


class Upper(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text:
            out.replace(out.text("no"))


class Shout(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_content_completed(self, text: str, seen: Seen, out: HookOutput) -> None:
        out.inject(out.text(text.upper()))


def test_a_policy_runs_over_a_recorded_call() -> None:
    decided = run(Shout, RecordedCall.read(WHOLE))
    assert decided.text == "hé!HÉ!" and not decided.has_failed


def test_questions_are_answered_from_the_record() -> None:
    from test_hooks import Asks

    question = {
        "type": "consult", "policy": "asks", "id": "asks/1", "state": "answered", "model": "judge", "upstream": "",
        "request": {"stream": False, "messages": [{"role": "user", "content": [{"text": "hé"}]}]},
        "answer": [{"kind": "thinking", "content": {"text": "hm"}}, {"kind": "text", "content": {"text": "ha"}}],
    }  # fmt: skip
    recorded = RecordedCall.read({**WHOLE, "entries": [*WHOLE["entries"], {"body": question}]})
    decided = run(Asks, recorded, answer=lambda _: "?")
    assert (decided.text, decided.unanswered, len(decided.consults)) == ("ha?", 0, 2)
