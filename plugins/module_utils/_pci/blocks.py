# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The block devices of a function, what stacks on them, and where they are mounted in this mount namespace."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .sysfs import Roots, lines, members, names, real, text

_HIDDEN_PATH = re.compile(r"\Anvme(\d+)c\d+(n\d+)\Z")


@dataclass(frozen=True)
class BlockDevice:
    """A disk, partition or holder: kernel name, "major:minor", and the disk it was reached from."""

    name: str
    number: str
    disk: str


def disks(roots: Roots, address: str, behind: bool = False) -> list[str]:
    """Names of the disks of a function; see heads(), and members() for `behind`."""
    return heads(members(roots, "block", address, behind))


def heads(found: Iterable[str]) -> list[str]:
    """The disks that are used: of hidden paths of an NVMe multipath device its head."""
    return sorted({_HIDDEN_PATH.sub(r"nvme\1\2", name) for name in found})


def block_devices(roots: Roots, address: str, behind: bool = False) -> list[BlockDevice]:
    """Disks of a function, their partitions, and all that stacks on them (dm, md, LVM), each once."""
    return roots.once(("block devices", address, behind), lambda: _block_devices(roots, address, behind))


def _block_devices(roots: Roots, address: str, behind: bool) -> list[BlockDevice]:
    found: dict[str, BlockDevice] = {}

    def add(name: str, disk: str) -> None:
        if name in found:
            return
        base = roots.sys / "class/block" / name
        if not base.exists():
            base = roots.sys / "block" / name
        found[name] = BlockDevice(name, text(base / "dev"), disk)
        for child in names(base):
            if (base / child / "partition").exists():
                add(child, disk)
        for holder in names(base / "holders"):
            add(holder, disk)

    for disk in disks(roots, address, behind):
        add(disk, disk)
    return list(found.values())


def unescape(field: str) -> str:
    """Undo the octal escapes of /proc/*/mountinfo and /proc/swaps."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), field)


def mounts(roots: Roots, devices: Iterable[BlockDevice], process: str = "self") -> list[tuple[str, BlockDevice]]:
    """(mount point, device) for each mount of one of `devices`, as a process sees it."""
    known = list(devices)
    if not known:
        return []  # as for most functions; a host may have thousands of mounts
    by_number = {device.number: device for device in known if device.number}
    by_name = {device.name: device for device in known}
    found = []
    for point, number, source in roots.once(("mounts", process), lambda: list(_mounts(roots, process))):
        device = by_number.get(number) or by_name.get(source)
        if device is not None:
            found.append((point, device))
    return found


def _mounts(roots: Roots, process: str) -> Iterator[tuple[str, str, str]]:
    """Mount points, each with the number of the device, and the device's name where that number is anonymous."""
    for line in lines(roots.proc / process / "mountinfo"):
        left, _dash, right = line.partition(" - ")
        fields, source = left.split(), right.split()
        if len(fields) < 5:
            continue
        name = ""
        if fields[2].startswith("0:") and len(source) > 1:
            # btrfs and others mount under an anonymous number; the source tells the device. Most are no path to be followed.
            path = unescape(source[1])
            name = os.path.basename(real(path) if "/" in path else path)
        yield unescape(fields[4]), fields[2], name
