# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The files of a store: read without writing, set aside, and made anew; and how texts beside it are written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from device_lending.store.examine import Damaged

LOG = "-wal"
_PARTS = ("", LOG, "-shm")
# A store of a thousand grants has a hundredth of it.
_LONGEST = 1 << 26
# In memory first; None is Python's choice.
_PLACES = ("/dev/shm", None)  # noqa: S108 - the directory made there is for this user only
# What says nothing of the file.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def present(path: str) -> list[str]:
    """Those of a store's files that there are."""
    return [path + part for part in _PARTS if os.path.lexists(path + part)]


def identity(path: str) -> tuple[int, int] | None:
    """What a file is whatever its name; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check(path: str) -> None:
    """Raises Damaged when what is there cannot be the files of a store."""
    for name in present(path):
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{name} is not a file")
        if status.st_size > _LONGEST:
            raise Damaged(f"{name} has {status.st_size} octets, more than any store")
    if os.path.lexists(path + LOG) and not os.path.lexists(path):
        raise Damaged(f"{path + LOG} is there without it")


def read(path: str) -> dict[str, bytes]:
    """The contents of the database ("") and of its log; empty when there is no store. Raises Damaged, OSError."""
    found = {}
    try:
        check(path)
        # The log first: what a checkpoint moves meanwhile is then in both, and not in neither.
        for part in (LOG, ""):
            with contextlib.suppress(FileNotFoundError):
                found[part] = Path(path + part).read_bytes()
    except OSError as error:
        if error.errno in _PASSING:
            raise
        raise Damaged(f"it cannot be read: {error}") from error
    return found


@contextlib.contextmanager
def copy(contents: dict[str, bytes]) -> Iterator[str]:
    """Files with these contents for as long as the block runs. Raises OSError when there is no room for them."""
    with contextlib.ExitStack() as stack:
        for place in _PLACES:
            try:
                made = stack.enter_context(tempfile.TemporaryDirectory(prefix="device-lending-", dir=place))
                for part, octets in contents.items():
                    Path(made, f"store{part}").write_bytes(octets)
                break
            except OSError:
                if place is None:
                    raise
        yield os.path.join(made, "store")


def set_aside(path: str) -> str:
    """Rename a store's files; its new path, which nothing had before. Raises OSError."""
    plain = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    aside, number = plain, 1
    while present(aside):
        number += 1
        aside = f"{plain}-{number}"
    for name in present(path):
        os.rename(name, aside + name[len(path) :])
    return aside


@contextlib.contextmanager
def fresh(path: str) -> Iterator[str]:
    """An empty file, for root only, that takes its place at `path` when the block has filled it. Raises OSError.

    So what is found at `path` is whole, whenever a crash comes.
    """
    name = f"{path}.new"
    remove(name)
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        yield name
        os.rename(name, path)
    finally:
        remove(name)
    directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove(path: str) -> None:
    """Remove a store's files. Raises OSError."""
    for part in (*_PARTS, "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + part)


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
