# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A thread that takes the regular look, and one more as soon as somebody says that something changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from device_lending.kernel import KernelError

log = logging.getLogger("device_lending.ticker")


# Seconds between two looks, however often it is woken, and as many as the last one took up to so many: who changes
# something all the time, or says so, does not keep the host busy.
_LEAST = 0.02
_MOST = 0.5
_UNKNOWN = 1.0


class Ticker:
    """Runs `look` every `interval()` seconds and after each `wake`; `beat` before and after each."""

    def __init__(self, look: Callable[[], object], interval: Callable[[], float], beat: Callable[[], None]) -> None:
        self._look = look
        self._interval = interval
        self._beat = beat
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look again at once."""
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(5)

    def _run(self) -> None:
        rest = _LEAST
        while not self._stop.wait(rest):
            self._wake.clear()
            self._beat()
            begun = time.monotonic()
            try:
                self._look()
                self._said = ""
            except Exception as error:  # the next look may go well; without this thread nothing would recover
                self._say(error)
            rest = min(_MOST, max(_LEAST, time.monotonic() - begun))
            self._beat()
            if not self._stop.is_set():  # what said so may have been taken for an earlier one
                self._wake.wait(max(0.05, self._pause()))

    def _say(self, error: Exception) -> None:
        """Once, however many looks end like that one after the other."""
        text = repr(error)
        if text != self._said and isinstance(error, KernelError):
            log.warning("the kernel cannot be asked: %s", error)
        elif text != self._said:
            log.error("the regular look failed", exc_info=error)
        self._said = text

    def _pause(self) -> float:
        try:
            return self._interval()
        except Exception:
            log.exception("when to look again is not known")
            return _UNKNOWN
