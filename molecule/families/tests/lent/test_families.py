# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Over each kind of bridge a borrowed drive works, with interrupts and DMA the way its windows demand."""

from __future__ import annotations

from typing import Any

import evidence
import fabric
import pattern
import pytest
import written

from lab.ntb.families import FAMILIES

TOPOLOGY = fabric.topology()
INTERRUPT_CONTROLLER_END = 0xFEF00000
VERIFY = (
    "fio --name=verify --filename={node} --offset=100m --size=64k --rw=randwrite --bs=4k --direct=1 "
    "--ioengine=libaio --iodepth=4 --verify=crc32c --verify_fatal=1"
)


class Borrowed:
    """A lease, its two hosts, the attachment, and the link as the borrower and as the lab know it."""

    def __init__(self, lease: dict[str, Any]) -> None:
        self.name = lease["name"]
        self.owner = fabric.connect(lease["owner"])
        self.borrower = fabric.connect(lease["borrower"])
        self.memory = TOPOLOGY.host(lease["borrower"]).memory << 20
        (link,) = TOPOLOGY.links_of(lease["borrower"])
        self.bridge = FAMILIES[link.bridge](tuple(size << 20 for size in link.windows))
        (self.link,) = fabric.ask(self.borrower, "borrowerd", "links")
        found = fabric.attachment(self.borrower, self.name)
        assert found is not None, f"{lease['borrower']} knows no attachment {self.name}"
        assert found["state"] == "attached", found
        self.found = found

    @property
    def window(self) -> int:
        """How much of the borrower's memory the owner's devices can see."""
        return max(self.bridge.window_sizes)

    @property
    def node(self) -> str:
        """The block device on the borrower."""
        return str(self.found["nodes"][0])


@pytest.fixture(scope="module", params=fabric.leases(), ids=lambda lease: lease["name"])
def borrowed(request: pytest.FixtureRequest) -> Borrowed:
    """Each lease of the lab."""
    return Borrowed(request.param)


def test_the_kernels_own_driver_has_the_bridge(borrowed: Borrowed) -> None:
    path = f"/sys/bus/pci/devices/{borrowed.link['ntb']}/driver"
    assert fabric.output(borrowed.borrower, f"basename $(readlink {path})") == borrowed.bridge.driver


def test_memory_is_mapped_as_the_window_demands(borrowed: Borrowed) -> None:
    assert borrowed.link["dma"] == ("direct" if borrowed.memory <= borrowed.window else "bounce")


def test_interrupts_take_the_way_that_the_window_leaves(borrowed: Borrowed) -> None:
    direct = borrowed.window >= INTERRUPT_CONTROLLER_END
    assert borrowed.found["interrupts"] == ("msi-x" if direct else "msi-relayed")


def test_the_pattern_of_the_owner_is_on_it(borrowed: Borrowed) -> None:
    before = fabric.interrupts(borrowed.borrower, borrowed.found["address"])
    command = f"dd if={borrowed.node} bs=64k count={pattern.BLOCK >> 16} iflag=direct status=none | sha256sum"
    assert fabric.output(borrowed.borrower, command).split()[0] == pattern.checksum(1)
    after = fabric.interrupts(borrowed.borrower, borrowed.found["address"])
    assert sum(after.values()) >= sum(before.values()) + (pattern.BLOCK >> 16)


def test_what_is_written_can_be_read(borrowed: Borrowed) -> None:
    fabric.output(borrowed.borrower, written.write(borrowed.node))
    assert fabric.output(borrowed.borrower, written.read(borrowed.node)) == written.checksum()


def test_random_writes_are_verified(borrowed: Borrowed) -> None:
    fabric.output(borrowed.borrower, VERIFY.format(node=borrowed.node))
    evidence.record(borrowed.name, "nvme")


def test_no_kernel_complains(borrowed: Borrowed) -> None:
    assert fabric.trouble(borrowed.owner) == []
    assert fabric.trouble(borrowed.borrower) == []
