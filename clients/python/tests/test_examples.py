"""The examples, over calls that are made up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType

from luthien import Event, Policy, RecordedCall, Severity, ToolCall, response, run, text_block, tool_call_block
from luthien.events import BlockStarted, BlockStopped, Ended, Failed, Finished, Started, Text, TextDelta

Example = Callable[[str], ModuleType]
SECRET = "sk-abcd1234EFGH"


def spoken(pieces: list[str], *, is_cut: bool = False) -> list[Event]:
    text = [Event(TextDelta(0, piece)) for piece in pieces]
    end = [Event(Failed("gone"))] if is_cut else [Event(BlockStopped(0)), Event(Finished()), Event(Ended())]
    return [Event(Started()), Event(BlockStarted(0, Text())), *text, *end]


def test_the_monitor_scores_calls_and_changes_nothing(example: Example) -> None:
    events = response(
        tool_call_block(0, ToolCall("Bash"), '{"command":"rm -rf /"}'), tool_call_block(1, ToolCall("ls"), "{}")
    )
    decided = run(example("score_tool_calls").ScoreToolCalls, RecordedCall.of(events))
    assert decided.events == events
    notes = [(note.severity, note.details) for note in decided.annotations]
    assert notes == [
        (Severity.WARNING, {"tool": "Bash", "score": 0.9}),
        (Severity.INFO, {"tool": "ls", "score": 0.0}),
        (Severity.INFO, {"highest": 0.9}),
    ]


def test_the_redactor_finds_secrets_wherever_they_are_cut(example: Example) -> None:
    redact: type[Policy] = example("redact").Redact
    text = f"The key is {SECRET}, and s is a letter; sk-short. {SECRET}"
    masked = text.replace(SECRET, "[redacted]")
    for at in range(len(text)):
        for is_cut in (False, True):
            decided = run(redact, RecordedCall.of(spoken([text[:at], text[at:]], is_cut=is_cut)))
            assert decided.text == masked, at
    assert run(redact, RecordedCall.of(spoken(list(text)))).text == masked


def test_the_redactor_lets_text_go_at_once(example: Example) -> None:
    decided = run(example("redact").Redact, RecordedCall.of(spoken(["Hello ", "there"])))
    assert {verdict.WhichOneof("decision") for verdict in decided.verdicts} == {"pass"}


def test_the_judge_refuses_what_it_does_not_like(example: Example) -> None:
    judge = example("ask_a_judge").AskAJudge
    events = response(
        text_block(0, "I will."), tool_call_block(1, ToolCall("ls"), "{}"), tool_call_block(2, ToolCall("rm"), "{}")
    )

    def answers(consult: object) -> str:
        return '{"allow": %s, "why": "it deletes"}' % ("false" if '\\"rm\\"' in str(consult) else "true")

    for at_once in (True, False):
        decided = run(judge, RecordedCall.of(events), answer=answers, at_once=at_once)
        assert decided.tool_calls == [("ls", "{}")]
        assert decided.text == "I will.The call of rm was refused: it deletes"


def said(text: str, _: object) -> str:
    return text


def test_the_judge_refuses_what_it_could_not_ask_about(example: Example) -> None:
    judge = example("ask_a_judge").AskAJudge
    call = RecordedCall.of(response(tool_call_block(0, ToolCall("ls"), "{}")))
    assert run(judge, call).tool_calls == []
    for answer in ("", "{}", "yes", '{"allow": "true", "why": "x"}', '{"allow": true, "why": "x", "more": 1}', "[1]"):
        assert run(judge, call, answer=partial(said, answer)).tool_calls == [], answer
