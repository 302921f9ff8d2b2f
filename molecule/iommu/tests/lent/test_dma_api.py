# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Each operation of the DMA API over a device whose owner and borrower have IOMMUs."""

from __future__ import annotations

from collections.abc import Iterator

import dma_api
import evidence
import fabric
import pytest
from testinfra.host import Host


@pytest.fixture(scope="module")
def driven(borrower: Host) -> Iterator[Host]:
    """The borrower, with the test driver at the device; other tests want it without one.

    The driver uses the first device it finds, and which was attached first is chance: it may have one only.
    """
    neighbour = fabric.attachment(borrower, "neighbour")
    assert neighbour is not None
    fabric.output(borrower, f"echo none >/sys/bus/pci/devices/{neighbour['address']}/driver_override")
    fabric.output(borrower, "insmod /root/edu_dma.ko")
    yield borrower
    fabric.output(borrower, "rmmod edu_dma")


@pytest.mark.parametrize("operation", [*dma_api.OPERATIONS, "large"])
def test_an_operation_moves_data(driven: Host, operation: str) -> None:
    assert dma_api.run(driven, operation, dma_api.OPERATIONS.get(operation, 0)) == ""


def test_memory_that_the_device_may_only_read_stays_as_it_is(driven: Host) -> None:
    assert not fabric.trouble(driven)
    assert dma_api.run(driven, "readonly", 0) == ""
    assert any("DMA Write" in line for line in fabric.trouble(driven)), "the device has not tried"
    fabric.mark(driven, fabric.WHOLE_AGAIN)


def test_nothing_was_bounced(driven: Host) -> None:
    assert fabric.attachment(driven, "probe")["mappings"]["bounced"] == 0
    evidence.record("probe", "edu")
