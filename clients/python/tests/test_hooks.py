"""Which hooks run, and what becomes of what they say."""

from __future__ import annotations

import uuid

import pytest
from conversation import admission, begin, chunks, consultation, ended, said, started
from luthien import (
    Call,
    Consulted,
    ConsultId,
    Event,
    FailureMode,
    Fault,
    Held,
    Interest,
    Level,
    Outcome,
    Policy,
    Question,
    RecordedCall,
    Seen,
    Severity,
    ToolCall,
    message,
    response,
    run,
    text_block,
    tool_call_block,
)
from luthien._voice import Random
from luthien.events import (
    BlockStarted,
    Ended,
    Failed,
    Finished,
    Started,
    Text,
    TextDelta,
)
from luthien.output import ConsultedOutput, HookOutput, RequestOutput, SummaryOutput

HELLO = response(text_block(0, "Hello"))
TOOLS = response(text_block(0, "Let me see."), tool_call_block(1, ToolCall("ls", "c1"), '{"path":"/"}'))


class Log(Policy):
    """Writes down which hooks run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def begin(self, call: Call) -> None:
        self.ran.append("begin")

    def on_request(self, call: Call, out: RequestOutput) -> None:
        self.ran.append("request")

    def on_response_started(self, seen: Seen, out: HookOutput) -> None:
        self.ran.append("started")

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        self.ran.append(f"text {seen.text}")

    def on_content_completed(self, text: str, seen: Seen, out: HookOutput) -> None:
        self.ran.append(f"all text {text}{'' if seen.stopped else ' cut'}")

    def on_tool_call_chunk(self, seen: Seen, out: HookOutput) -> None:
        self.ran.append(f"tool {seen.tool}")

    def on_tool_call_completed(self, arguments: str, seen: Seen, out: HookOutput) -> None:
        self.ran.append(f"all tool {seen.tool}{arguments}{'' if seen.stopped else ' cut'}")

    def on_finished(self, seen: Seen, out: HookOutput) -> None:
        self.ran.append("finished")

    def on_failed(self, seen: Seen, out: HookOutput) -> None:
        self.ran.append("failed")

    def on_response_completed(self, outcome: Outcome, out: SummaryOutput) -> None:
        self.ran.append(outcome.name)


def logged(events: list[Event], interest: Interest | None = None) -> list[str]:
    log = Log()
    if interest is not None:
        log.interest = interest
    run(lambda: log, RecordedCall.of(events))
    return log.ran


def test_each_event_has_its_hook() -> None:
    assert logged(TOOLS) == [
        "begin", "request", "started", "text ", "text Let me see.", "all text Let me see.", "tool ls", "tool ls",
        'all tool ls{"path":"/"}', "finished", "DELIVERED",
    ]  # fmt: skip


def test_of_what_is_recorded_only_the_hooks_that_see_it_whole_run() -> None:
    # What belongs to no block is observed, and may come before a block that is told whole.
    assert [it for it in logged(TOOLS, Interest.all(Level.RECORD)) if "t" in it and "al" in it] == [
        "all text Let me see.",
        'all tool ls{"path":"/"}',
    ]


def test_a_block_that_is_cut_off_runs_the_hook_of_its_stop() -> None:
    events = [Event(Started()), Event(BlockStarted(0, Text())), Event(TextDelta(0, "Hel")), Event(Failed("gone"))]
    assert logged(events) == ["begin", "request", "started", "text ", "text Hel", "all text Hel cut", "failed", "DELIVERED"]


class HoldTools(Policy):
    """Holds tool calls, and lets them go when they are whole."""

    interest = Interest.only(tool_call=Level.GATE)

    def __init__(self) -> None:
        self.held: list[Held] = []

    def on_tool_call_chunk(self, seen: Seen, out: HookOutput) -> None:
        self.held.append(out.hold())

    def on_tool_call_completed(self, arguments: str, seen: Seen, out: HookOutput) -> None:
        for held in self.held:
            out.pass_held(held)


def test_what_is_held_is_decided_later_and_what_comes_behind_it_waits() -> None:
    session = begin(HoldTools)
    forward = admission(session).forward
    assert (forward.interest.text, forward.interest.tool_call) == (1, 3)
    assert said(session.handle(chunks(1, TOOLS[:1]))) == ["pass 1"]
    # The text is told by Block, when the service knows that it was only recorded: here it comes all the same.
    assert said(session.handle(chunks(2, TOOLS[1:4]))) == ["working"]
    assert said(session.handle(chunks(5, TOOLS[4:6]))) == ["working"]
    assert said(session.handle(chunks(7, TOOLS[6:7]))) == ["pass 7"]
    assert said(session.handle(chunks(8, TOOLS[7:]))) == ["pass 9"]
    assert session.handle(ended()) == []
    assert session.has_ended


class Shout(Policy):
    """Puts other text in place of text, and a word behind it."""

    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        match seen.step:
            case TextDelta(block, text):
                out.replace([Event(TextDelta(block, text.upper()))])

    def on_content_completed(self, text: str, seen: Seen, out: HookOutput) -> None:
        out.inject(out.text(f"{len(text)} letters"))


def test_chunks_are_replaced_and_events_injected() -> None:
    for one_by_one in (True, False):
        decided = run(Shout, RecordedCall.of(HELLO), one_by_one=one_by_one)
        assert decided.text == "HELLO5 letters"
        assert decided.events[-1] == Event(Ended())
    kinds = [verdict.WhichOneof("decision") for verdict in decided.verdicts]
    assert kinds == ["pass", "replace", "replace", "pass"]


class EndAtTools(Policy):
    interest = Interest.only(text=Level.GATE, tool_call=Level.GATE)

    def on_tool_call_chunk(self, seen: Seen, out: HookOutput) -> None:
        out.end(out.text("No tools."), cancel_upstream=True)


def test_a_response_that_is_ended_is_finished_properly() -> None:
    decided = run(EndAtTools, RecordedCall.of(TOOLS))
    assert decided.text == "Let me see.No tools."
    assert decided.tool_calls == []
    assert [event.step for event in decided.events[-2:]] == [Finished(), Ended()]
    assert decided.verdicts[-1].cancel_upstream


class Raises(Policy):
    name = "broken"
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text:
            raise ZeroDivisionError("oh")
        out.hold()


class RaisesOpen(Raises):
    failure_mode = FailureMode.OPEN


def test_a_hook_that_raises_ends_its_call_closed() -> None:
    decided = run(Raises, RecordedCall.of(HELLO))
    assert decided.failure == Failed("policy broken failed", 500)
    assert decided.text == "" and decided.has_failed
    assert decided.annotations[0].details == {"doing": "on_content_chunk", "error": "ZeroDivisionError: oh"}


def test_a_hook_of_an_open_policy_that_raises_lets_everything_pass() -> None:
    decided = run(RaisesOpen, RecordedCall.of(HELLO))
    assert decided.events == HELLO and decided.has_failed


class Exits(Raises):
    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        raise SystemExit(0)


class Swallows(Policy):
    """Decides about what it does not gate, and will not hear of it."""

    interest = Interest.only(text=Level.OBSERVE, tool_call=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        try:
            out.drop()
        except Exception:
            pass


class HoldsForEver(Policy):
    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        out.hold()


class KeepsItsOutput(Policy):
    def on_response_started(self, seen: Seen, out: HookOutput) -> None:
        self.out = out

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        self.out.drop()


@pytest.mark.parametrize("policy", [Exits, Swallows, HoldsForEver, KeepsItsOutput])
def test_a_policy_that_does_what_it_may_not_fails(policy: type[Policy]) -> None:
    decided = run(policy, RecordedCall.of(HELLO))
    assert decided.failure is not None and decided.failure.status == 500
    assert decided.has_failed


class RaisesAtTheRequest(Policy):
    def on_request(self, call: Call, out: RequestOutput) -> None:
        raise ValueError("oh")


def test_a_policy_that_fails_at_the_request_has_the_call_refused() -> None:
    decided = run(RaisesAtTheRequest, RecordedCall.of(HELLO))
    assert decided.reject is not None and decided.reject.status == 500


class EditsAndRefuses(Policy):
    interest = Interest.all(Level.RECORD)

    def on_request(self, call: Call, out: RequestOutput) -> None:
        if call.request.messages[0].content[0].text.text == "forbidden":
            out.reject("not here", status=451)
        out.insert_message(0, message("user", "first"))
        out.replace_message(0, message("user", "instead"))
        out.insert_message(1, message("user", "last"))
        out.set_field("metadata", {"a": 1})


def test_requests_are_edited_and_refused() -> None:
    decided = run(EditsAndRefuses, RecordedCall.of(HELLO))
    assert [it.content[0].text.text for it in decided.request.messages] == ["first", "instead", "last"]
    assert decided.request.extras_json == '{"metadata": {"a": 1}}'
    asked = RecordedCall.of([]).started.request
    asked.messages[0].content[0].text.text = "forbidden"
    reject = run(EditsAndRefuses, RecordedCall.of([], request=asked)).reject
    assert reject is not None and (reject.status, reject.message) == (451, "not here")


class Answers(Policy):
    def on_request(self, call: Call, out: RequestOutput) -> None:
        out.answer(out.text("I am closed."))


def test_calls_are_answered() -> None:
    decided = run(Answers, RecordedCall.of(HELLO))
    assert decided.is_answered and decided.text == "I am closed."
    assert [event.step for event in decided.events[-2:]] == [Finished(), Ended()]
    session = begin(Answers, capabilities=["answer"])
    assert admission(session).WhichOneof("decision") == "answer"
    with pytest.raises(Fault, match="not forwarded"):
        session.handle(chunks(1, HELLO))
    assert admission(begin(Answers, capabilities=["resume"])).reject.status == 500


@pytest.mark.parametrize(
    "events", [[Event(Failed("x"))], [Event(Ended()), Event(Ended())], [Event(TextDelta(0, "x"))], tool_call_block(0, ToolCall("x"), "")[:1]]
)
def test_an_answer_that_is_none_is_a_failure(events: list[Event]) -> None:
    class AnswersSo(Policy):
        def on_request(self, call: Call, out: RequestOutput) -> None:
            out.answer(events)

    decided = run(AnswersSo, RecordedCall.of(HELLO))
    assert decided.has_failed and decided.reject is not None and decided.reject.status == 500


def test_a_proxy_that_can_not_edit_is_told_to_refuse() -> None:
    assert admission(begin(EditsAndRefuses, capabilities=["resume"])).reject.status == 500


class Asks(Policy):
    """Holds text until a model has said what to put there."""

    name = "asks"
    interest = Interest.only(text=Level.GATE)

    def __init__(self) -> None:
        self.asked: dict[ConsultId, tuple[Held, int]] = {}

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        match seen.step:
            case TextDelta(block, text):
                self.asked[out.consult(Question.ask("judge", text))] = (out.hold(), block)

    def on_consulted(self, consulted: Consulted, out: ConsultedOutput) -> None:
        held, block = self.asked.pop(consulted.id)
        out.replace_held(held, [Event(TextDelta(block, consulted.text or "nobody answered"))])


def test_what_a_model_answers_comes_to_its_hook() -> None:
    assert run(Asks, RecordedCall.of(HELLO), answer=lambda _: "Bonjour").text == "Bonjour"
    decided = run(Asks, RecordedCall.of(HELLO))
    assert (decided.text, decided.unanswered) == ("nobody answered", 1)


def test_questions_are_said_first_and_answers_wait_for_nothing() -> None:
    session = begin(Asks)
    admission(session)
    assert said(session.handle(chunks(1, HELLO))) == ["consult asks/1", "pass 2"]
    answer = response(text_block(0, "Hi"))
    assert said(session.handle(consultation("asks/1", answer))) == ["replace 3 Hi", "pass 6"]


def test_a_proxy_that_can_not_ask_is_not_asked() -> None:
    session = begin(Asks, capabilities=["resume"])
    admission(session)
    assert said(session.handle(chunks(1, HELLO))) == ["pass 2", "replace 2 failed"]


class Lowers(Policy):
    interest = Interest.only(text=Level.GATE)

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        if seen.text:
            out.drop()
            out.lower_interest(Interest.all(Level.RECORD))


def test_interest_falls() -> None:
    session = begin(Lowers)
    admission(session)
    events = response(text_block(0, "a"), text_block(1, "b"))
    answered = session.handle(chunks(1, events[:3]))
    assert said(answered) == ["interest", "pass 2", "replace 3"]
    assert int(answered[0].interest.text) == Level.RECORD
    assert said(session.handle(chunks(4, events[3:]))) == [f"pass {len(events)}"]


class Observes(Policy):
    interest = Interest.only(text=Level.OBSERVE)

    def on_request(self, call: Call, out: RequestOutput) -> None:
        out.annotate(Severity.INFO, "asked")

    def on_content_completed(self, text: str, seen: Seen, out: HookOutput) -> None:
        out.annotate(Severity.WARNING, text, {"length": len(text)})

    def on_response_completed(self, outcome: Outcome, out: SummaryOutput) -> None:
        out.annotate(Severity.DEBUG, "over")


def test_notes_about_what_is_only_observed_are_told_all_the_same() -> None:
    session = begin(Observes)
    admission(session)
    (answer,) = session.handle(chunks(1, HELLO))
    assert said([answer]) == ["pass 6"]
    assert [(note.seq, note.summary, note.details_json) for note in answer.verdict.annotations] == [
        (0, "asked", ""),
        (4, "Hello", '{"length": 5}'),
    ]
    session.handle(ended())
    assert [note.summary for note in session.annotations] == ["asked", "Hello", "over"]


def test_randomness_is_the_same_for_the_same_policy_in_the_same_call() -> None:
    one, again = Random(started().call_id, "p"), Random(started().call_id, "p")
    assert [one.draw() for _ in range(3)] == [again.draw() for _ in range(3)]
    assert Random(str(uuid.UUID(int=1)), "p").draw() != Random(str(uuid.UUID(int=2)), "p").draw()


def test_chunks_may_be_cut_into_messages_anywhere() -> None:
    for policy in (HoldTools, Shout, EndAtTools, Raises, HoldsForEver):
        one, all_at_once = (run(policy, RecordedCall.of(TOOLS), one_by_one=each) for each in (True, False))
        assert one.events == all_at_once.events, policy


def test_a_block_of_which_the_stop_is_held_may_still_be_cut_off() -> None:
    class HoldStop(Policy):
        def on_content_completed(self, text: str, seen: Seen, out: HookOutput) -> None:
            if seen.stopped:
                self.held = out.hold()
            else:
                out.pass_held(self.held)

    decided = run(HoldStop, RecordedCall.of(HELLO))
    assert decided.events == HELLO
