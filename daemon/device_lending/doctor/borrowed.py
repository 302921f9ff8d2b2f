# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What this host's drivers made of borrowed devices: nodes, disks, file systems. Pure."""

from __future__ import annotations

from collections.abc import Callable

from device_lending.doctor.facts import Borrowed, Facts
from device_lending.doctor.finding import DRIVER, FILE_SYSTEM, NODES, NOT_APPLICABLE, OK, WRONG, Finding

_LIVE = ("", "live", "running")


def _each(facts: Facts, stage: str, check: Callable[[Borrowed], Finding]) -> list[Finding]:
    nothing = Finding(stage, NOT_APPLICABLE, "no borrowed device is here")
    return [check(device) for device in facts.borrowed] or [nothing]


def driver(facts: Facts) -> list[Finding]:
    """Whether a driver has each borrowed device."""

    def check(device: Borrowed) -> Finding:
        if device.driver is not None:
            return Finding(DRIVER, OK, f"{device.address}: {device.driver}")
        advice = f"modprobe $(cat /sys/bus/pci/devices/{device.address}/modalias); journalctl -k -g {device.address}"
        return Finding(DRIVER, WRONG, f"no driver has taken {device.address}", advice)

    return _each(facts, DRIVER, check)


def nodes(facts: Facts) -> list[Finding]:
    """Whether each borrowed device has what its users open."""

    def check(device: Borrowed) -> Finding:
        if device.driver is None:
            return Finding(NODES, NOT_APPLICABLE, f"{device.address} has no driver")
        if not device.complete:
            what = "no disk" if device.nodes else "no device node"
            text = f"{device.driver} has made {what} of {device.address}"
            return Finding(NODES, WRONG, text, f"journalctl -k -g {device.address} says why", device.nodes)
        if device.missing:
            text = f"{', '.join(device.missing)} of {device.address} are not in /dev"
            return Finding(NODES, WRONG, text, "systemctl restart systemd-udevd, then udevadm trigger", device.nodes)
        return Finding(NODES, OK, f"{device.address}: {', '.join(device.nodes)}")

    return _each(facts, NODES, check)


def file_systems(facts: Facts) -> list[Finding]:
    """Whether the disks of borrowed devices answer, and what is mounted from them works."""
    found = []
    for point, source in facts.dead_mounts:
        text = f"{point} is mounted from {source}, which is not there any more"
        found.append(Finding(FILE_SYSTEM, WRONG, text, f"umount {point}, or umount -l {point} if it is in use"))
    for device in facts.borrowed:
        found += _file_systems(device)
    return found or [Finding(FILE_SYSTEM, NOT_APPLICABLE, "no disk is borrowed")]


def _file_systems(device: Borrowed) -> list[Finding]:
    found = []
    for disk in device.disks:
        if disk.state not in _LIVE:
            text = f"the controller of {disk.name} is {disk.state}"
            found.append(Finding(FILE_SYSTEM, WRONG, text, f"journalctl -k -g {device.address} says why"))
        elif disk.size == 0:
            text = f"{disk.name} has no size"
            found.append(Finding(FILE_SYSTEM, WRONG, text, f"journalctl -k -g {device.address} says why"))
        elif disk.errors:
            text = f"the file system on {disk.name} has counted {disk.errors} errors"
            found.append(Finding(FILE_SYSTEM, WRONG, text, f"umount it, then fsck /dev/{disk.name}"))
    for mount in device.mounts:
        if mount.broken:
            text = f"{mount.point} has turned read-only after an error of {mount.device}"
            advice = f"umount {mount.point}, fsck /dev/{mount.device}, and mount it again"
            found.append(Finding(FILE_SYSTEM, WRONG, text, advice))
    if found or not device.disks:
        return found
    mounted = [f"{mount.device} at {mount.point}" for mount in device.mounts]
    names = ", ".join(disk.name for disk in device.disks)
    return [Finding(FILE_SYSTEM, OK, f"mounted: {', '.join(mounted)}" if mounted else f"{names}: nothing is mounted")]
