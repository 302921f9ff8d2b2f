# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Each allocation of memory fails once: that is an error, nothing is left behind, and the next time it works."""

from __future__ import annotations

import json
import shlex
from typing import Any

import dma_api
import fabric
import pytest
from testinfra.host import Host

PROGRAM = "/root/failing_memory.py"
ENGINE, DRIVE = "engine", "drive"


def turns(host: Host, *words: str) -> dict[str, Any]:
    """What failing_memory.py says."""
    return dict(json.loads(fabric.output(host, f"python3 {PROGRAM} {shlex.join(words)}")))


def alive(host: Host, name: str) -> int:
    """How many mappings of a borrowed device there are."""
    found = fabric.attachment(host, name)
    assert found is not None
    return int(found["mappings"]["alive"])


# With the number each takes.
@pytest.mark.parametrize("operation", ["streaming", "list", "coherent", "noncoherent", "pool"])
def test_mapping(borrower: Host, operation: str) -> None:
    before = alive(borrower, ENGINE)
    found = turns(borrower, "write", f"{dma_api.FILES}/{operation}", str(dma_api.OPERATIONS[operation]))
    assert found["turns"] > 0, "nothing was asked for"
    assert alive(borrower, ENGINE) == before
    assert dma_api.run(borrower, operation, dma_api.OPERATIONS[operation]) == ""


def test_attaching(borrower: Host) -> None:
    fabric.output(borrower, "systemctl stop device-lending-borrowerd")
    fabric.output(borrower, "modprobe -r nvme")
    found = turns(borrower, "attach")
    fabric.output(borrower, "modprobe nvme")
    fabric.output(borrower, "systemctl start device-lending-borrowerd")
    assert found["turns"] > 50, found
    assert "ENOMEM" in found["errors"], found
    fabric.until(lambda: fabric.attachment(borrower, DRIVE), 60, "the daemon knows the device")


def test_lending(owner: Host, borrower: Host) -> None:
    fabric.output(borrower, "systemctl stop device-lending-borrowerd")
    fabric.output(owner, "systemctl stop device-lending-ownerd")
    found = turns(owner, "lend")
    assert found["turns"] > 3, found


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    hosts = {"node-a": owner, "node-b": borrower}
    assert fabric.complaints(hosts) == {name: [] for name in hosts}
