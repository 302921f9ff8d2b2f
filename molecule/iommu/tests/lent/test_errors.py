# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A lent device reports an error to its owner: the lease ends, and the borrower gets a new one."""

from __future__ import annotations

import shlex

import fabric
from testinfra.host import Host

NAME = "card"
# The kernel's own way to have a port report an error: struct aer_error_inj of drivers/pci/pcie/aer_inject.c. No card of
# QEMU reports one by itself.
INJECT = """
import struct, sys
bus, device, function, uncorrectable = (int(word, 16) for word in sys.argv[1:])
with open("/dev/aer_inject", "wb", buffering=0) as file:
    file.write(struct.pack("=BBBxIIIIIII", bus, device, function, uncorrectable, 0, 0, 0, 0, 0, 0))
"""
TIMEOUT = "0x4000"  # a completion did not come in time: PCI_ERR_UNC_COMP_TIME, not fatal


def test_an_error_ends_the_lease(owner: Host, borrower: Host) -> None:
    hosts = {"node-a": owner, "node-b": borrower}
    assert not any(fabric.complaints(hosts).values())
    before = fabric.lease_of(owner, NAME)
    assert before["state"] == "active"

    place = before["address"].replace(".", ":").split(":")[1:]
    fabric.output(owner, "modprobe aer_inject")
    fabric.output(owner, shlex.join(["python3", "-c", INJECT, *place, TIMEOUT]))

    def renewed() -> bool:
        now = fabric.lease_of(owner, NAME)
        return now.get("state") == "active" and now["epoch"] > before["epoch"]

    fabric.until(renewed, 120, "the borrower has a new lease of the device")
    said = f"{before['address']}: the lease is over: the device has reported an error"
    assert said in fabric.output(owner, "dmesg")
    assert "the owner has taken it back" in fabric.output(borrower, "dmesg")
    fabric.until(
        lambda: (fabric.attachment(borrower, NAME) or {}).get("driver") == "e1000e", 120, "its driver has it again"
    )
    for host in hosts.values():
        fabric.mark(host, fabric.WHOLE_AGAIN)
