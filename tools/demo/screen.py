# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is printed: lines that stay, and on a terminal one that tells what runs until the next line takes its place."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
import time

from .signals import Interrupted

WIDTH = 100
BEGAN = time.monotonic()
# Lines without a time of their own begin where those with one do.
MARGIN = " " * len("[   0.0 s] ")
ERASE = "\r\x1b[K"


class Screen:
    """Standard output. No colours are used, whatever NO_COLOR says."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.ending = False
        self._shown = ""

    @property
    def width(self) -> int:
        """How long a line may be: a transient one that the terminal breaks could not be erased."""
        return min(WIDTH, max(60, shutil.get_terminal_size().columns - 1)) if self.live else WIDTH

    def say(self, text: str, wrap: bool = False) -> None:
        """Print a line with the time since the start; `wrap` breaks one that is too long, between words."""
        text = f"[{time.monotonic() - BEGAN:6.1f} s] {text}"
        if wrap:
            lines = textwrap.wrap(text, self.width - len(MARGIN) - 2, break_long_words=False, break_on_hyphens=False)
            text = f"\n{MARGIN}  ".join(lines)
        self.show(text)

    def note(self, text: str) -> None:
        """Print a line below one with a time."""
        self.show(MARGIN + text)

    def show(self, text: str) -> None:
        """Print text as it is."""
        self._write((ERASE if self._shown else "") + text + "\n")
        self._shown = ""

    def transient(self, text: str) -> None:
        """Tell on a terminal what runs."""
        text = (MARGIN + text)[: self.width]
        if self.live and text != self._shown:
            self._write(ERASE + text)
            self._shown = text

    def _write(self, text: str) -> None:
        """Write. Raises Interrupted if nobody reads it, unless the demo is ending anyway."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not self.ending:
                raise Interrupted(signal.SIGPIPE) from None


screen = Screen()
