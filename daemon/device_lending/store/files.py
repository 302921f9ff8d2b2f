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

from device_lending.store.examine import Damaged

LOG = "-wal"
_PARTS = ("", LOG, "-shm")
# A store of a thousand grants has a hundredth of it.
_LONGEST = 1 << 26
# Where copies are made, the first that has room; None is Python's choice. In memory, unless that would take much of it:
# nothing bounds a log while another program reads the store.
_PLACES = ("/dev/shm", None)  # noqa: S108 - the directory made there is for this user only
_PLACES_FOR_MUCH = ("/var/tmp", None)  # noqa: S108 - so is this one
_CHUNK = 1 << 20
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
        if name == path and status.st_size > _LONGEST:
            raise Damaged(f"{name} has {status.st_size} octets, more than any store")
    left = [name for name in present(path) if name != path]
    if left and not os.path.lexists(path):
        raise Damaged(f"{left[0]} is there without it")


@contextlib.contextmanager
def copy(path: str) -> Iterator[str]:
    """The path of a copy of a store's database and log, if there are any, for as long as the block runs.

    Raises Damaged where they cannot be read, OSError when there is no room for the copy.
    """
    with contextlib.ExitStack() as stack:
        places = _PLACES if sum(map(_size, _copied(path))) <= _LONGEST else _PLACES_FOR_MUCH
        for place in places:
            try:
                made = stack.enter_context(tempfile.TemporaryDirectory(prefix="device-lending-", dir=place))
                target = os.path.join(made, "store")
                for name in _copied(path):
                    _copy(name, target + name[len(path) :])
                break
            except OSError:
                if place is None:
                    raise
        yield target


def _copied(path: str) -> list[str]:
    # The log first: what a checkpoint moves meanwhile is then in both, and not in neither.
    return [path + LOG, path]


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return 0


def _copy(name: str, target: str) -> None:
    """Copy a file, if there is one, with little of it in memory at a time."""
    with contextlib.ExitStack() as stack:
        with reading(name):
            try:
                source = stack.enter_context(open(name, "rb", buffering=0))
            except FileNotFoundError:
                return
        made = stack.enter_context(open(target, "wb", buffering=0))
        while True:
            with reading(name):
                octets = source.read(_CHUNK)
            if not octets:
                return
            made.write(octets)


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Take an error of a file for damage of it, unless it passes."""
    try:
        yield
    except OSError as error:
        if error.errno in _PASSING:
            raise
        raise Damaged(f"{name} cannot be read: {error.strerror}") from error


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
