# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Times: wall clock for people and the store, monotonic for delays; both injectable for tests."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """`wall` gives seconds since 1970, `monotonic` seconds since some start."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def wall_at(self, monotonic: float) -> float:
        """The wall-clock time of a monotonic instant, in seconds since 1970."""
        return self.wall() + monotonic - self.monotonic()

    def at(self, monotonic: float) -> str:
        """The same as ISO 8601 in UTC."""
        return iso(self.wall_at(monotonic))


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, e.g. 2026-01-31T12:00:00Z."""
    moment = datetime.datetime.fromtimestamp(round(seconds), tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_exact(seconds: float) -> str:
    """The same with milliseconds, e.g. 2026-01-31T12:00:00.250Z."""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
