# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The last events of a daemon, in memory. Who reads has a place in it, and no copy of it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from itertools import islice
from typing import Any

from device_lending.clock import Clock, iso_exact
from device_lending.events.event import DROPPED, KINDS, VERSION, Event
from device_lending.pending import Signal

Document = dict[str, Any]

KEPT = 1024


class Journal:
    """Numbers events one after the other and keeps the last `kept`; `changed` is fired after each.

    The first number is the start's time in milliseconds since 1970, so that they grow over restarts: who asks for what
    followed an event of an earlier run is told that it is not known any more.
    """

    def __init__(self, daemon: str, host: str, clock: Clock, kept: int = KEPT) -> None:
        self.changed = Signal()
        self.stopped = False
        self._daemon = daemon
        self._host = host
        self._clock = clock
        self._lock = threading.Lock()
        self._last = int(clock.wall() * 1000)
        self._events: deque[Document] = deque(maxlen=kept)
        self._counts = Counter(dict.fromkeys(KINDS.keys() - {DROPPED}, 0))
        self.tell(Event("started"))

    def stop(self) -> None:
        """Nothing comes any more for those who wait."""
        self.stopped = True
        self.changed.fire()

    def tell(self, event: Event) -> None:
        """Something has happened. Blocks nobody, so that it may be called under any lock."""
        with self._lock:
            self._last += 1
            self._events.append(self._document(event, self._last))
            self._counts[event.kind] += 1
        self.changed.fire()

    def counts(self) -> dict[str, int]:
        """How many events of each kind there were since the start."""
        with self._lock:
            return dict(self._counts)

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._last

    def after(self, number: int, most: int) -> tuple[list[Document], int]:
        """At most `most` events after that number, 0 for all that is kept, and the number to go on from.

        When what followed it is not kept, or it is none of this journal, the first one says so.
        """
        with self._lock:
            before = self._last - len(self._events)
            found: list[Document] = []
            if not before <= number <= self._last:
                if number != 0:
                    why = f"what followed number {number} is not known any more"
                    found.append(self._document(Event(DROPPED, reason=why), before))
                number = before
            start = number - before
            found += islice(self._events, start, start + most)
            return found, min(number + most, self._last)

    def _document(self, event: Event, number: int) -> Document:
        known = {"version": VERSION, "id": number, "time": iso_exact(self._clock.wall())}
        return {**known, "daemon": self._daemon, "host": self._host, **event.document()}
