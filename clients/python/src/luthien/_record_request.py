"""The request of a call, from the form in which it is on record."""

from __future__ import annotations

import json as _json
from typing import Any

from ._fields import Fields, Unreadable
from .enums import ToolForm
from .v1 import call_pb2 as pb


def read(model: str, request: Fields) -> pb.Request:
    """Reads it.

    Raises:
        Unreadable: It is something else.
    """
    made = pb.Request(
        model=model,
        stream=request.flag("stream") or False,
        choices=max(1, request.count("choices") or 0),
        system=[_content(each) for each in request.items("system")],
        messages=[_message(each) for each in request.items("messages")],
        tools=[_tool(each) for each in request.items("tools")],
        parallel_tool_calls=request.flag("parallel_tool_calls"),
        extras_json=request.object_json("extras"),
    )
    if "tool_choice" in request:
        made.tool_choice.CopyFrom(_tool_choice(request.json["tool_choice"]))
    if "sampling" in request:
        made.sampling.CopyFrom(_sampling(request.fields("sampling")))
    if "reasoning" in request:
        made.reasoning.CopyFrom(_reasoning(request.fields("reasoning")))
    if "output" in request:
        made.output.CopyFrom(_output(request.json["output"]))
    if "service" in request:
        made.service.CopyFrom(_service(request.fields("service")))
    return made


def _message(json: Any) -> pb.Message:
    message = Fields("message", json)
    content = [_content(each) for each in message.items("content")]
    return pb.Message(role=message.text("role"), content=content, extras_json=message.object_json("extras"))


def _content(json: Any) -> pb.Content:
    content = Fields("content", json)
    made = pb.Content(extras_json=content.object_json("extras"))
    if "text" in content:
        made.text.text = content.text("text")
        made.text.SetInParent()
    elif "thinking" in content:
        made.thinking.text = content.text("thinking")
        made.thinking.signature = content.text("signature")
        made.thinking.id = content.text("id")
        made.thinking.SetInParent()
    elif "redacted_thinking" in content:
        made.redacted_thinking.data = content.text("redacted_thinking")
        made.redacted_thinking.SetInParent()
    elif "refusal" in content:
        made.refusal.text = content.text("refusal")
        made.refusal.SetInParent()
    elif "tool_call" in content:
        call = content.fields("tool_call")
        made.tool_call.call.CopyFrom(
            pb.ToolCall(
                id=call.text("id"), name=call.text("name"), namespace=call.text("namespace"), form=tool_form(call)
            )
        )
        made.tool_call.arguments = call.text("arguments")
    elif "tool_result" in content:
        result = content.fields("tool_result")
        parts = [_content(each) for each in result.items("content")]
        made.tool_result.CopyFrom(
            pb.ToolResult(id=result.text("id"), is_error=result.flag("is_error"), content=parts)
        )
    elif "image" in content:
        image = content.fields("image")
        made.image.CopyFrom(pb.Image(source=_source(image), detail=image.text("detail")))
    elif "document" in content:
        document = content.fields("document")
        made.document.CopyFrom(pb.Document(source=_source(document), title=document.text("title")))
    elif "audio" in content:
        audio = content.fields("audio")
        made.audio.CopyFrom(pb.Audio(data=audio.text("data"), format=audio.text("format")))
    elif "opaque" in content:
        made.opaque.json = _json.dumps(content.json["opaque"])
    else:
        raise Unreadable(content.what)
    return made


def tool_form(call: Fields) -> str:
    """How a tool is called, as it is on record."""
    try:
        return pb.ToolForm.Name(ToolForm[call.text("form").upper()])
    except KeyError:
        raise call.wrong("form") from None


def _source(media: Fields) -> pb.Source:
    if "inline" in media:
        inline = media.fields("inline")
        return pb.Source(inline=pb.InlineSource(media_type=inline.text("media_type"), data=inline.text("data")))
    if "url" in media:
        return pb.Source(url=media.text("url"))
    if "file_id" in media:
        return pb.Source(file_id=media.text("file_id"))
    return pb.Source(text=media.text("text"))


def _tool(json: Any) -> pb.Tool:
    tool = Fields("tool", json)
    made = pb.Tool(
        name=tool.text("name"),
        namespace=tool.text("namespace"),
        description=tool.text("description"),
        extras_json=tool.object_json("extras"),
    )
    if "hosted" in tool:
        made.hosted_json = _json.dumps(tool.json["hosted"])
    elif "custom" in tool:
        made.custom.CopyFrom(pb.CustomTool(format_json=_text_of(tool.fields("custom").json.get("format"))))
    else:
        schema = tool.json.get("function") or {}
        made.function.CopyFrom(pb.FunctionTool(schema_json=_text_of(schema.get("schema")), strict=tool.flag("strict")))
    return made


def _tool_choice(json: Any) -> pb.ToolChoice:
    made = pb.ToolChoice()
    match json:
        case "auto":
            made.auto.SetInParent()
        case "none":
            made.none.SetInParent()
        case "required":
            made.required.SetInParent()
        case {"named": str(name)}:
            made.named = name
        case {"allowed": list(names), **rest}:
            made.allowed.CopyFrom(pb.AllowedTools(required=rest.get("required") is True, names=names))
        case other:
            made.opaque_json = _json.dumps(other)
    return made


def _sampling(sampling: Fields) -> pb.Sampling:
    return pb.Sampling(
        max_output_tokens=sampling.count("max_output_tokens"),
        temperature=sampling.number("temperature"),
        top_p=sampling.number("top_p"),
        top_k=sampling.count("top_k"),
        stop=sampling.items("stop"),
        seed=sampling.count("seed"),
        frequency_penalty=sampling.number("frequency_penalty"),
        presence_penalty=sampling.number("presence_penalty"),
        logprobs=sampling.count("logprobs"),
    )


def _reasoning(reasoning: Fields) -> pb.Reasoning:
    made = pb.Reasoning(effort=reasoning.text("effort"), shown=reasoning.flag("shown"))
    budget = reasoning.count("budget")
    match reasoning.text("mode"):
        case _ if budget is not None:
            made.budget = budget
        case "off":
            made.off.SetInParent()
        case "adaptive":
            made.adaptive.SetInParent()
        case "":
            pass
        case _:
            raise reasoning.wrong("mode")
    return made


def _output(json: Any) -> pb.OutputFormat:
    made = pb.OutputFormat()
    match json:
        case "text":
            made.text.SetInParent()
        case "json_object":
            made.json_object.SetInParent()
        case _:
            output = Fields("output", json)
            made.json_schema.CopyFrom(
                pb.OutputSchema(
                    name=output.text("name"),
                    description=output.text("description"),
                    schema_json=_text_of(output.json.get("schema")),
                    strict=output.flag("strict"),
                )
            )
    return made


def _service(service: Fields) -> pb.ServiceOptions:
    return pb.ServiceOptions(
        end_user=service.text("end_user"),
        cache_key=service.text("cache_key"),
        tier=service.text("tier"),
        verbosity=service.text("verbosity"),
        store=service.flag("store"),
    )


def _text_of(json: Any) -> str:
    return "" if json is None else _json.dumps(json)
