"""What happens in a response, step by step: the same for every dialect, and for responses that were not streamed.

A response is `Started`, then any of `BlockStarted`, the deltas, `BlockStopped`, `Usage`, `Finished` and `Opaque`, then `Ended` or
`Failed`. A field whose name ends with `json` is one JSON text, or empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from . import _json
from .enums import FinishReason, Kind, ToolForm

POLICY_BLOCKS = 1 << 31
"""From here on the keys of blocks belong to policies."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text for the reader."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """The model's reasoning, as far as it is shown."""

    field: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class RedactedThinking:
    """Reasoning that only its provider can read. It has no deltas."""

    data: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declines."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool."""

    name: str
    id: str = ""
    form: ToolForm = ToolForm.FUNCTION
    type: str = ""
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class OpaqueBlock:
    """A block of a type that has no place above, as it began."""

    json: str


BlockKind: TypeAlias = Text | Thinking | RedactedThinking | Refusal | ToolCall | OpaqueBlock


def kind_of(block: BlockKind) -> Kind:
    """The kind of content that a block is."""
    match block:
        case Text():
            return Kind.TEXT
        case Thinking() | RedactedThinking():
            return Kind.THINKING
        case Refusal():
            return Kind.REFUSAL
        case ToolCall():
            return Kind.TOOL_CALL
        case OpaqueBlock():
            return Kind.OPAQUE


@dataclass(frozen=True, slots=True)
class Started:
    """The model began to answer."""

    id: str = ""
    model: str = ""
    created: int | None = None


@dataclass(frozen=True, slots=True)
class BlockStarted:
    """A block began. `block` is its key in the call: the model's from 0, a policy's own from 2³¹."""

    block: int
    kind: BlockKind
    choice: int = 0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of text, thinking or a refusal."""

    block: int
    text: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """A piece of a tool call's arguments."""

    block: int
    arguments: str


@dataclass(frozen=True, slots=True)
class SignatureDelta:
    """The provider's proof of thinking, whole."""

    block: int
    signature: str


@dataclass(frozen=True, slots=True)
class OpaqueDelta:
    """A piece that fits nowhere else."""

    block: int
    json: str


@dataclass(frozen=True, slots=True)
class BlockStopped:
    """A block is complete."""

    block: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What the call has cost so far, in tokens. Later ones overwrite what they name."""

    input: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    thinking: int | None = None
    json: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A choice is complete."""

    choice: int = 0
    reason: FinishReason = FinishReason.END_TURN
    word: str = ""
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """What fits nowhere else."""

    json: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The response is complete."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The response is not complete and will not be."""

    message: str = ""
    status: int = 0
    type: str = ""
    code: str = ""
    param: str = ""


Delta: TypeAlias = TextDelta | ArgumentsDelta | SignatureDelta | OpaqueDelta
Step: TypeAlias = Started | BlockStarted | Delta | BlockStopped | Usage | Finished | Opaque | Ended | Failed


@dataclass(frozen=True, slots=True)
class Event:
    """One step, and the fields of it that have no place there, as a JSON object: unknown fields, log probabilities."""

    step: Step
    extras_json: str = ""

    @property
    def extras(self) -> dict[str, Any]:
        """Those fields, read."""
        return dict(_json.parse(self.extras_json)) if self.extras_json else {}

    @property
    def is_last(self) -> bool:
        """Whether nothing follows it."""
        return isinstance(self.step, Ended | Failed)


def text_block(block: int, text: str, choice: int = 0) -> list[Event]:
    """A block of text, whole."""
    return [Event(BlockStarted(block, Text(), choice)), Event(TextDelta(block, text)), Event(BlockStopped(block))]


def tool_call_block(block: int, call: ToolCall, arguments: str, choice: int = 0) -> list[Event]:
    """A tool call, whole."""
    pieces = [Event(ArgumentsDelta(block, arguments))] if arguments else []
    return [Event(BlockStarted(block, call, choice)), *pieces, Event(BlockStopped(block))]


def response(*blocks: list[Event], reason: FinishReason = FinishReason.END_TURN, model: str = "model") -> list[Event]:
    """A response of one choice, made of whole blocks."""
    inner = [event for block in blocks for event in block]
    return [Event(Started("response", model)), *inner, Event(Finished(0, reason)), Event(Ended())]
