"""The grammar of a response as the client sees it: what has been released, and so what may be released next."""

from __future__ import annotations

from collections.abc import Sequence

from .enums import FinishReason, ToolForm
from .events import (
    ArgumentsDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Ended,
    Event,
    Failed,
    Finished,
    OpaqueBlock,
    OpaqueDelta,
    RedactedThinking,
    SignatureDelta,
    Started,
    TextDelta,
    Thinking,
    ToolCall,
)


class Ungrammatical(Exception):
    """An event that can't stand where it is."""


class Turn:
    """What has been released of a response."""

    def __init__(self) -> None:
        self.is_over = False
        self.has_failed = False
        self._started = False
        self._open: dict[int, BlockStarted] = {}
        self._stopped: set[int] = set()
        self._finished: dict[int, bool] = {}
        """The choices, and whether each is complete."""
        self._calling: set[int] = set()
        """The choices in which the client is to run a tool."""

    def put(self, event: Event) -> list[Event]:
        """Takes an event, and gives back what is to be released for it: the stops that have to stand before it, and it.

        Raises:
            Ungrammatical: It can't stand here.
        """
        if self.is_over:
            raise Ungrammatical("the response is over")
        before: list[Event] = []
        match event.step:
            case Started():
                if self._started:
                    raise Ungrammatical("the response has started already")
                self._started = True
            case BlockStarted(block, kind, choice):
                self._may_start(block, choice)
                before = [] if isinstance(kind, ToolCall) else self._stop_all(choice)
                self._open[block] = event.step
                if isinstance(kind, ToolCall) and kind.form is not ToolForm.SERVER:
                    self._calling.add(choice)
            case TextDelta(block) | ArgumentsDelta(block) | SignatureDelta(block) | OpaqueDelta(block):
                if block not in self._open or not _takes(self._open[block].kind, event):
                    raise Ungrammatical(f"block {block} is not open for that")
            case BlockStopped(block):
                if block in self._stopped:
                    return []  # it had to stop before another could start
                if self._open.pop(block, None) is None:
                    raise Ungrammatical(f"block {block} is not open")
                self._stopped.add(block)
            case Finished(choice, reason):
                if self._finished.get(choice):
                    raise Ungrammatical(f"choice {choice} is finished")
                before = self._stop_all(choice)
                self._must_have_stopped(choice)
                self._finished[choice] = True
                if reason is FinishReason.TOOL_USE and choice not in self._calling:
                    event = Event(Finished(choice, FinishReason.END_TURN), event.extras_json)
            case Ended():
                before = self._finish_all(None)
                self.is_over = True
            case Failed():
                self.is_over = self.has_failed = True
            case _:
                pass
        return [*before, event]

    def finish(self, reason: FinishReason | None) -> list[Event]:
        """Finishes the response properly.

        Raises:
            Ungrammatical: A tool call has begun and not stopped: nobody but its maker completes it.
        """
        before = [] if self._started else self.put(Event(Started()))
        end = [*self._finish_all(reason), Event(Ended())]
        self.is_over = True
        return before + end

    def _may_start(self, block: int, choice: int) -> None:
        if block in self._open or block in self._stopped:
            raise Ungrammatical(f"block {block} has been started already")
        if self._finished.setdefault(choice, False):
            raise Ungrammatical(f"choice {choice} is finished")

    def _stop_all(self, choice: int) -> list[Event]:
        """Stops the open blocks of a choice. Tool calls are not among them."""
        keys = [key for key, it in self._open.items() if it.choice == choice and not isinstance(it.kind, ToolCall)]
        for key in keys:
            del self._open[key]
            self._stopped.add(key)
        return [Event(BlockStopped(key)) for key in keys]

    def _must_have_stopped(self, choice: int) -> None:
        if any(it.choice == choice for it in self._open.values()):
            raise Ungrammatical(f"a tool call of choice {choice} has not stopped")

    def _finish_all(self, reason: FinishReason | None) -> list[Event]:
        made: list[Event] = []
        for choice in sorted(choice for choice, is_done in self._finished.items() if not is_done) or (
            [] if self._finished else [0]
        ):
            fitting = FinishReason.TOOL_USE if choice in self._calling else FinishReason.END_TURN
            made += self._stop_all(choice)
            self._must_have_stopped(choice)
            self._finished[choice] = True
            made.append(Event(Finished(choice, reason or fitting)))
        return made


def answered(events: Sequence[Event]) -> list[Event]:
    """A response that a policy made, complete: with what may be left out of it.

    Raises:
        Ungrammatical: It is none.
    """
    turn = Turn()
    starts = [Event(Started())] if not events or not isinstance(events[0].step, Started) else []
    ends = [] if any(event.is_last for event in events) else [Event(Ended())]
    whole = [each for event in [*starts, *events, *ends] for each in turn.put(event)]
    if turn.has_failed:
        raise Ungrammatical("an answer does not fail: a call is refused with an error")
    return whole


def _takes(kind: BlockKind, event: Event) -> bool:
    match event.step:
        case TextDelta():
            return not isinstance(kind, ToolCall | OpaqueBlock | RedactedThinking)
        case ArgumentsDelta():
            return isinstance(kind, ToolCall)
        case SignatureDelta():
            return isinstance(kind, Thinking)
        case _:
            return True
