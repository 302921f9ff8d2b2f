# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""One daemon per store: a lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import logging
import os

log = logging.getLogger("device_lending.store")


class Lock:
    """A lock on a file beside a store: SQLite's own on the store end when the process closes any handle of it."""

    def __init__(self, path: str) -> None:
        self.name = f"{path}.lock"
        self._handle: int | None = None
        self._said = False

    def take(self) -> None:
        """Have the store alone, if that is not so already. Raises BlockingIOError when another process has it.

        Where no lock can be had, on a read-only disk say, the daemon runs all the same, and says so once.
        """
        if self._handle is not None:
            return
        handle = -1
        try:
            handle = os.open(self.name, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if handle >= 0:
                os.close(handle)
            if isinstance(error, BlockingIOError):
                raise
            if not self._said:
                log.error("%s: a second daemon would not be noticed: %s", self.name, error)
            self._said = True
        else:
            self._handle = handle

    def release(self) -> None:
        """Let another process have it; again, it does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
