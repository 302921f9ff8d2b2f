# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the checks judge. Read by the modules beside this one; nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from device_lending.config import Config

_DAEMONS = ("ownerd", "borrowerd")
# The types of an IOMMU group whose devices an IOMMU translates: Documentation/ABI/testing/sysfs-kernel-iommu_groups.
_TRANSLATED = ("DMA", "DMA-FQ")


@dataclass(frozen=True)
class Window:
    """A BAR that is a window; `start` is None when it has no address. Octets."""

    index: int
    start: int | None
    size: int


@dataclass(frozen=True)
class Group:
    """An IOMMU group: its type as sysfs has it, "" when it cannot be read, and its functions with their drivers."""

    number: str
    kind: str
    members: Mapping[str, str | None]

    @property
    def translated(self) -> bool:
        """Whether an IOMMU translates what its devices send."""
        return self.kind in _TRANSLATED


@dataclass(frozen=True)
class Bridge:
    """An NTB function. `family` is the driver that Linux has for it, `driver` the one it has, `client` who uses it.

    `client` is None without one, and "" when the kernel shows no NTB device for the function. `fixed`: which BARs are
    windows is known.
    """

    address: str
    vendor: str
    device: str
    family: str
    driver: str | None
    client: str | None
    windows: tuple[Window, ...]
    fixed: bool


@dataclass(frozen=True)
class Security:
    """Secure Boot, lockdown and signatures; None is what cannot be read."""

    secure_boot: bool | None
    lockdown: str | None
    signatures_enforced: bool | None
    trusted: tuple[str, ...] | None

    @property
    def enforced(self) -> list[str]:
        """Why the kernel refuses modules without a signature, in words; empty when it does not."""
        found = [f"the kernel is locked down ({self.lockdown})"] if self.lockdown not in (None, "none") else []
        return found + (["module signatures are enforced"] if self.signatures_enforced else [])


@dataclass(frozen=True)
class ModuleFile:
    """A module that was installed for a kernel. `built_for` is what it says itself; `signed` is None when unknown."""

    name: str
    path: str
    release: str
    built_for: str
    srcversion: str
    signed: bool | None
    signer: str
    indexed: bool


@dataclass(frozen=True)
class Modules:
    """`loaded`: module -> srcversion; `files`: what was installed besides the kernels' own modules; `there`: all that
    modprobe finds for the running kernel, or None; `parameters`: those of ntb_lend; `releases`: kernels installed.
    """

    loaded: Mapping[str, str]
    files: tuple[ModuleFile, ...]
    there: frozenset[str] | None
    parameters: Mapping[str, str]
    releases: tuple[str, ...]


@dataclass(frozen=True)
class Disk:
    """A disk of a borrowed device. `size` in sectors of 512 octets; `errors` are those that ext4 has counted."""

    name: str
    size: int | None
    state: str
    errors: int


@dataclass(frozen=True)
class Mount:
    """`broken`: the file system turned read-only by itself, while it was mounted for writing."""

    point: str
    device: str
    broken: bool


@dataclass(frozen=True)
class Borrowed:
    """A peer's device as this host's sysfs shows it. `missing` are nodes that are not in /dev."""

    address: str
    driver: str | None
    nodes: tuple[str, ...]
    complete: bool
    missing: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True)
class Answers:
    """What the daemons answered: daemon -> request -> rows or document; `silent`: daemon -> why it does not answer.

    `denied` daemons do not answer for want of permission. `refused`: "daemon request" -> why that failed.
    """

    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    denied: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)

    def rows(self, what: str, *daemons: str) -> list[dict[str, Any]] | None:
        """The list of the first of the daemons that gave one, of any if none is named; None when none did."""
        for daemon in daemons or _DAEMONS:
            rows = self.documents.get(daemon, {}).get(what)
            if rows is not None:
                return list(rows)
        return None


@dataclass(frozen=True)
class Facts:
    """All of a host. `firmware_iommu` are ACPI tables that describe one; `groups` are by PCI function.

    `overridden` are functions with a driver_override of ours, and the drivers they have.
    `dead_mounts`: (mount point, device) whose device is not there any more. `config` is None when it cannot be used;
    `config_problem` says why, `config_denied` whether for want of permission.
    """

    release: str
    functions: int
    overridden: Mapping[str, str | None]
    bridges: tuple[Bridge, ...]
    iommu_units: tuple[str, ...]
    firmware_iommu: tuple[str, ...]
    groups: Mapping[str, Group]
    security: Security
    modules: Modules
    borrowed: tuple[Borrowed, ...]
    dead_mounts: tuple[tuple[str, str], ...]
    config: Config | None
    config_problem: str
    config_denied: bool
    answers: Answers
    serials: frozenset[str]

    def translated(self, address: str) -> bool:
        """Whether an IOMMU translates what a function sends."""
        return address in self.groups and self.groups[address].translated

    def link(self, bridge: str) -> dict[str, Any] | None:
        """The link of a bridge as a daemon tells it, None when none does."""
        return next((row for row in self.answers.rows("links") or [] if row["ntb"] == bridge), None)
