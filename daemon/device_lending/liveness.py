# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether this daemon makes progress: systemd starts it anew when it does not (sd_notify(3), WATCHDOG=1).

Each thread that the daemon cannot be without says now and then that it is alive. One that has not for longer than it
may, with no thread inside the kernel, has stopped for a fault of the daemon, which a new start mends. A thread inside
the kernel waits for a device, or another waits for what it holds: no new start mends a device, and the process could
not even end.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from device_lending.clock import Clock
from device_lending.notify import notify

log = logging.getLogger("device_lending.liveness")

# Seconds. A look may have to take devices back one after the other, each with its reset and its driver.
LIMITS = {"watch": 300.0, "look": 1800.0}


class Liveness:
    """When each thread was last alive; it may be silent for its time of `limits`."""

    def __init__(self, clock: Clock, limits: Mapping[str, float]) -> None:
        self._clock = clock
        self._limits = limits
        self._lock = threading.Lock()
        self._seen = dict.fromkeys(limits, clock.monotonic())

    def beat(self, thread: str) -> None:
        """That thread is alive."""
        with self._lock:
            self._seen[thread] = self._clock.monotonic()

    def silent(self) -> list[str]:
        """The threads that have been silent for too long."""
        now = self._clock.monotonic()
        with self._lock:
            return [thread for thread, seen in self._seen.items() if now - seen > self._limits[thread]]


class Watchdog:
    """Tells systemd, every so many seconds, that the daemon is alive. `every` is None when nobody wants to know."""

    def __init__(
        self,
        liveness: Liveness,
        clock: Clock,
        every: float | None,
        inside_kernel: Callable[[], bool],
        tell: Callable[[str], object] = notify,
    ) -> None:
        self._liveness = liveness
        self._clock = clock
        self._every = every
        self._inside_kernel = inside_kernel
        self._tell = tell
        self._due = float("-inf")
        self._said: list[str] = []

    def turn(self) -> None:
        """To be called all the time by the event loop, whose own sign of life this is."""
        now = self._clock.monotonic()
        if self._every is None or now < self._due:
            return
        silent = self._liveness.silent()
        if silent and not self._inside_kernel():
            if silent != self._said:
                log.critical("no sign of life of %s: systemd will start this daemon anew", " and ".join(silent))
            self._said = silent
            return
        self._said = []
        self._due = now + self._every
        self._tell("WATCHDOG=1")


def wanted_every(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two signs of life that systemd wants, a third of the time after which it acts; None without."""
    time, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not time.isdecimal() or int(time) == 0 or whose != str(pid):
        return None
    return int(time) / 3e6


def inside_kernel(proc: Path = Path("/proc")) -> bool:
    """Whether a thread of this process waits inside the kernel for what cannot be interrupted (proc(5), state D)."""
    for stat in (proc / str(os.getpid()) / "task").glob("*/stat"):
        try:
            text = stat.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended
        if text.rpartition(")")[2].split()[:1] == ["D"]:
            return True
    return False
