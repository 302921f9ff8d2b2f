# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Where the kernel's file trees are, so that tests can put them elsewhere, and small readers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Roots:
    """The trees this package reads: sysfs, procfs and the device nodes."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")

    def device(self, address: str) -> Path:
        """The directory (a symbolic link) of a PCI function."""
        return self.sys / "bus/pci/devices" / address

    def home(self, address: str) -> str:
        """The directory of a PCI function itself, in the tree of devices; that of `device` where it has vanished."""
        return self.once(("home", address), lambda: real(self.device(address)))

    def once(self, what: Hashable, find: Callable[[], T]) -> T:
        """What `find` finds of all functions together, by the name `what`. A Glance need not look each time."""
        return find()


def _read(path: Path | str) -> str:
    """The content of a file, "" when it cannot be read. Daemons read thousands of them: without layers in between."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def text(path: Path | str) -> str:
    """The stripped content of a sysfs attribute, "" when it cannot be read."""
    return _read(path).strip()


def lines(path: Path | str) -> list[str]:
    """The lines of a proc file, [] when it cannot be read."""
    return _read(path).splitlines()


def names(path: Path | str) -> list[str]:
    """Sorted entries of a directory, [] when there is none."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def link_name(path: Path | str) -> str | None:
    """The last component a symbolic link points to, None when there is no link."""
    target = _link(path)
    return os.path.basename(target) if target else None


def real(path: Path | str) -> str:
    """The path without symbolic links; as it is when it vanishes while it is followed."""
    try:
        return os.path.realpath(path)
    except OSError:
        return str(path)


_FUNCTION = re.compile(r"/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/)")


def members(roots: Roots, group: str, address: str, behind: bool = False) -> list[str]:
    """Entries of a class directory such as "block" or "class/net" that belong to the PCI function.

    What belongs to a function behind it does only if `behind`: a root port has neither a drive nor a serial number.
    """
    above = roots.once(("members", group), lambda: list(_above(roots, group)))
    return [name for name, path in above if (address in path if behind else path[-1] == address)]


def functions_of(roots: Roots, group: str) -> dict[str, list[str]]:
    """The members of a class directory by the PCI function that each belongs to."""
    found: dict[str, list[str]] = {}
    for name, path in _above(roots, group):
        found.setdefault(path[-1], []).append(name)
    return found


def _above(roots: Roots, group: str) -> Iterator[tuple[str, list[str]]]:
    """The entries of a class directory that are below PCI functions, each with these, the outermost first."""
    base = f"{roots.sys}/{group}"
    for name in names(base):
        # A link whose text has all devices that it is below: to follow it would cost a call for each of them.
        path = _FUNCTION.findall(_link(f"{base}/{name}"))
        if path:
            yield name, path


def _link(path: Path | str) -> str:
    """What a symbolic link says, "" when there is none."""
    try:
        return os.readlink(path)
    except OSError:
        return ""
