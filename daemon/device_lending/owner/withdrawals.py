# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Devices on their way back: each in its lane, so that a borrower or device that takes long holds up no other.

They go on when those who asked for them do not wait any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

from device_lending.lanes import Job
from device_lending.pending import Answer, Pending, Signal

log = logging.getLogger("device_lending.owner")


class Runs(Protocol):
    """Lanes; tests may run jobs otherwise."""

    def submit(self, key: Hashable, job: Job) -> bool: ...


class Withdrawals:
    """Leases are known by their epochs."""

    def __init__(self, lanes: Runs) -> None:
        self._lanes = lanes
        self._lock = threading.Lock()
        self._changed = Signal()
        self._going: dict[int, list[Callable[[], None]]] = {}
        self._stopped = False

    def stop(self) -> None:
        """End the waiting for them."""
        self._stopped = True
        self._changed.fire()

    def begin(
        self,
        epochs: Iterable[int],
        take: Callable[[int], None],
        settled: Callable[[], None],
        outcome: Callable[[], Answer | Pending],
    ) -> Answer | Pending:
        """Have `take` end each lease, unless that is under way, and then run `settled`; `outcome` tells how it went.

        `take` and `settled` may block; whether somebody waits is nothing to them.
        """
        left = set(epochs)
        if not left:
            settled()
            return outcome()
        is_over = threading.Event()

        def ended(epoch: int) -> None:
            with self._lock:
                left.discard(epoch)
                if left:
                    return
            try:
                settled()
            except Exception:  # the regular look does the same
                log.exception("what follows a withdrawal failed")
            is_over.set()
            self._changed.fire()

        for epoch in sorted(left):
            self._start(epoch, take, ended)
        return Pending(self._changed, lambda: self._stopped or is_over.is_set(), outcome)

    def _start(self, epoch: int, take: Callable[[int], None], ended: Callable[[int], None]) -> None:
        with self._lock:
            is_new = epoch not in self._going
            self._going.setdefault(epoch, []).append(lambda: ended(epoch))
        # Without a thread the regular look takes it when its time is over.
        if is_new and not self._lanes.submit(("withdraw", epoch), lambda: self._take(epoch, take)):
            self._end(epoch)

    def _take(self, epoch: int, take: Callable[[int], None]) -> None:
        try:
            take(epoch)
        except Exception:  # the regular look takes it when its time is over
            log.exception("the lease of epoch %d could not be withdrawn", epoch)
        self._end(epoch)

    def _end(self, epoch: int) -> None:
        with self._lock:
            calls = self._going.pop(epoch)
        for call in calls:
            call()
