# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A lent device reports an error to its owner: the lease ends, and the borrower gets a new one."""

from __future__ import annotations

from typing import Any

import fabric
from testinfra.host import Host

from lab import qmp

CARD = "dev5"  # QEMU's name of the card, see lab.yml
NAME = "card"
ERROR = "COMP_TIME"  # a completion that did not come in time


def lease_of(owner: Host) -> dict[str, Any]:
    """The lease of the card."""
    return next((lease for lease in fabric.ask(owner, "ownerd", "leases") if lease["name"] == NAME), {})


def test_an_error_ends_the_lease(owner: Host, borrower: Host) -> None:
    hosts = {"node-a": owner, "node-b": borrower}
    assert not any(fabric.complaints(hosts).values())
    before = lease_of(owner)
    assert before["state"] == "active"

    with qmp.session(fabric.STATE / "node-a" / "qmp.sock") as session:
        session.execute("human-monitor-command", **{"command-line": f"pcie_aer_inject_error {CARD} {ERROR}"})

    def renewed() -> bool:
        now = lease_of(owner)
        return now.get("state") == "active" and now["epoch"] > before["epoch"]

    fabric.until(renewed, 120, "the borrower has a new lease of the device")
    said = f"{before['address']}: the lease is over: the device has reported an error"
    assert said in fabric.output(owner, "dmesg")
    assert "the owner has taken it back" in fabric.output(borrower, "dmesg")
    found = fabric.until(lambda: fabric.attachment(borrower, NAME), 60, "it is attached")
    fabric.until(
        lambda: (fabric.attachment(borrower, NAME) or {}).get("driver") == found["driver"] == "e1000e",
        60,
        "its driver has it again",
    )
    for host in hosts.values():
        fabric.mark(host, fabric.WHOLE_AGAIN)
