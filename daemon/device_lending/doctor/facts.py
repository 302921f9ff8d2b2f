# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the checks judge. Read by the modules beside this one; nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from device_lending.config import Config
from device_lending.pci.bridges import Bridge
from device_lending.pci.iommu import Iommu
from device_lending.pci.security import Security

_DAEMONS = ("ownerd", "borrowerd")


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
    """All of a host.

    `overridden` are functions with a driver_override of ours, and the drivers they have.
    `dead_mounts`: (mount point, device) whose device is not there any more. `config` is None when it cannot be used;
    `config_problem` says why, `config_denied` whether for want of permission.
    """

    release: str
    functions: int
    overridden: Mapping[str, str | None]
    bridges: tuple[Bridge, ...]
    iommu: Iommu
    security: Security
    modules: Modules
    borrowed: tuple[Borrowed, ...]
    dead_mounts: tuple[tuple[str, str], ...]
    config: Config | None
    config_problem: str
    config_denied: bool
    answers: Answers
    serials: frozenset[str]

    def link(self, bridge: str) -> dict[str, Any] | None:
        """The link of a bridge as a daemon tells it, None when none does."""
        return next((row for row in self.answers.rows("links") or [] if row["ntb"] == bridge), None)
