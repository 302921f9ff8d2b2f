# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The cache of what the lab builds: directories named by a hash of everything they are made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KINDS = ("qemu", "image", "saved", "builder", "debug", "index", "keys", "compiled", "firmware", "loader", "infiniband")


def root() -> Path:
    """The cache directory, following the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "pcie-device-lending"


def key_of(recipe: Any) -> str:
    """A short name for a recipe (anything JSON can hold): the same recipe always has the same name."""
    text = json.dumps(recipe, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of the cache, so that two commands do not build the same thing at once."""
    directory = root()
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / f"{name}.lock", "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(
    name: str, recipe: Any, build: Callable[[Path], None], tell: Callable[[str], None] = lambda text: None
) -> Path:
    """The cached directory for a recipe; `build` fills it if it does not exist yet, and `tell` is told of that.

    The directory appears under its name only when it is complete, so an interrupted build leaves nothing usable.
    """
    path = root() / f"{name}-{key_of(recipe)}"
    if path.is_dir():
        os.utime(path)
        return path
    with locked(path.name):
        if path.is_dir():
            return path
        tell(f"making {path.name}")
        partial = path.with_name(path.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        build(partial)
        (partial / "recipe.json").write_text(json.dumps(recipe, indent=1, default=str) + "\n", encoding="utf-8")
        partial.rename(path)
        tell(f"made {path.name}")
    return path


def trim(name: str, kept: int, age: float = 86400.0) -> None:
    """Remove all entries of a kind but the `kept` that were used last, and those used in the last `age` seconds."""
    with locked(name):
        entries = [path for path in root().glob(f"{name}-*") if path.is_dir() and path.suffix != ".partial"]
        entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in entries[kept:]:
            if path.stat().st_mtime < time.time() - age:
                shutil.rmtree(path)


def clean() -> list[str]:
    """Remove what the lab has built from the cache, which others use as well; returns the names of what went."""
    directory = root()
    gone = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        if path.name.split("-")[0].split(".")[0] in KINDS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            gone.append(path.name)
    return gone
