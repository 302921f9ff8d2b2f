# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whose a store is, and where it goes when it is of no use: the files, not what is in them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from datetime import UTC, datetime

_PARTS = ("", "-wal", "-shm")


def claim(path: str) -> int:
    """Hold a store for this process, by a lock beside it; returns the handle to close. BlockingIOError: it is held.

    Not by a lock of the file itself: SQLite's own locks of a file go when any handle of it in the process is closed.
    """
    handle = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def set_aside(path: str) -> str:
    """Give a store and what belongs to it another name, which nothing has yet; returns that. Raises OSError."""
    base = f"{path}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    name, number = base, 1
    while any(os.path.lexists(name + part) for part in _PARTS):
        number += 1
        name = f"{base}-{number}"
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + part, name + part)
    return name
