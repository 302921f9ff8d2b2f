# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are wanted with a given content. This module util is private to pcie.device_lending."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import typing as t


def read_text(path: str) -> str | None:
    """Return a text file's content, or None where it is not there."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None


def digest(path: str) -> str | None:
    """Return the SHA-256 of a file, or None where it is not there."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except FileNotFoundError:
        return None


def write_atomically(path: str, content: bytes, mode: int = 0o644) -> None:
    """Put a file in place so that nobody ever sees half of it, also after a power cut."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def remove(path: str) -> None:
    """Remove a file that may not be there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def sync_text(path: str, wanted: str | None, mode: int = 0o644) -> bool:
    """Make a file hold C(wanted), or be gone where that is None; return whether it had to be touched."""
    if read_text(path) == wanted:
        return False
    if wanted is None:
        remove(path)
    else:
        write_atomically(path, wanted.encode("utf-8", "surrogateescape"), mode)
    return True


def files_below(top: str, skip: t.Callable[[str], bool] = lambda relative: False) -> t.Iterator[str]:
    """Yield the relative paths of all files below a directory, in an order that is always the same."""
    for directory, subdirectories, names in os.walk(top):
        relative = os.path.relpath(directory, top)
        prefix = "" if relative == "." else relative + "/"
        subdirectories[:] = sorted(name for name in subdirectories if not skip(prefix + name))
        for name in sorted(names):
            if not skip(prefix + name):
                yield prefix + name


def tree_digest(top: str, skip: t.Callable[[str], bool] = lambda relative: False) -> str:
    """Return one hash of the names, executable bits and contents of all files below a directory."""
    total = hashlib.sha256()
    for relative in files_below(top, skip):
        path = os.path.join(top, relative)
        executable = "x" if os.stat(path).st_mode & 0o100 else "-"
        total.update(f"{executable}{digest(path)} {relative}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
