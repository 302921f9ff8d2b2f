# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The device is back with its owner, with the owner's own driver and with what the borrower wrote."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import fabric
import pattern
from testinfra.host import Host


def node(owner: Host, lease: dict[str, Any]) -> str:
    """The block device of the drive on its owner."""
    script = Path(pattern.__file__).read_text(encoding="utf-8").replace("if __name__", "if False and __name__")
    script += f"\nprint(drive({lease['device']['serial']!r}))\n"
    return fabric.output(owner, f"python3 -c {shlex.quote(script)}")


def test_the_borrower_has_nothing_left(borrower: Host, lease: dict[str, Any]) -> None:
    assert fabric.attachment(borrower, lease["name"]) is None
    assert lease["device"]["serial"] not in fabric.output(borrower, "cat /sys/class/nvme/nvme*/serial || true")
    domains = fabric.output(borrower, "ls /sys/bus/pci/devices").split()
    assert [address for address in domains if len(address.split(":")[0]) > 4] == []


def test_nothing_is_granted(owner: Host) -> None:
    assert fabric.ask(owner, "ownerd", "grants") == []
    assert fabric.ask(owner, "ownerd", "leases") == []


def test_the_owner_has_its_own_driver_back(owner: Host, lease: dict[str, Any]) -> None:
    devices = [
        device
        for device in fabric.ask(owner, "ownerd", "devices")
        if device["serial"] == lease["device"]["serial"] or device["driver"] == "nvme"
    ]
    assert [device["driver"] for device in devices] == ["nvme"]
    assert fabric.is_block(owner, node(owner, lease))


def test_the_pattern_and_what_the_borrower_wrote_are_on_it(owner: Host, lease: dict[str, Any]) -> None:
    path = node(owner, lease)
    command = f"dd if={path} bs=1M count={pattern.BLOCKS} iflag=direct status=none | sha256sum"
    assert fabric.output(owner, command).split()[0] == pattern.checksum()
    read = fabric.output(
        owner, f"dd if={path} bs=512 skip={pattern.BLOCKS * 2048} count=1 iflag=direct status=none | head -c 23"
    )
    assert read == "written by the borrower"


def test_no_kernel_complains(owner: Host, borrower: Host) -> None:
    assert fabric.trouble(owner) == []
    assert fabric.trouble(borrower) == []
