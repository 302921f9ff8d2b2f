# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A lent device is contained as long as this host uses nothing of its IOMMU group, and not a moment longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fabric
import pytest
from testinfra.host import Host

NAME, ADDRESS = "neighbour", "0000:04:00.0"
OTHER = "0000:04:00.1"  # a card of the owner, in the same group: see lab.yml
REQUIRED = "/sys/module/ntb_lend/parameters/require_iommu"


def attached(borrower: Host) -> bool:
    """Whether the borrower has the device."""
    return (fabric.attachment(borrower, NAME) or {}).get("state") == "attached"


def bind(owner: Host, how: str) -> None:
    """Have the card's own driver bind or unbind it."""
    fabric.output(owner, f"echo {OTHER} > /sys/bus/pci/drivers/e1000e/{how}")


@pytest.fixture
def alone(owner: Host, borrower: Host) -> Iterator[dict[str, Any]]:
    """A lease that began while the owner did not use the card. The card is its owner's again afterwards."""
    bind(owner, "unbind")
    fabric.output(borrower, f"devlend return {NAME}")
    fabric.output(borrower, f"devlend borrow {NAME} --owner node-a --wait 0")
    fabric.until(lambda: attached(borrower), 120, "the device is lent anew")
    yield fabric.lease_of(owner, NAME)
    if owner.run(f"test -e /sys/bus/pci/devices/{OTHER}/driver").rc:
        bind(owner, "bind")


def test_a_neighbour_that_comes_later_counts(owner: Host, borrower: Host, alone: dict[str, Any]) -> None:
    assert alone["contained"] is True
    bind(owner, "bind")
    now = fabric.lease_of(owner, NAME)
    assert (now["epoch"], now["contained"]) == (alone["epoch"], False)
    assert f"{ADDRESS}: is not contained any more: this host uses {OTHER} of its IOMMU group" in fabric.output(
        owner, "dmesg"
    )
    assert attached(borrower)


def test_it_ends_the_lease_where_an_iommu_is_required(owner: Host, borrower: Host, alone: dict[str, Any]) -> None:
    fabric.output(owner, f"echo Y > {REQUIRED}")
    try:
        bind(owner, "bind")
        fabric.until(lambda: not attached(borrower), 60, "the borrower has lost the device")
        fabric.until(lambda: fabric.lease_of(owner, NAME).get("epoch") != alone["epoch"], 60, "its lease is over")
    finally:
        fabric.output(owner, f"echo N > {REQUIRED}")
    fabric.until(lambda: attached(borrower), 120, "the device is lent again")
