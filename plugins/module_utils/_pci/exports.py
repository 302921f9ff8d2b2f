# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Users of a disk inside the kernel that the table of mounts does not name: exports, loop devices, btrfs on several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from .blocks import BlockDevice
from .sysfs import Roots, link_name, members, names, real, text


def uses(roots: Roots, address: str, devices: Sequence[BlockDevice]) -> list[str]:
    """What uses the function's block devices in this way, in words."""
    named = {device.name for device in devices}
    controllers = set(members(roots, "class/nvme", address))
    if not named | controllers:
        return []
    return _nvmet(roots, named | controllers) + _loops(roots, named) + _btrfs(roots, named)


def _named(path: str) -> str:
    """The kernel's name of the device behind a path, which may be a link of udev's."""
    return os.path.basename(real(path)) if path else ""


def _nvmet(roots: Roots, named: set[str]) -> list[str]:
    """Namespaces, and whole controllers, that the NVMe target exports: drivers/nvme/target/configfs.c."""
    found = []
    base = roots.sys / "kernel/config/nvmet/subsystems"
    for subsystem in names(base):
        namespaces = base / subsystem / "namespaces"
        for what in [*(namespaces / number for number in names(namespaces)), base / subsystem / "passthru"]:
            name = _named(text(what / "device_path"))
            if text(what / "enable") == "1" and name in named:
                found.append(f"{name} is exported over NVMe fabrics as {subsystem}")
    return found


def _loops(roots: Roots, named: set[str]) -> list[str]:
    behind = roots.once("loops", lambda: list(_behind_loops(roots)))
    return [f"{disk} is behind {name}" for name, disk in behind if disk in named]


def _behind_loops(roots: Roots) -> Iterator[tuple[str, str]]:
    """Loop devices, each with the kernel's name of what it reads."""
    for name in names(roots.sys / "block"):
        path = text(roots.sys / "block" / name / "loop/backing_file")
        if path:
            yield name, _named(path)


def _btrfs(roots: Roots, named: set[str]) -> list[str]:
    """A mounted btrfs of several devices names one of them in the table of mounts, and all of them here."""
    found = []
    base = roots.sys / "fs/btrfs"
    for identity in names(base):
        directory: Path = base / identity / "devices"
        for entry in names(directory):
            name = link_name(directory / entry) or entry
            if name in named:
                found.append(f"{name} is part of the mounted btrfs file system {identity}")
    return found
