# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the lab is doing right now, told to whoever waits: one line per step, with the time since the start."""

from __future__ import annotations

import sys
import time


class Progress:
    """Prints steps to standard error with the seconds that have passed; silent if told so."""

    def __init__(self, quiet: bool = False) -> None:
        self._start = time.monotonic()
        self._quiet = quiet

    def __call__(self, text: str) -> None:
        """Print one step."""
        if not self._quiet:
            # In one piece, as several threads may have something to say.
            sys.stderr.write(f"[{time.monotonic() - self._start:6.1f} s] {text}\n")
            sys.stderr.flush()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start
