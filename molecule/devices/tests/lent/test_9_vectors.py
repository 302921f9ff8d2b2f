# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrower gets as many of its owner's vectors as vectors_per_link says; what is more is refused, and harms nothing."""

from __future__ import annotations

from collections.abc import Iterator

import fabric
import interrupts
import pytest
from testinfra.host import Host

pytestmark = pytest.mark.long

MOST = "/sys/module/ntb_lend/parameters/vectors_per_link"
REFUSED = "an interrupt is refused: what the peer borrows takes 1 vectors already"
# Of one owner, the first with interrupts that are relayed, for two borrowers.
NAME, BESIDE = "nvme-small", "nvme"
KIB = 64


def probe_again(host: Host, address: str) -> None:
    """Have the driver of a function let go of it and take it again."""
    fabric.output(host, f"echo {address} >/sys/bus/pci/drivers/nvme/unbind; echo {address} >/sys/bus/pci/drivers_probe")


@pytest.fixture
def owner(hosts: dict[str, Host]) -> Iterator[Host]:
    """The owner, which grants no vector more."""
    host = hosts[fabric.declared(NAME)["owner"]]
    before = fabric.output(host, f"cat {MOST}")
    fabric.output(host, f"echo 1 >{MOST}")
    yield host
    fabric.output(host, f"echo {before} >{MOST}")


@pytest.fixture
def again(hosts: dict[str, Host], addresses: dict[str, str]) -> Iterator[tuple[Host, str]]:
    """The borrower, and where its device is, which works at the end."""
    host, address = hosts[fabric.declared(NAME)["borrower"]], addresses[NAME]
    yield host, address
    probe_again(host, address)
    (disk,) = fabric.until(lambda: fabric.disks(host, address), 60, f"{NAME} has a disk")
    assert interrupts.move_data(host, address, disk, KIB) > 0


def test_one_more_is_refused(
    hosts: dict[str, Host],
    again: tuple[Host, str],
    owner: Host,
    borrowed_disks: dict[str, str],
    addresses: dict[str, str],
) -> None:
    borrower, address = again
    fabric.mark(owner, "no vector more")
    probe_again(borrower, address)
    fabric.until(lambda: REFUSED in fabric.output(owner, "dmesg").rpartition("no vector more")[2], 60, "it is refused")
    assert fabric.disks(borrower, address) == []
    beside = hosts[fabric.declared(BESIDE)["borrower"]]
    assert interrupts.move_data(beside, addresses[BESIDE], borrowed_disks[BESIDE], KIB) > 0
