"""A monitor: scores each tool call, and changes nothing. What the client gets is not held for it."""

import re
import sys

from luthien import Interest, Level, Outcome, Policy, Seen, Severity, serve
from luthien.output import HookOutput, SummaryOutput

SUSPECT = [
    (re.compile(r"rm\s+-\w*r"), 0.9, "deletes recursively"),
    (re.compile(r"curl|wget"), 0.5, "reaches out"),
    (re.compile(r"/home/|~/"), 0.3, "touches home folders"),
]


class ScoreToolCalls(Policy):
    name = "tool-scores"
    interest = Interest.only(tool_call=Level.OBSERVE)

    def __init__(self) -> None:
        self.highest = 0.0

    def on_tool_call_completed(self, arguments: str, seen: Seen, out: HookOutput) -> None:
        found = [(score, why) for pattern, score, why in SUSPECT if pattern.search(arguments)]
        score, why = max(found, default=(0.0, "nothing suspect"))
        if seen.tool.startswith("delete"):
            score, why = max((score, why), (0.7, "deletes"))
        self.highest = max(self.highest, score)
        severity = Severity.WARNING if score >= 0.6 else Severity.INFO
        out.annotate(severity, f"{seen.tool}: {why}", {"tool": seen.tool, "score": score})

    def on_response_completed(self, outcome: Outcome, out: SummaryOutput) -> None:
        out.annotate(Severity.INFO, "the highest score of the call", {"highest": self.highest})


if __name__ == "__main__":
    serve(ScoreToolCalls, *sys.argv[1:2], record=lambda call: print(call.call.call_id, call.annotations, flush=True))
