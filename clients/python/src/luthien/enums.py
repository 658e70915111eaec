"""The words of the protocol. What is unset or unknown is read as the strictest."""

from __future__ import annotations

import enum


class Kind(enum.IntEnum):
    """The kinds of content."""

    TEXT = 1
    THINKING = 2
    """Also redacted thinking and signatures."""
    REFUSAL = 3
    TOOL_CALL = 4
    OPAQUE = 5
    """Blocks and pieces that fit nowhere else."""


class Level(enum.IntEnum):
    """What a policy wants of a kind; the greater is the stricter."""

    RECORD = 1
    """Released at once, told whole afterwards."""
    OBSERVE = 2
    """Released at once, every chunk told."""
    GATE = 3
    """Held until its verdict. What is not gated can't be changed."""

    @classmethod
    def _missing_(cls, value: object) -> Level:
        return cls.GATE


class FailureMode(enum.IntEnum):
    """What becomes of a call in which the policy fails."""

    CLOSED = 1
    """What is held is never released; the response ends with an error."""
    OPEN = 2
    """Everything passes."""

    @classmethod
    def _missing_(cls, value: object) -> FailureMode:
        return cls.CLOSED


class Outcome(enum.IntEnum):
    """How a call ended."""

    DELIVERED = 1
    CUT_BY_CLIENT = 2
    ENDED_BY_POLICY = 3
    FAILED = 4
    UNKNOWN = 5

    @classmethod
    def _missing_(cls, value: object) -> Outcome:
        return cls.UNKNOWN


class Severity(enum.IntEnum):
    """How grave a note is."""

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4

    @classmethod
    def _missing_(cls, value: object) -> Severity:
        return cls.ERROR


class Credentials(enum.IntEnum):
    """With whose credentials a model is asked."""

    CALLER = 1
    """Those of the client; only where the consult goes to the call's own upstream."""
    CONFIGURED = 2
    """Those that the proxy has for the upstream."""

    @classmethod
    def _missing_(cls, value: object) -> Credentials:
        return cls.CALLER


class ToolForm(enum.IntEnum):
    """How a tool is called."""

    FUNCTION = 1
    CUSTOM = 2
    LEGACY = 3
    SERVER = 4
    """The provider runs it: nothing later can stop it."""

    @classmethod
    def _missing_(cls, value: object) -> ToolForm:
        return cls.SERVER


class FinishReason(enum.IntEnum):
    """Why a choice is complete."""

    END_TURN = 1
    MAX_TOKENS = 2
    STOP_SEQUENCE = 3
    TOOL_USE = 4
    REFUSAL = 5
    CONTENT_FILTER = 6
    CONTEXT_WINDOW = 7
    PAUSE = 8
    OTHER = 9

    @classmethod
    def _missing_(cls, value: object) -> FinishReason:
        return cls.OTHER


class Dialect(enum.IntEnum):
    """A provider's wire format. What is unset or unknown is a fault."""

    OPENAI_CHAT = 1
    ANTHROPIC_MESSAGES = 2
    OPENAI_RESPONSES = 3
    GEMINI = 4
