# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Time, and what runs when. One thing runs after the other; who waits has the others run meanwhile."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

# So many of those who wait may lie upon each other; they go on in the reverse order.
DEEPEST = 8
# More than any history takes that comes to rest.
_MOST = 60000


class Broken(BaseException):
    """Something is so that must never be. Nothing of the daemons catches it."""


class Killed(BaseException):
    """A daemon is killed at this step. Nothing of it catches that."""


class Later(BaseException):
    """Who waits is begun anew after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class World:
    """Time is in seconds since some start. `who` is the daemon whose code runs now, None for the world itself."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 1000.0
        self.who = None
        self.thread = None
        self.said: list[str] = []
        self._events: list = []
        self._count = 0
        self._depth = 0

    def say(self, text: str) -> None:
        """Tell of a step, for who looks for the fault in a history."""
        self.said.append(f"{self.now - 1000:9.2f} {text}")

    def at(self, delay: float, call: Callable[[], object], who=None) -> None:
        """Have something run later, if the daemon that it belongs to still lives."""
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, who, call))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self._until(self.now + seconds, lambda: False)

    def wait(self, is_over: Callable[[], bool], seconds: float) -> bool:
        """Wait for something, as a thread of the present daemon; whether it came in time."""
        who, thread = self.who, self.thread
        if self._depth >= DEEPEST:
            raise Later(seconds)
        self._depth += 1
        try:
            self._until(self.now + seconds, lambda: is_over() or (who is not None and who.is_dead))
        finally:
            self._depth -= 1
            self.who, self.thread = who, thread
        if who is not None and who.is_dead:
            raise Killed
        return is_over()

    def enter(self, who, call: Callable[[], object]):
        """Run something of a daemon, which may be killed at it: then the result is None."""
        if who.is_dead:
            return None
        outer, self.who = self.who, who
        try:
            return call()
        except Killed:
            if not who.is_dead:
                self.say(f"{who} is killed at this")
                who.die()
            return None
        finally:
            self.who = outer

    def point(self) -> None:
        """The present daemon may be killed here."""
        if self.who is not None:
            self.who.point()

    def _until(self, end: float, is_over: Callable[[], bool]) -> None:
        while not is_over():
            if not self._events or self._events[0][0] > end:
                self.now = max(self.now, end)
                return
            time, number, who, call = heapq.heappop(self._events)
            if number > _MOST:
                raise Broken("it does not come to rest")
            self.now = max(self.now, time)
            if who is None:
                call()
            else:
                self.enter(who, call)
