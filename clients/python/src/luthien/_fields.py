"""Reading JSON that was written by luthien, and saying where it was not."""

from __future__ import annotations

import json
from typing import Any


class Unreadable(ValueError):
    """What is on record is not what luthien writes."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} is not what is written there")


class Fields:
    """An object, of which the fields are read by name."""

    def __init__(self, what: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise Unreadable(what)
        self.what = what
        self.json: dict[str, Any] = value

    def __contains__(self, name: str) -> bool:
        return self.json.get(name) is not None

    def fields(self, name: str) -> Fields:
        """An object."""
        return Fields(f"{self.what}.{name}", self.json.get(name))

    def text(self, name: str) -> str:
        """A text; empty where there is none."""
        return str(self._read(name, str) or "")

    def flag(self, name: str) -> bool | None:
        """Yes or no, if it is there."""
        flag = self._read(name, bool)
        return None if flag is None else bool(flag)

    def count(self, name: str) -> int | None:
        """A count, if it is there."""
        count = self._read(name, int)
        return None if count is None else int(count)

    def number(self, name: str) -> float | None:
        """A number, if it is there."""
        number = self._read(name, (int, float))
        return None if number is None else float(number)

    def items(self, name: str) -> list[Any]:
        """The items of a list; none where there is no list."""
        return list(self._read(name, list) or [])

    def object_json(self, name: str) -> str:
        """An object as JSON text; empty where there is none, or nothing in it."""
        value = self._read(name, dict)
        return json.dumps(value) if value else ""

    def wrong(self, name: str) -> Unreadable:
        """A field is not what it should be."""
        return Unreadable(f"{self.what}.{name}")

    def _read(self, name: str, kind: type | tuple[type, ...]) -> Any:
        value = self.json.get(name)
        if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise self.wrong(name)
        return value
