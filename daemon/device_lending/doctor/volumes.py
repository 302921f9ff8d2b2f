# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reads borrowed devices: driver, nodes, disks, and what is mounted from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from device_lending.doctor.facts import Borrowed, Disk, Mount
from device_lending.pci import blocks
from device_lending.pci.nodes import complete, driver_of, nodes
from device_lending.pci.sysfs import Roots, lines, members, names, real, text


def borrowed(roots: Roots, bridges: Collection[str], told: Collection[str]) -> tuple[Borrowed, ...]:
    """The functions that are other hosts': those below one of the `bridges`, and those that borrowerd has `told`."""
    addresses = names(roots.sys / "bus/pci/devices")
    return tuple(
        _borrowed(roots, address) for address in addresses if address in told or _is_below(roots, address, bridges)
    )


def _is_below(roots: Roots, address: str, bridges: Collection[str]) -> bool:
    return not set(bridges).isdisjoint(real(roots.device(address)).split("/")[:-1])


def _borrowed(roots: Roots, address: str) -> Borrowed:
    made = nodes(roots, address)
    paths = [node.removeprefix("/dev/") for node in made if node.startswith("/dev/")]
    devices = blocks.block_devices(roots, address)
    read_only = {point for point, broken in _broken(roots) if broken}
    return Borrowed(
        address=address,
        driver=driver_of(roots, address),
        nodes=tuple(made),
        complete=complete(roots, address, made),
        missing=tuple(f"/dev/{path}" for path in paths if not (roots.dev / path).exists()),
        disks=tuple(_disk(roots, address, name, devices) for name in blocks.disks(roots, address)),
        mounts=tuple(Mount(point, device.name, point in read_only) for point, device in blocks.mounts(roots, devices)),
    )


def _disk(roots: Roots, address: str, name: str, devices: list[blocks.BlockDevice]) -> Disk:
    base = roots.sys / "class/block" / name
    states = [text(roots.sys / "class/nvme" / name / "state") for name in members(roots, "class/nvme", address)]
    size = text(base / "size")
    counts = [text(roots.sys / "fs/ext4" / device.name / "errors_count") for device in devices if device.disk == name]
    return Disk(
        name=name,
        size=int(size) if size.isdigit() else None,
        state=text(base / "device/state") or next(iter(states), ""),
        errors=sum(int(count) for count in counts if count.isdigit()),
    )


def _mountinfo(roots: Roots) -> Iterator[tuple[list[str], list[str]]]:
    """The fields of each mount before and after the dash: proc_pid_mountinfo(5)."""
    for line in lines(roots.proc / "self/mountinfo"):
        left, _dash, right = line.partition(" - ")
        if len(left.split()) > 5 and len(right.split()) > 2:
            yield left.split(), right.split()


def _broken(roots: Roots) -> Iterator[tuple[str, bool]]:
    """(mount point, whether the file system is read-only although it is mounted for writing)."""
    for left, right in _mountinfo(roots):
        yield blocks.unescape(left[4]), "rw" in left[5].split(",") and "ro" in right[2].split(",")


def dead_mounts(roots: Roots) -> tuple[tuple[str, str], ...]:
    """(mount point, device) of what is mounted from a block device that is gone."""
    there = set(names(roots.sys / "dev/block"))
    if not there:
        return ()
    return tuple(
        (blocks.unescape(left[4]), blocks.unescape(right[1]))
        for left, right in _mountinfo(roots)
        if not left[2].startswith("0:") and left[2] not in there
    )
