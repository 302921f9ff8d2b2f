# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending steps with all that they have started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable

from lab.process import children
from tools.family import Family

from . import signals

# Seconds for a step to clean up after itself, until what it has started is asked to end, too, and until nobody can have
# been left by force.
GRACE = 20.0
PATIENCE = 5.0
FORCE = 5.0


def _kill(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end(leaders: list[int], hurry: Callable[[], bool] = lambda: False) -> None:
    """End steps, each the leader of a session, as Ctrl-C does; then by force what is left after GRACE, or in a `hurry`."""
    families = [Family(pid) for pid in leaders]

    def alive() -> list[int]:
        return sorted({pid for family in families for pid in family.alive()})

    alive()
    for pid in leaders:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGINT)
    began, asked = time.monotonic(), False
    while (left := alive()) and time.monotonic() < began + GRACE and not hurry():
        if not asked and time.monotonic() > began + PATIENCE:
            # dpkg does not end when Ctrl-C ends a child of it, and what runs in the background of a shell ignores it.
            _kill(set(left) - set(leaders), signal.SIGTERM)
            asked = True
        time.sleep(0.1)
    _force(alive)


def end_orphans() -> None:
    """End by force whatever this process has adopted, and what that has started."""
    if not signals.adopting:
        return

    def alive() -> list[int]:
        reap_orphans(())
        return sorted({pid for child in children(os.getpid()) for pid in Family(child).alive()})

    _force(alive)


def _force(alive: Callable[[], list[int]]) -> None:
    began = time.monotonic()
    while (left := alive()) and time.monotonic() < began + FORCE:
        _kill(left, signal.SIGKILL)
        time.sleep(0.1)


def reap_orphans(own: Iterable[int]) -> None:
    """Take notice of adopted processes that have ended; those in `own` are left to who has started them."""
    kept = set(own)
    if not signals.adopting:
        return
    for pid in children(os.getpid()):
        if pid not in kept:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
