# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Reads all facts of this host."""

from __future__ import annotations

from collections.abc import Mapping

from device_lending import config
from device_lending.client import Client
from device_lending.doctor import answers, modfiles, volumes
from device_lending.doctor.facts import Facts
from device_lending.doctor.places import Places
from device_lending.doctor.serials import known_serials
from device_lending.doctor.tools import Runner
from device_lending.pci import bridges, iommu, security
from device_lending.pci.scan import Scanner
from device_lending.pci.sysfs import text


def read(places: Places, clients: Mapping[str, Client], runner: Runner) -> Facts:
    """The facts. Never raises for what is missing on the host."""
    roots = places.roots
    functions = Scanner(roots).scan()
    release = text(roots.proc / "sys/kernel/osrelease")
    settings, problem, denied = _config(places.config)
    answered = answers.ask(clients)
    found = bridges.bridges(roots, functions)
    told = {row["address"] for row in answered.rows("attachments", "borrowerd") or []}
    return Facts(
        release=release,
        functions=len(functions),
        overridden={row.address: row.driver for row in functions if row.override == "ntb_lend"},
        bridges=found,
        iommu=iommu.read(roots, functions),
        security=security.read(roots),
        modules=modfiles.read(roots, places.modules, release, runner),
        borrowed=volumes.borrowed(roots, [bridge.address for bridge in found], told),
        dead_mounts=volumes.dead_mounts(roots),
        config=settings,
        config_problem=problem,
        config_denied=denied,
        answers=answered,
        serials=known_serials(roots, functions, answered),
    )


def _config(path: str) -> tuple[config.Config | None, str, bool]:
    """The configuration, or why it cannot be used, and whether only for want of permission."""
    try:
        return config.load(path), "", False
    except ImportError:
        return None, "python3-yaml is not installed, without which the daemons cannot read their configuration", False
    except config.ConfigError as error:
        return None, str(error), isinstance(error.__cause__, PermissionError)
