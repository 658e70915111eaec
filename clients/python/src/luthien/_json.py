"""JSON as the protocol has it: one text, UTF-8, no key twice in an object."""

from __future__ import annotations

import json
from typing import Any


class Malformed(ValueError):
    """A message that can't be read: which field, and what is wrong with it; never content."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")


def parse(text: str) -> Any:
    """Reads one JSON text.

    Raises:
        ValueError: It is none, or names a key twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if "\\u" in text:
            # Half of a character, which no UTF-8 can say.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def check(text: str, field: str) -> None:
    """Checks one JSON text.

    Raises:
        Malformed: It is none.
    """
    if not text:
        raise Malformed(field, "not set")
    try:
        parse(text)
    except ValueError:
        raise Malformed(field, "not JSON, or a key is named twice in one object") from None


def check_object(text: str, field: str) -> None:
    """Checks a JSON object, or nothing.

    Raises:
        Malformed: It is something else.
    """
    if not text:
        return
    check(text, field)
    if not text.lstrip().startswith("{"):
        raise Malformed(field, "not a JSON object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is named twice in one object")
    return made


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
