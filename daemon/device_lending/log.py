# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Logging to the journal: one line per record, level as a <N> prefix (SyslogLevelPrefix, sd-daemon(3)).

Nobody fills the journal: of lines with the same text about the same subject (their first argument: a link, a lease, a
device) only some pass in a minute.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Hashable
from typing import TextIO

# Lines of one text about one subject in a minute. A device that is borrowed and returned makes half a dozen of them.
_LINES = 120
_SUBJECT_MAX = 80
_PRIORITY = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class JournalFormatter(logging.Formatter):
    """Puts the syslog priority in front of every line, also of tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITY if record.levelno >= level), 7)
        text = super().format(record)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


class RateLimit:
    """Lets `burst` events of each key pass per `period` seconds, and counts what it leaves out.

    Beyond `most` keys at a time all others count as one: whoever invents them does not fill the memory.
    """

    def __init__(self, burst: int, period: float = 60.0, most: int = 256) -> None:
        self._burst = burst
        self._period = period
        self._most = most
        self._lock = threading.Lock()
        self._counts: dict[Hashable, tuple[float, int]] = {}
        self._over: dict[Hashable, int] = {}

    def allows(self, key: Hashable, now: float | None = None) -> bool:
        """True when one more event may be logged now."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if key not in self._counts and len(self._counts) >= self._most:
                self._sweep(now)
                key = key if len(self._counts) < self._most else None
            start, count = self._counts.get(key, (now, 0))
            if now - start >= self._period:
                self._end(key, count)
                start, count = now, 0
            self._counts[key] = (start, count + 1)
            return count < self._burst

    def left_out(self, now: float | None = None) -> list[tuple[Hashable, int]]:
        """How many events of which key were left out in periods that are over, each told once."""
        with self._lock:
            self._sweep(time.monotonic() if now is None else now)
            found, self._over = list(self._over.items()), {}
            return found

    def _sweep(self, now: float) -> None:
        for key, (start, count) in list(self._counts.items()):
            if now - start >= self._period:
                self._end(key, count)
                del self._counts[key]

    def _end(self, key: Hashable, count: int) -> None:
        if count > self._burst and (key in self._over or len(self._over) < self._most):
            self._over[key] = self._over.get(key, 0) + count - self._burst


class SparseHandler(logging.StreamHandler):
    """Writes what `limit` allows, and after it how many lines were left out."""

    def __init__(self, stream: TextIO, limit: RateLimit) -> None:
        super().__init__(stream)
        self._limit = limit

    def emit(self, record: logging.LogRecord) -> None:
        subject = str(record.args[0])[:_SUBJECT_MAX] if isinstance(record.args, tuple) and record.args else ""
        if not self._limit.allows((record.name, str(record.msg)[:_SUBJECT_MAX], subject)):
            return
        super().emit(record)
        for key, count in self._limit.left_out():
            name, text, about = key if isinstance(key, tuple) else ("device_lending", "of many kinds", "")
            arguments = (count, text, about)
            super().emit(
                logging.LogRecord(name, logging.WARNING, "", 0, "%d lines were left out: %s (%s)", arguments, None)
            )


def setup(verbose: bool, journal: bool) -> None:
    """Send all records to stderr; with `journal` without times, which the journal adds itself."""
    handler = SparseHandler(sys.stderr, RateLimit(_LINES))
    if journal:
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for noisy in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
