# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The owner has its drive back, with what was written through two IOMMUs; and the other device still can do harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fabric
import written
from testinfra.host import Host


def test_the_owner_reads_what_the_borrower_wrote(owner: Host, lease: dict[str, Any]) -> None:
    def drive() -> str:
        return owner.run("ls /dev/nvme?n1").stdout.strip()

    node = fabric.until(drive, 30, "the owner has its drive back")
    assert fabric.output(owner, written.read(node)) == written.checksum()


def test_registers_that_a_process_has_kept_are_out_of_its_reach(owner: Host, borrower: Host) -> None:
    address = fabric.declared("probe")["device"]["address"]
    fabric.output(owner, f"python3 /root/kept.py set {address} 0x1")
    assert fabric.output(borrower, "python3 /root/kept.py use") == "0xffffffff 0xffffffff"
    assert fabric.output(owner, f"python3 /root/kept.py get {address}") == "0xfffffffe"


def test_without_the_iommu_the_device_does_reach_memory(owner: Host, page: Callable[[Host], int]) -> None:
    """That it could not while it was lent is the IOMMU's doing."""
    address = fabric.declared("probe")["device"]["address"]
    fabric.output(owner, f"echo identity > /sys/bus/pci/devices/{address}/iommu_group/type")
    fabric.output(owner, f"python3 /root/edu.py {address} write {page(owner):#x}")
    assert fabric.output(owner, "python3 /root/page.py look") == "changed"
