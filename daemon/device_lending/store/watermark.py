# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The greatest epoch that may have been given, in a file beside the store that outlives a loss or rollback."""

from __future__ import annotations

import contextlib

from device_lending.store import files

# So many epochs are given between two writes; as many are left out when the daemon starts.
STEP = 1000
# No clock gives more; what says so is damaged.
_MOST = 1 << 62
_DIGITS = 32


class Watermark:
    """A number that only grows. A file that cannot be read counts as 0: the clock and the kernel are asked as well."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = self._read()
        self._given = self._written

    def above(self, epoch: int) -> int:
        """The first epoch that may be given: `epoch`, or the one after all that may have been given.

        Raises OSError when it cannot be written down; then it must not be given.
        """
        found = max(epoch, self._given + 1)
        if found > self._written:
            files.write(self._path, f"{found + STEP}\n")
            self._written = found + STEP
        self._given = found
        return found

    def _read(self) -> int:
        with contextlib.suppress(OSError, ValueError), open(self._path, encoding="ascii") as handle:
            found = int(handle.read(_DIGITS))
            return found if 0 < found < _MOST else 0
        return 0
