"""A redactor: takes secrets out of text, also where one is cut into several chunks.

It holds back no more than the end of the text that may still become a secret, and lets all before it go.
"""

import re
import sys

from luthien import Event, Interest, Level, Policy, Seen, serve
from luthien.events import BlockStopped, TextDelta
from luthien.output import HookOutput

SECRET = re.compile(r"sk-[A-Za-z0-9]{8,}")
BEGUN = re.compile(r"s(k(-[A-Za-z0-9]*)?)?\Z")
MASK = "[redacted]"


class Redact(Policy):
    name = "redact"
    interest = Interest.only(text=Level.GATE, refusal=Level.GATE)

    def __init__(self) -> None:
        self.kept: dict[int, str] = {}

    def on_content_chunk(self, seen: Seen, out: HookOutput) -> None:
        self.redact(seen, out)

    def on_content_completed(self, text: str, seen: Seen, out: HookOutput) -> None:
        self.redact(seen, out)

    def on_refusal_chunk(self, seen: Seen, out: HookOutput) -> None:
        self.redact(seen, out)

    def redact(self, seen: Seen, out: HookOutput) -> None:
        match seen.step:
            case TextDelta(block, piece):
                text = self.kept.pop(block, "") + piece
                begun = BEGUN.search(text)
                clear = text[: begun.start()] if begun else text
                if begun:
                    self.kept[block] = text[begun.start() :]
                self.put(block, SECRET.sub(MASK, clear), piece, out)
            case BlockStopped(block) if block in self.kept:
                rest = SECRET.sub(MASK, self.kept.pop(block))
                stop = [seen.event] if seen.stopped else []
                out.replace([Event(TextDelta(block, rest)), *stop])
            case _:
                pass

    @staticmethod
    def put(block: int, text: str, piece: str, out: HookOutput) -> None:
        if text != piece:
            out.replace([Event(TextDelta(block, text))] if text else [])


if __name__ == "__main__":
    serve(Redact, *sys.argv[1:2])
