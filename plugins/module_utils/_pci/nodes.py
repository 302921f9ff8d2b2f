# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a driver made of a function: device nodes and network interfaces."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

from .blocks import disks
from .sysfs import Roots, lines, link_name, members, text

# As sysfs has it: PCI Code and ID Assignment, base class 01h.
_STORAGE = "0x01"


def driver_of(roots: Roots, address: str) -> str | None:
    """Name of the driver bound to a function, None when there is none."""
    return link_name(roots.device(address) / "driver")


def is_for_user_space(driver: str | None) -> bool:
    """Whether a driver hands functions to user space through VFIO: vfio-pci, and those that vendors make of it."""
    return driver is not None and "vfio" in driver


def vfio_group(roots: Roots, address: str) -> str | None:
    """The number of the group by which user space has a function, None where its driver hands it to nobody."""
    return link_name(roots.device(address) / "iommu_group") if is_for_user_space(driver_of(roots, address)) else None


def nodes(roots: Roots, address: str) -> list[str]:
    """Paths of block devices, names of network interfaces, then paths of character devices, each sorted."""
    made = list(_made(roots, address))
    block = {f"/dev/{name}" for name in disks(roots, address)} | {node.path for node in made if node.is_block}
    group = vfio_group(roots, address)
    char = {node.path for node in made if not node.is_block} | ({f"/dev/vfio/{group}"} if group else set())
    return sorted(block) + members(roots, "class/net", address) + sorted(char)


def character_numbers(roots: Roots, address: str) -> set[int]:
    """The device numbers of a function's character devices."""
    return {node.number for node in _made(roots, address) if not node.is_block}


# Directories of sysfs that have no device below them, most of all that there are: Documentation/ABI.
_NO_DEVICES = frozenset(("power", "msi_irqs", "queue", "mq", "queues", "statistics", "integrity", "trace"))


class _Node(NamedTuple):
    path: str
    is_block: bool
    number: int


def _made(roots: Roots, address: str) -> Iterator[_Node]:
    """The device nodes below a function in sysfs."""
    for directory, subdirectories, files in os.walk(roots.home(address)):
        subdirectories[:] = [name for name in subdirectories if name not in _NO_DEVICES]
        if "dev" not in files or "uevent" not in files:
            continue
        uevent = dict(line.split("=", 1) for line in lines(roots.sys / directory / "uevent") if "=" in line)
        if "DEVNAME" not in uevent:
            continue
        is_block = link_name(roots.sys / directory / "subsystem") == "block"
        number = os.makedev(int(uevent.get("MAJOR", 0)), int(uevent.get("MINOR", 0)))
        yield _Node("/dev/" + uevent["DEVNAME"].removeprefix("/dev/"), is_block, number)


def complete(roots: Roots, address: str, made: Collection[str]) -> bool:
    """Whether `made`, the nodes of a function, are what its users wait for: any, but of storage a disk.

    A driver of storage may make a node for its controller some time before it has found the disks.
    """
    if is_for_user_space(driver_of(roots, address)):
        return any(node.startswith("/dev/vfio/") for node in made)
    return bool(disks(roots, address) if _is_storage(roots, address) else made)


def awaits_disks(roots: Roots, address: str) -> bool:
    """Whether the users of a function wait for disks, which its driver may take long to find."""
    return _is_storage(roots, address) and not is_for_user_space(driver_of(roots, address))


def _is_storage(roots: Roots, address: str) -> bool:
    return text(roots.device(address) / "class").startswith(_STORAGE)
