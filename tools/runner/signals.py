# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that end a run. They are noted when they come, and acted on where nothing is half done."""

from __future__ import annotations

import ctypes
import signal
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36
caught: list[int] = []
adopting = False


def _note(number: int, _frame: FrameType | None) -> None:
    caught.append(number)


def install() -> None:
    """Note signals from now on; those that somebody had ignored, too, but for what nohup does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _note)


def adopt_orphans() -> None:
    """Become the parent of what steps leave running, so that it can be found, and its processor time be counted."""
    global adopting
    adopting = True
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
