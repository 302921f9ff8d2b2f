# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether an IOMMU translates what a function sends. One that is there need not: its groups tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .nodes import driver_of
from .scan import Function
from .sysfs import Roots, lines, link_name, names, text

# The types of a group whose devices an IOMMU translates: Documentation/ABI/testing/sysfs-kernel-iommu_groups.
TRANSLATED = ("DMA", "DMA-FQ")
# What ntb_lend registers for borrowed devices in user space: no hardware.
OURS = "ntb_lend"
# What drives a function that this host does not use: nobody, ntb_lend for its borrower, a bridge's driver (it does no DMA).
_NO_USER = (None, "pcieport", "ntb_lend")
_APART = "plug it into a slot behind another root port"
_TABLES = {"DMAR": "Intel", "IVRS": "AMD"}
_AMD = ("AuthenticAMD", "HygonGenuine")
_PASSTHROUGH = re.compile(r"\b(iommu=pt|iommu\.passthrough=(?:1|on|y|yes))(?=\s|$)")


@dataclass(frozen=True)
class Group:
    """An IOMMU group: its type as sysfs has it, "" when it cannot be read, and its functions with their drivers."""

    number: str
    kind: str
    members: Mapping[str, str | None]

    @property
    def translated(self) -> bool:
        """Whether an IOMMU translates what its devices send."""
        return self.kind in TRANSLATED


@dataclass(frozen=True)
class Iommu:
    """`units`: those that the kernel uses; `tables`: by which ACPI tables the firmware describes one, Intel's DMAR and
    AMD's IVRS; `vendor`: Intel, AMD or "", whose it is or would be; `passthrough`: what of the kernel's command line
    turns translation off, or ""; `groups`: by the addresses of functions.
    """

    units: tuple[str, ...]
    tables: tuple[str, ...]
    vendor: str
    passthrough: str
    groups: Mapping[str, Group]

    def translates(self, address: str) -> bool:
        """Whether an IOMMU translates what a function sends."""
        return address in self.groups and self.groups[address].translated

    def wrong(self, address: str, what: str, is_bridge: bool) -> tuple[str, str] | None:
        """Why `what`, the function at `address`, is not contained, and what to do; None where it is."""
        if not self.units:
            return self._missing()
        group = self.groups.get(address)
        if group is None:
            return f"{what} {address} is in no IOMMU group", "update the firmware, or use another slot"
        if not group.translated:
            text = f"the IOMMU does not translate {what} {address}: its group has the type {group.kind or 'unknown'}"
            return text, f"boot without {self.passthrough}" if self.passthrough else "boot with iommu.passthrough=0"
        others = [f"{other} ({group.members[other]})" for other in self.neighbours(address)]
        if others:
            text = f"{what} {address} shares its IOMMU group with {', '.join(others)}"
            return text, _APART if is_bridge else f"{_APART}, or lend all of them to one host, with reserve: true"
        return None

    def neighbours(self, address: str) -> list[str]:
        """The others of a function's group that this host uses."""
        group = self.groups.get(address)
        members = group.members.items() if group else ()
        return sorted(other for other, driver in members if other != address and driver not in _NO_USER)

    def _missing(self) -> tuple[str, str]:
        text = "no IOMMU is in use"
        if self.tables:
            text += f", although the firmware describes one ({', '.join(self.tables)})"
        if self.vendor == "AMD":
            boot = "boot without amd_iommu=off and iommu=off"
            return text, boot if self.tables else f"turn it on in the firmware (AMD-Vi, or IOMMU), and {boot}"
        boot = "boot with intel_iommu=on, and without iommu=off"
        if self.vendor == "Intel":
            return text, boot if self.tables else f"turn it on in the firmware (VT-d), and {boot}"
        return text, "turn it on in the firmware, and boot without iommu=off"


def read(roots: Roots, functions: Iterable[Function]) -> Iommu:
    """What there is on a host, with the groups of `functions`."""
    tables = roots.sys / "firmware/acpi/tables"
    passthrough = _PASSTHROUGH.search(text(roots.proc / "cmdline"))
    return Iommu(
        units=tuple(name for name in names(roots.sys / "class/iommu") if name != OURS),
        tables=tuple(name for name in _TABLES if (tables / name).exists()),
        vendor=_vendor(roots, tables),
        passthrough=passthrough[1] if passthrough else "",
        groups=_groups(roots, functions),
    )


def _vendor(roots: Roots, tables: Path) -> str:
    for table, vendor in _TABLES.items():
        if (tables / table).exists():
            return vendor
    for line in lines(roots.proc / "cpuinfo"):
        name, _colon, value = line.partition(":")
        if name.strip() == "vendor_id":
            return "AMD" if value.strip() in _AMD else "Intel" if value.strip() == "GenuineIntel" else ""
    return ""


def _groups(roots: Roots, functions: Iterable[Function]) -> dict[str, Group]:
    """The group of each function that is in one."""
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
