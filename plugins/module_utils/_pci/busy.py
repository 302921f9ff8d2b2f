# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Why a function is in use on this host: mounted, swapped on, held, exported, opened, carrying network."""

from __future__ import annotations

import errno
import os

from . import exports, interfaces, opened
from .blocks import BlockDevice, block_devices, mounts, unescape
from .sysfs import Roots, lines, real, text

_ROOT_MOUNTS = ("/", "/boot", "/boot/efi", "/usr")


def reasons(roots: Roots, address: str, probe: bool = True) -> list[str]:
    """Why the function is in use, in words; empty when nothing uses it.

    With `probe` its disks and its VFIO group are opened for a moment, and all processes are looked at. A view should not ask
    for that: somebody's mount that falls into this moment would fail.
    """
    behind = _takes_along(roots, address)
    devices = block_devices(roots, address, behind)
    here = mounts(roots, devices)
    found = [f"{device.name} is mounted at {point}" for point, device in here]
    found += _swaps(roots, devices)
    for device in devices:
        if device.name != device.disk and not (roots.sys / "class/block" / device.name / "partition").exists():
            found.append(f"{device.disk} is part of {_mapped_name(roots, device.name)}")
    found += exports.uses(roots, address, devices)
    if probe:
        found += [] if here else opened.mounted_elsewhere(roots, devices)
        if not found:
            held = [disk for disk in sorted({device.disk for device in devices}) if _exclusive(roots, disk)]
            found = [f"{disk} is opened exclusively by a program, or by ZFS" for disk in held]
        found += opened.uses(roots, address)
    return list(dict.fromkeys(found)) + interfaces.uses(roots, address, behind)


def holds_root(roots: Roots, address: str) -> list[str]:
    """Mount points among /, /boot, /boot/efi and /usr that are on the function, or anywhere behind it."""
    devices = block_devices(roots, address, _takes_along(roots, address))
    return sorted({point for point, _device in mounts(roots, devices) if point in _ROOT_MOUNTS})


def _takes_along(roots: Roots, address: str) -> bool:
    """Whether functions behind it go with it, as drives do that are behind a VMD controller. Bridges are never lent."""
    return not text(roots.device(address) / "class").startswith("0x06")


def _swaps(roots: Roots, devices: list[BlockDevice]) -> list[str]:
    named = {device.name for device in devices}
    found = []
    for line in lines(roots.proc / "swaps")[1:]:
        path = unescape(line.split()[0]) if line.split() else ""
        if os.path.basename(real(path)) in named or os.path.basename(path) in named:
            found.append(f"{os.path.basename(path)} is used as swap")
    return found


def _mapped_name(roots: Roots, name: str) -> str:
    mapped = text(roots.sys / "class/block" / name / "dm/name") or text(roots.sys / "block" / name / "dm/name")
    return f"{mapped} ({name})" if mapped else name


def _exclusive(roots: Roots, disk: str) -> bool:
    """Whether somebody holds the disk with O_EXCL, as file systems, md, dm, ZFS and careful programs do."""
    try:
        os.close(os.open(roots.dev / disk, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False
