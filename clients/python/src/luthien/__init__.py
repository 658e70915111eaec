"""Policies for luthien, a gateway for AI control, and a client of its verdict protocol.

- A `Policy` judges a call while it runs; `serve` makes a policy service of it.
- `run` runs it over a `RecordedCall` in process, for tests.
- A `Gate` asks a policy service for verdicts, for a proxy of your own.
"""

from ._intake import Fault
from ._voice import HookError
from ._window import ServiceFault
from .enums import (
    Credentials,
    Dialect,
    FailureMode,
    FinishReason,
    Kind,
    Level,
    Outcome,
    Severity,
    ToolForm,
)
from .events import Event, ToolCall, response, text_block, tool_call_block
from .gate import Answered, Gate, Rejected, ServiceLost, connect
from .harness import Decided, run
from .output import ConsultedOutput, HookOutput, RequestOutput, SummaryOutput
from .policy import (
    Annotation,
    Call,
    Consulted,
    ConsultId,
    Held,
    Interest,
    Policy,
    Question,
    Seen,
    SeenBlock,
    message,
    text_content,
)
from .recorded import RecordedCall, Unreadable, read_export
from .server import EndedCall, Server, serve
from .v1.call_pb2 import Content, Message, Request, Tool

__all__ = [
    "Annotation",
    "Answered",
    "Call",
    "ConsultId",
    "Consulted",
    "ConsultedOutput",
    "Content",
    "Credentials",
    "Decided",
    "Dialect",
    "EndedCall",
    "Event",
    "FailureMode",
    "Fault",
    "FinishReason",
    "Gate",
    "Held",
    "HookError",
    "HookOutput",
    "Interest",
    "Kind",
    "Level",
    "Message",
    "Outcome",
    "Policy",
    "Question",
    "RecordedCall",
    "Rejected",
    "Request",
    "RequestOutput",
    "Seen",
    "SeenBlock",
    "Server",
    "ServiceFault",
    "ServiceLost",
    "Severity",
    "SummaryOutput",
    "Tool",
    "ToolCall",
    "ToolForm",
    "Unreadable",
    "connect",
    "message",
    "read_export",
    "response",
    "run",
    "serve",
    "text_block",
    "text_content",
    "tool_call_block",
]
