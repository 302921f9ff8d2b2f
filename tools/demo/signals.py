# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that end the demo. They are noted when they come, and acted on where nothing is half done."""

from __future__ import annotations

import signal
from types import FrameType

_caught: list[int] = []


class Interrupted(Exception):
    """The demo is to end: a signal has come, or nobody reads what it prints."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def _note(number: int, _frame: FrameType | None) -> None:
    _caught.append(number)


def install() -> None:
    """Note signals from now on; those that somebody had ignored, too, but for what nohup does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _note)


def check() -> None:
    """Raise Interrupted if a signal has come."""
    if _caught:
        raise Interrupted(_caught[0])
