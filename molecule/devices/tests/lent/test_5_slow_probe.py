# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A driver whose probe does not end holds up its own device and nobody else, and the daemon may go and come meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dma_api
import fabric
import pytest
from testinfra.host import Host

pytestmark = pytest.mark.long

NAME = "edu"
PARAMETERS = "/sys/module/edu_dma/parameters"
# It registers a family of generic netlink: who does that waits for all requests to all families.
REGISTERS = "wireguard"


def state(borrower: Host) -> str:
    """What the borrower's daemon says of the attachment."""
    found = fabric.attachment(borrower, NAME)
    return str(found["state"]) if found else ""


@pytest.fixture
def held(hosts: dict[str, Host]) -> Iterator[Host]:
    """The borrower, on which the driver's probe waits until the test is over."""
    lease = fabric.declared(NAME)
    borrower = hosts[lease["borrower"]]
    fabric.output(borrower, f"devlend return {NAME}")
    fabric.output(borrower, f"echo Y >{PARAMETERS}/hold")
    fabric.output(borrower, f"devlend borrow {NAME} --owner {lease['owner']} --wait 0")
    try:
        fabric.until(lambda: fabric.output(borrower, f"cat {PARAMETERS}/held") == "1", 60, "the probe waits")
        yield borrower
    finally:
        fabric.output(borrower, f"echo N >{PARAMETERS}/hold")

    def attached() -> dict[str, Any] | None:
        found = fabric.attachment(borrower, NAME)
        return found if found and found["state"] == "attached" and found["driver"] == "edu_dma" else None

    fabric.until(attached, 60, "it is attached when its probe has ended")
    assert dma_api.run(borrower, "streaming", 0) == ""


def test_others_use_generic_netlink_meanwhile(held: Host) -> None:
    fabric.output(held, f"timeout 120 modprobe {REGISTERS} && modprobe -r {REGISTERS}")
    assert state(held) == "attaching"
    assert fabric.output(held, f"cat {PARAMETERS}/held") == "1"


def test_the_daemon_comes_back_meanwhile(held: Host) -> None:
    before = fabric.attachment(held, NAME)
    fabric.output(held, "timeout 120 systemctl restart device-lending-borrowerd")
    # Asked, its owner gives it the same lease again.
    fabric.until(lambda: state(held) == "attaching", 60, "it is still being attached")
    after = fabric.attachment(held, NAME)
    assert before and after and after["epoch"] == before["epoch"]
    assert fabric.output(held, f"cat {PARAMETERS}/held") == "1"
