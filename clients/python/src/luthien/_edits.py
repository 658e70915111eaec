"""What policies change in a request."""

from __future__ import annotations

import json
from collections.abc import Iterable

from . import _json
from .v1 import call_pb2, policy_pb2

# The top-level fields, of whatever dialect, that the request model names as a whole.
_NAMED = frozenset(
    "contents frequency_penalty functions generationConfig input instructions logprobs max_completion_tokens "
    "max_output_tokens max_tokens messages model n parallel_tool_calls presence_penalty prompt_cache_key reasoning_effort "
    "response_format safety_identifier seed service_tier stop stop_sequences store stream system systemInstruction "
    "temperature toolConfig tool_choice tools top_k top_logprobs top_p".split()
)


def applied(request: call_pb2.Request, edits: Iterable[policy_pb2.Edit]) -> call_pb2.Request:
    """The request as the edits make it. Positions count its messages as they are: edits do not move each other.

    Raises:
        ValueError: One of them can't be made.
    """
    edited = call_pb2.Request()
    edited.CopyFrom(request)
    put: dict[int, call_pb2.Message | None] = {}
    inserted: dict[int, list[call_pb2.Message]] = {}
    for edit in edits:
        match edit.WhichOneof("edit"):
            case "replace_message":
                _once(put, edit.replace_message.position, edit.replace_message.message, len(request.messages))
            case "drop_message":
                _once(put, edit.drop_message, None, len(request.messages))
            case "insert_message":
                at = edit.insert_message.position
                if at > len(request.messages):
                    raise ValueError(f"message {at} of {len(request.messages)} is edited")
                inserted.setdefault(at, []).append(edit.insert_message.message)
            case "system":
                del edited.system[:]
                edited.system.extend(edit.system.content)
            case "tools":
                del edited.tools[:]
                edited.tools.extend(edit.tools.tools)
            case "sampling":
                edited.sampling.CopyFrom(edit.sampling)
            case "field":
                _set(edited, edit.field)
            case _:
                raise ValueError("an edit edits nothing")
    del edited.messages[:]
    for at, message in enumerate(request.messages):
        edited.messages.extend(inserted.get(at, []))
        instead = put.get(at, message)
        edited.messages.extend([] if instead is None else [instead])
    edited.messages.extend(inserted.get(len(request.messages), []))
    return edited


def _once(put: dict[int, call_pb2.Message | None], at: int, message: call_pb2.Message | None, count: int) -> None:
    if at >= count:
        raise ValueError(f"message {at} of {count} is edited")
    if at in put:
        raise ValueError(f"message {at} is edited twice")
    put[at] = message


def _set(request: call_pb2.Request, field: policy_pb2.Field) -> None:
    if field.name in _NAMED:
        raise ValueError(f"the field {field.name!r} is edited past the request model")
    extras = _json.parse(request.extras_json) if request.extras_json else {}
    if field.json:
        extras[field.name] = _json.parse(field.json)
    else:
        extras.pop(field.name, None)
    request.extras_json = json.dumps(extras) if extras else ""
