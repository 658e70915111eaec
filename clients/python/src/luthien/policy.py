"""What a policy is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .enums import Credentials, Dialect, FailureMode, Kind, Level, Outcome, Severity
from .events import BlockStarted, Event, Failed, Step, Text, TextDelta, ToolCall
from .v1.call_pb2 import Content, Message, OutputFormat, Request, Sampling, TextContent

if TYPE_CHECKING:
    from .output import ConsultedOutput, HookOutput, RequestOutput, SummaryOutput


@dataclass(frozen=True, slots=True)
class Interest:
    """What a policy wants of each kind of content. What is not named is gated."""

    text: Level = Level.GATE
    thinking: Level = Level.GATE
    refusal: Level = Level.GATE
    tool_call: Level = Level.GATE
    opaque: Level = Level.GATE

    @classmethod
    def all(cls, level: Level) -> Interest:
        """The same of every kind."""
        return cls(level, level, level, level, level)

    @classmethod
    def only(
        cls,
        *,
        text: Level = Level.RECORD,
        thinking: Level = Level.RECORD,
        refusal: Level = Level.RECORD,
        tool_call: Level = Level.RECORD,
        opaque: Level = Level.RECORD,
    ) -> Interest:
        """Only what is named; of any other kind no more than to be told afterwards."""
        return cls(text, thinking, refusal, tool_call, opaque)

    def of(self, kind: Kind) -> Level:
        """What it wants of that kind."""
        return self._levels[kind - 1]

    def meet(self, other: Interest) -> Interest:
        """The laxer of both, kind by kind."""
        return Interest(*map(min, zip(self._levels, other._levels, strict=True)))

    @property
    def strictest(self) -> Level:
        """What it wants of the kind that it wants most of."""
        return max(self._levels)

    @property
    def gates(self) -> bool:
        """Whether anything is gated."""
        return self.strictest is Level.GATE

    @property
    def _levels(self) -> tuple[Level, Level, Level, Level, Level]:
        return (self.text, self.thinking, self.refusal, self.tool_call, self.opaque)


@dataclass(frozen=True, slots=True)
class Call:
    """A call, as the proxy told of it."""

    call_id: str
    request: Request
    """What the client asked for. A policy must not change it: it edits by the output of `on_request`."""
    dialect: Dialect = Dialect.OPENAI_CHAT
    upstream_dialect: Dialect = Dialect.OPENAI_CHAT
    upstream: str = ""
    route: str = ""
    upstream_model: str = ""
    client: str = ""
    session: str = ""
    started_at_us: int = 0
    """Microseconds since 1970, by the proxy's clock."""
    headers: tuple[tuple[str, str], ...] = ()
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SeenBlock:
    """The block that an event belongs to."""

    key: int
    choice: int
    kind: Kind
    tool: ToolCall | None = None
    """The head of the tool call, if it is one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a hook is shown."""

    seq: int
    """The chunk."""
    arrived_us: int
    """When it arrived: microseconds since the call began. The only time that a policy may go by."""
    event: Event
    block: SeenBlock | None = None
    stopped: bool = True
    """Whether the event really came. False only for the stop of a block that was cut off, because the response is over."""

    @property
    def step(self) -> Step:
        """What happened."""
        return self.event.step

    @property
    def text(self) -> str:
        """The piece of text, of a `TextDelta`; empty for any other step."""
        return self.step.text if isinstance(self.step, TextDelta) else ""

    @property
    def tool(self) -> str:
        """The name of the tool, in a tool call; empty elsewhere."""
        return self.block.tool.name if self.block is not None and self.block.tool is not None else ""


@dataclass(frozen=True, slots=True)
class Held:
    """A chunk that a policy holds: what is needed to decide about it later."""

    number: int


