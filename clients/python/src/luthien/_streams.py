"""Which streams of calls a server has: a call that is resumed here has no use for the streams that it had before."""

from __future__ import annotations

import asyncio


class Taken(Exception):
    """A stream has no place."""


class Place:
    """A stream's place among those of its call."""

    def __init__(self, streams: Streams, call_id: str, epoch: int) -> None:
        self.epoch = epoch
        self.superseded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._streams = streams
        self._call_id = call_id

    async def is_superseded(self, within_seconds: float) -> bool:
        """Whether the call goes on with another stream, within that time."""
        await asyncio.wait({self.superseded}, timeout=within_seconds)
        return self.superseded.done()

    def leave(self) -> None:
        """Gives the place up."""
        self._streams._leave(self._call_id, self)


class Streams:
    """The streams of a server."""

    def __init__(self) -> None:
        self._of_calls: dict[str, list[Place]] = {}

    def enter(self, call_id: str, epoch: int) -> Place:
        """Takes a place for a stream. Those of the call that came before it are superseded.

        Raises:
            Taken: There is one of this epoch, or of a later one.
        """
        places = self._of_calls.get(call_id, [])
        if any(place.epoch >= epoch for place in places):
            raise Taken("another stream of the call has this epoch, or a later one")
        self.supersede(call_id, epoch)
        place = Place(self, call_id, epoch)
        self._of_calls.setdefault(call_id, []).append(place)
        return place

    def supersede(self, call_id: str, epoch: int) -> None:
        """The call has gone on, or is over, after as many streams as that."""
        for place in self._of_calls.get(call_id, []):
            if place.epoch < epoch and not place.superseded.done():
                place.superseded.set_result(None)

    def _leave(self, call_id: str, place: Place) -> None:
        places = self._of_calls.get(call_id, [])
        if place in places:
            places.remove(place)
        if not places:
            self._of_calls.pop(call_id, None)
