"""The `openai` SDK's Responses against whatever `OPENAI_BASE_URL` says."""

import asyncio

import openai
from transcript import MESSAGES, STATUSES, attempt, attempt_later, cases, headers, named, say

PARAMETERS = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "name": name, "strict": True, "parameters": PARAMETERS}
    for name in ("read_file", "delete_file")
]


def ask(case, **more):
    return {"model": "codex-mini", "input": MESSAGES, "tools": TOOLS, "extra_headers": named(case), **more}


def whole(client, case):
    return client.responses.create(**ask(case))


def iterated(client, case):
    """Each event, and the error if one came after some."""
    events = []
    try:
        with client.responses.create(**ask(case, stream=True)) as stream:
            for event in stream:
                events.append(event)
    except openai.APIError as error:
        events.append({"raised": type(error).__name__, "message": error.message, "body": error.body})
    return events


def helped(client, case):
    """The helper's events, by type, and what it put together."""
    with client.responses.stream(**ask(case)) as stream:
        events = [event.type for event in stream]
        return {"events": events, "final": stream.get_final_response()}


def raw(client, case):
    response = client.responses.with_raw_response.create(**ask(case))
    return {"status": response.status_code, "headers": headers(response), "parsed": response.parse()}


def raw_stream(client, case):
    response = client.responses.with_raw_response.create(**ask(case, stream=True))
    return {"status": response.status_code, "headers": headers(response), "events": list(response.parse())}


def lines(client, case):
    with client.responses.with_streaming_response.create(**ask(case, stream=True)) as response:
        return {"status": response.status_code, "lines": list(response.iter_lines())}


def blocking():
    client = openai.OpenAI(max_retries=0, timeout=60)
    for case in cases("WHOLE"):
        attempt(f"whole {case}", lambda: whole(client, case))
    for case in cases("STREAMED"):
        attempt(f"iterated {case}", lambda: iterated(client, case))
        attempt(f"helped {case}", lambda: helped(client, case))
    attempt("raw", lambda: raw(client, "text"))
    attempt("raw stream", lambda: raw_stream(client, "text"))
    attempt("lines", lambda: lines(client, "text"))
    for status in STATUSES:
        attempt(f"error {status}", lambda: whole(client, f"status-{status}"))
        attempt(f"error {status} streamed", lambda: iterated(client, f"status-{status}"))
    for status in (429, 503):
        patient = client.with_options(max_retries=2)
        attempt(f"retried {status}", lambda: whole(patient, f"retry-{status}"))
        attempt(f"retried {status} streamed", lambda: iterated(patient, f"retry-{status}"))


async def concurrent():
    async def whole(case):
        return await client.responses.create(**ask(case))

    async def iterated(case):
        stream = await client.responses.create(**ask(case, stream=True))
        return [event async for event in stream]

    async def helped(case):
        async with client.responses.stream(**ask(case)) as stream:
            events = [event.type async for event in stream]
            return {"events": events, "final": await stream.get_final_response()}

    async with openai.AsyncOpenAI(max_retries=0, timeout=60) as client:
        calls = {f"async whole {case}": whole(case) for case in cases("WHOLE")}
        calls |= {f"async iterated {case}": iterated(case) for case in cases("STREAMED")}
        calls |= {f"async helped {case}": helped(case) for case in cases("STREAMED")}
        results = await asyncio.gather(*(attempt_later(call) for call in calls.values()))
    for case, saw in zip(calls, results):
        say(case, saw)


blocking()
asyncio.run(concurrent())
