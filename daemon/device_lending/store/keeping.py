# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whose a store is, where it goes when it is of no use, and how files beside it are written: not what is in them."""

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


def write(path: str, text: str) -> None:
    """Put a text on disk in the place of what is there, whole or not at all; for root only. Raises OSError."""
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8", opener=_private) as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    os.rename(partial, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


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