@dataclass(frozen=True, slots=True)
class ConsultId:
    """A consult of a policy, within one call."""

    number: int


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked, beside the call."""

    request: Request
    upstream: str = ""
    """The upstream to ask, by its name in the proxy's configuration; empty: where the proxy's routes lead the model."""
    credentials: Credentials = Credentials.CONFIGURED
    deadline: float | None = None
    """How many seconds the answer may take; None: as many as the proxy lets it."""
    reuse: bool = False
    """Whether the answer to an equal question of the same session will do."""

    @classmethod
    def ask(
        cls,
        model: str,
        text: str,
        *,
        system: str = "",
        max_tokens: int | None = None,
        json: bool = False,
        upstream: str = "",
        credentials: Credentials = Credentials.CONFIGURED,
        deadline: float | None = None,
        reuse: bool = False,
    ) -> Question:
        """A question of one message."""
        request = Request(
            model=model,
            choices=1,
            system=[text_content(system)] if system else [],
            messages=[message("user", text)],
            sampling=None if max_tokens is None else Sampling(max_output_tokens=max_tokens),
        )
        if json:
            request.output.CopyFrom(OutputFormat())
            request.output.json_object.SetInParent()
        return cls(request, upstream, credentials, deadline, reuse)


@dataclass(frozen=True, slots=True)
class Consulted:
    """The answer to a consult."""

    id: ConsultId
    events: Sequence[Event]
    """What the model said, as of any response; the last one is `Ended` or `Failed`."""

    @property
    def failure(self) -> Failed | None:
        """How it failed, if it did."""
        last = self.events[-1].step if self.events else Failed("there is no answer")
        return last if isinstance(last, Failed) else None

    @property
    def text(self) -> str:
        """All text of the first choice. Of a consult that failed: what came of it."""
        texts: set[int] = set()
        whole = []
        for event in self.events:
            match event.step:
                case BlockStarted(block, Text(), 0):
                    texts.add(block)
                case TextDelta(block, text) if block in texts:
                    whole.append(text)
                case _:
                    pass
        return "".join(whole)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A note of a policy."""

    policy: str
    severity: Severity
    summary: str
    """For people."""
    details: dict[str, object] | None = field(default=None, hash=False)
    """For programs."""
    seq: int = 0
    """The chunk that it is about; 0: the call."""


class Policy:
    """A policy in one call: an instance is made for each call, and whatever it knows of the call is in its attributes.

    Hooks are synchronous, quick and **pure**: what they do depends on nothing but what they are shown. No clock
    (`Seen.arrived_us` is the time), no randomness (`out.random()`), no network (`out.consult`), nothing that calls share and
    that changes. When the service of a call is lost, the call goes on with another one, which runs all hooks over it again:
    what they decide has to come out the same.

    They speak through their output; saying nothing passes the chunk. A hook that raises ends its own call as `failure_mode`
    says, and no other.

    Of a kind that is gated or observed, the `*_chunk` hooks run for each chunk (a block's start, its pieces, its stop; for
    text and tool calls the stop runs the `*_completed` hook instead). Of a kind that is only recorded, the `*_completed`
    hooks alone run. A block that is cut off because the response is over runs the hook of its stop too, with
    `Seen.stopped` false, before the last chunk does; and so, once more, does a block of which the stop is still held then.
    """

    name: str = ""
    """What notes and consults call it. Empty: the name of the class."""
    interest: Interest = Interest()
    """What it wants of each kind of content; by default all is gated. `begin` may set another for its call."""
    failure_mode: FailureMode = FailureMode.CLOSED
    """What becomes of a call in which it fails, or of which its server is lost."""
    hold_seconds: float | None = None
    """How long a chunk may be held; None: as long as the proxy lets it. The smaller counts."""

    def begin(self, call: Call) -> None:
        """A call begins."""

    def on_request(self, call: Call, out: RequestOutput) -> None:
        """The request, before anything is sent upstream."""

    def on_response_started(self, seen: Seen, out: HookOutput) -> None:
        """The model began to answer."""

    def on_chunk_started(self, seen: Seen, out: HookOutput) -> None:
        """Any chunk, before the hook of its kind. What that one says stands."""

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        """The start or a piece of a text block."""

    def on_content_completed(self, text: str, seen: Seen, out: HookOutput) -> None:
        """The stop of a text block, and all of its text."""

    def on_thinking_chunk(self, seen: Seen, out: HookOutput) -> None:
        """The start, a piece or the stop of a thinking block, redacted or not."""

    def on_refusal_chunk(self, seen: Seen, out: HookOutput) -> None:
        """The start, a piece or the stop of a refusal."""

    def on_tool_call_chunk(self, seen: Seen, out: HookOutput) -> None:
        """The start or a piece of a tool call."""

    def on_tool_call_completed(self, arguments: str, seen: Seen, out: HookOutput) -> None:
        """The stop of a tool call, and its arguments as the model wrote them: not checked, JSON or not."""

    def on_opaque_chunk(self, seen: Seen, out: HookOutput) -> None:
        """The start, a piece or the stop of an opaque block; an opaque piece of any block; an opaque step."""

    def on_usage(self, seen: Seen, out: HookOutput) -> None:
        """Tokens so far."""

    def on_finished(self, seen: Seen, out: HookOutput) -> None:
        """A choice is complete."""

    def on_failed(self, seen: Seen, out: HookOutput) -> None:
        """The response failed."""

    def on_consulted(self, consulted: Consulted, out: ConsultedOutput) -> None:
        """A model answered. Not once the response is over by the policy's word, nor for what was cancelled."""

    def on_response_completed(self, outcome: Outcome, out: SummaryOutput) -> None:
        """The call is over. Always, and once, whatever happened."""


def message(role: str, text: str) -> Message:
    """A message of a request that is one text."""
    return Message(role=role, content=[text_content(text)])


def text_content(text: str) -> Content:
    """A text, as a part of a message or of the system's instructions."""
    return Content(text=TextContent(text=text))
