# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Telling a machine that goes on from a saved state who it is, and what time."""

from __future__ import annotations

import shlex
import time
import uuid
from pathlib import Path

from . import access, qemu
from .errors import LabError
from .topology import Host, Topology

MACHINE_IDS = uuid.UUID("6b0e2c53-6a0f-4c8b-9d6e-0a53bb1f6f5e")
PROGRAM = "/usr/local/lib/lab/identity"


def words(topology: Topology, host: Host) -> list[str]:
    """Who a host is, as the command line of its kernel says it."""
    return qemu.identity_words(topology, host, uuid.uuid5(MACHINE_IDS, host.name).hex)


def tell(directory: Path, topology: Topology, host: Host) -> None:
    """Tell a running host who it is: what it would have read at its boot. Raises LabError."""
    said = " ".join([*words(topology, host), f"lab.time={time.time():.0f}"])
    result = access.ssh(directory, host.name, ["sh", PROGRAM, shlex.quote(said)], capture=True)
    if result.returncode:
        raise LabError(f"{host.name} does not take its name: exit status {result.returncode}\n{result.stderr}")
