"""What is decided becomes verdicts; what a service said before this one took the call over is not said again."""

from __future__ import annotations

from ._slots import Over, Settled
from ._stage import details_json
from .policy import Annotation
from .v1 import call_pb2, policy_pb2


class Verdicts:
    """Verdicts in the making."""

    def __init__(self, resumed: policy_pb2.CallResumed | None) -> None:
        self._frontier = 0
        self._passed = 0
        """The last chunk that passed since the last verdict; 0: none."""
        self._settled = resumed.settled if resumed is not None else 0
        self._injected = resumed.injected if resumed is not None else 0
        self._ended = resumed.ended if resumed is not None else False
        self._notes: list[Annotation] = []
        self._said: list[policy_pb2.Verdict] = []

    def take(self) -> list[policy_pb2.Verdict]:
        """The verdicts since the last time. What passed is said in one."""
        self._flush()
        said, self._said = self._said, []
        return said

    def settle(self, settled: Settled | Over, notes: list[Annotation]) -> bool:
        """Takes in what became of a chunk; True: the response is over. Notes about what is settled are taken."""
        has_notes = self._take_notes(settled.seq, notes)
        match settled:
            case Settled(seq, gated, None):
                # What needed no verdict has one where there is something to note: a verdict carries it, and does nothing else.
                if gated or has_notes:
                    self._passed = seq
                return False
            case Settled(seq, _, events):
                self._flush()
                self._say(policy_pb2.Verdict(through=seq, replace=policy_pb2.Replace(events=events)))
                return False
            case Over(seq, end):
                self._flush()
                reason = call_pb2.FinishReason.Name(end.reason or 0)
                self._say(
                    policy_pb2.Verdict(
                        through=seq,
                        end=policy_pb2.End(events=end.events, reason=reason),
                        cancel_upstream=end.cancel_upstream,
                    )
                )
                return True

    def fail(self, message: str, notes: list[Annotation]) -> None:
        """A closed policy failed: the response fails where it stands."""
        self._flush()
        self._notes += notes
        notes.clear()
        self._frontier = max(self._frontier, self._settled)
        error = call_pb2.CallError(status=500, message=message)
        failed = call_pb2.Event(failed=call_pb2.Failed(error=error))
        replace = policy_pb2.Replace(events=[failed])
        self._say(policy_pb2.Verdict(through=self._frontier, replace=replace, cancel_upstream=True))

    def _flush(self) -> None:
        if self._passed:
            through, self._passed = self._passed, 0
            verdict = policy_pb2.Verdict(through=through)
            getattr(verdict, "pass").SetInParent()
            self._say(verdict)

    def _take_notes(self, seq: int, notes: list[Annotation]) -> bool:
        due = [note for note in notes if note.seq <= seq]
        notes[:] = [note for note in notes if note.seq > seq]
        self._notes += due
        return bool(self._notes)

    def _say(self, verdict: policy_pb2.Verdict) -> None:
        injects = verdict.through == self._frontier
        self._frontier = verdict.through
        notes, self._notes = self._notes, []
        if self._ended or verdict.through < self._settled or (verdict.through == self._settled and not injects):
            return
        if verdict.through == self._settled and self._injected and not self._rest_of(verdict):
            return
        verdict.annotations.extend(
            policy_pb2.Annotation(
                policy=note.policy,
                seq=note.seq,
                severity=policy_pb2.Severity.Name(note.severity),
                summary=note.summary,
                details_json=details_json(note.details),
            )
            for note in notes
        )
        self._said.append(verdict)

    def _rest_of(self, verdict: policy_pb2.Verdict) -> bool:
        """Takes out what was injected before; False: nothing is left to be said."""
        match verdict.WhichOneof("decision"):
            case "replace":
                events = verdict.replace.events
            case "end":
                events = verdict.end.events
            case _:
                return False
        applied = min(self._injected, len(events))
        self._injected -= applied
        del events[:applied]
        return bool(events) or verdict.HasField("end")
