"""What an SDK makes of the responses that it gets, as one line of JSON per case: {"case": ..., "saw": ...}.

The same script is run straight at the scripted provider and through luthien: where no policy interferes, both transcripts
must be the same, line by line. So nothing goes into one that differs from run to run: no times, ports or ids of ours.
"""

import json
import os

MESSAGES = [{"role": "user", "content": "How is the weather?"}]

# What of a response's head an SDK or its user acts upon.
HEADERS = ["content-type", "retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id"]

STATUSES = [400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 529]


def cases(kind):
    """The names of the responses that the provider has: `WHOLE` or `STREAMED`."""
    return os.environ[kind].split(",")


def named(case):
    """How a request says which response it wants."""
    return {"x-case": case}


def say(case, saw):
    print(json.dumps({"case": case, "saw": saw}, sort_keys=True, default=plain), flush=True)


def attempt(case, call):
    """Says what came out of a call, or how it failed."""
    try:
        saw = call()
    except Exception as error:  # whatever it is, it is what the user of the SDK would see
        saw = failure(error)
    say(case, saw)


async def attempt_later(call):
    try:
        return await call
    except Exception as error:
        return failure(error)


def failure(error):
    response = getattr(error, "response", None)
    return {
        "raised": type(error).__name__,
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "body": getattr(error, "body", None),
        "request_id": getattr(error, "request_id", None),
        "headers": None if response is None else headers(response),
    }


def headers(response):
    return {name: response.headers.get(name) for name in HEADERS}


def plain(value):
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", warnings=False)
    return repr(value)
