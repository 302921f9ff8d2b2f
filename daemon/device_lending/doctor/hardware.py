# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reads bridges, IOMMU groups and what the kernel enforces."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from device_lending.doctor.facts import Bridge, Group, Security, Window
from device_lending.pci.nodes import driver_of
from device_lending.pci.ntb import DRIVERS, window_bars
from device_lending.pci.scan import Function
from device_lending.pci.sysfs import Roots, lines, link_name, names, text

# Flags in the `resource` attribute (include/linux/ioport.h).
_MEM, _UNSET = 0x200, 0x20000000
_KEY = re.compile(r"\basymmetri\S*\s+(.*?): [0-9a-f]+: X509")


def bridges(roots: Roots, functions: Iterable[Function]) -> tuple[Bridge, ...]:
    """The NTB functions among `functions`."""
    found = []
    for function in functions:
        bars = window_bars(function.vendor, function.device, function.class_code)
        if bars is not None:
            found.append(_bridge(roots, function, bars))
    return tuple(found)


def _bridge(roots: Roots, function: Function, bars: tuple[int, ...]) -> Bridge:
    address = function.address
    device = roots.sys / "bus/ntb/devices" / address
    windows = (
        _window(index, line)
        for index, line in enumerate(lines(roots.device(address) / "resource")[:6])
        if index in bars
    )
    return Bridge(
        address=address,
        vendor=function.vendor,
        device=function.device,
        family=DRIVERS[function.vendor],
        driver=function.driver,
        client=link_name(device / "driver") if device.exists() else "",
        windows=tuple(window for window in windows if window is not None),
        fixed=bool(bars),
    )


def _window(index: int, line: str) -> Window | None:
    start, end, flags = (int(field, 16) for field in line.split())
    if not flags & _MEM or end <= start:
        return None
    return Window(index, None if flags & _UNSET or start == 0 else start, end - start + 1)


def groups(roots: Roots, functions: Iterable[Function]) -> dict[str, Group]:
    """The IOMMU group of each function that is in one."""
    by_number: dict[str, Group] = {}
    found = {}
    for function in functions:
        number = link_name(roots.device(function.address) / "iommu_group")
        if number is not None:
            if number not in by_number:
                by_number[number] = _group(roots, number)
            found[function.address] = by_number[number]
    return found


def _group(roots: Roots, number: str) -> Group:
    path = roots.sys / "kernel/iommu_groups" / number
    return Group(number, text(path / "type"), {name: driver_of(roots, name) for name in names(path / "devices")})


def iommu_units(roots: Roots) -> tuple[str, ...]:
    """The IOMMUs that the kernel uses."""
    return tuple(names(roots.sys / "class/iommu"))


def firmware_iommu(roots: Roots) -> tuple[str, ...]:
    """The ACPI tables by which the firmware describes an IOMMU, Intel's and AMD's."""
    return tuple(name for name in ("DMAR", "IVRS") if (roots.sys / "firmware/acpi/tables" / name).exists())


def security(roots: Roots) -> Security:
    """What the firmware and the kernel say of signatures."""
    lockdown = re.search(r"\[(\w+)\]", text(roots.sys / "kernel/security/lockdown"))
    enforced = text(roots.sys / "module/module/parameters/sig_enforce")
    keys = tuple(match.group(1) for line in lines(roots.proc / "keys") if (match := _KEY.search(line)))
    return Security(
        secure_boot=_secure_boot(roots.sys / "firmware/efi"),
        lockdown=lockdown.group(1) if lockdown else None,
        signatures_enforced=enforced == "Y" if enforced else None,
        trusted=keys or None,
    )


def _secure_boot(efi: Path) -> bool | None:
    """A variable is four octets of attributes and its value: the UEFI specification, 3.3."""
    if not efi.is_dir():
        return False
    for name in names(efi / "efivars"):
        if name.startswith("SecureBoot-"):
            try:
                return (efi / "efivars" / name).read_bytes()[4:5] == b"\x01"
            except OSError:
                return None
    return None
