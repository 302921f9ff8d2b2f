# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What was asked for and goes on by itself: whoever asked may wait for its end, in a thread or without one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

log = logging.getLogger("device_lending.pending")

Answer = dict[str, Any]


class Signal:
    """Tells those who wait that something has changed. They are called in the thread that changed it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[object, Callable[[], None]] = {}

    def connect(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call`, which must not block, told of changes from now on; the result ends that."""
        token = object()
        with self._lock:
            self._waiting[token] = call

        def disconnect() -> None:
            with self._lock:
                self._waiting.pop(token, None)

        return disconnect

    def fire(self) -> None:
        """Something has changed."""
        with self._lock:
            waiting = list(self._waiting.values())
        for call in waiting:
            try:
                call()
            except Exception:  # the others are told all the same
                log.exception("one who waits could not be told of a change")


def never() -> None:
    """Nothing comes by itself."""


@dataclass(frozen=True)
class Pending:
    """`done` is asked again after each `changed`, until it is true or `timeout` seconds are over; None: for ever.

    It is asked again as well once the seconds are over that `due` gives each time: what comes by itself, None for
    nothing. Then `outcome` gives the answer, raises LendingError, or gives what is to be waited for next. None of them
    waits for a device or a peer.
    """

    changed: Signal
    done: Callable[[], bool]
    outcome: Callable[[], Answer | Pending]
    timeout: float | None = None
    due: Callable[[], float | None] = never

    def then(self, change: Callable[[Answer], Answer]) -> Pending:
        """The same with another answer, made of its own."""

        def outcome() -> Answer | Pending:
            found = self.outcome()
            return found.then(change) if isinstance(found, Pending) else change(found)

        return replace(self, outcome=outcome)

    def answer(self) -> Answer:
        """Wait in this thread. Raises LendingError."""
        again = threading.Event()
        disconnect = self.changed.connect(again.set)
        end = None if self.timeout is None else time.monotonic() + self.timeout
        try:
            while not self.done():
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    break
                again.wait(least(left, self.due()))
                again.clear()
        finally:
            disconnect()
        return answer_of(self.outcome())


def least(*seconds: float | None) -> float | None:
    """The first of several ends, in seconds from now, each None for never."""
    return min((max(0.0, left) for left in seconds if left is not None), default=None)


def answer_of(found: Answer | Pending) -> Answer:
    """The answer, waited for in this thread if need be. Raises LendingError."""
    return found.answer() if isinstance(found, Pending) else found
