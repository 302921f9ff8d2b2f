# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Logging to the journal: one line per record, level as a <N> prefix (SyslogLevelPrefix, sd-daemon(3))."""

from __future__ import annotations

import logging
import sys
import time

_PRIORITY = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class JournalFormatter(logging.Formatter):
    """Puts the syslog priority in front of every line, also of tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITY if record.levelno >= level), 7)
        text = super().format(record)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


def setup(verbose: bool, journal: bool) -> None:
    """Send all records to stderr; with `journal` without times, which the journal adds itself."""
    handler = logging.StreamHandler(sys.stderr)
    if journal:
        handler.setFormatter(JournalFormatter("%(name)s: %(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for noisy in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class RateLimit:
    """Lets `burst` events pass per `period` seconds, so that a hostile peer cannot fill the journal."""

    def __init__(self, burst: int, period: float) -> None:
        self._burst = burst
        self._period = period
        self._start = float("-inf")
        self._count = 0

    def allows(self, now: float | None = None) -> bool:
        """True when one more event may be logged now."""
        now = time.monotonic() if now is None else now
        if now - self._start >= self._period:
            self._start, self._count = now, 0
        self._count += 1
        return self._count <= self._burst
