# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Several vectors of MSI through interrupt remapping: each message comes to its own handler, on its own processor."""

from __future__ import annotations

from collections.abc import Iterator

import evidence
import fabric
import interrupts
import messages
import pytest
from testinfra.host import Host

TIMES = [1, 2, 3, 4]  # how often each message is sent: as many as the driver asks for vectors


@pytest.fixture(scope="module")
def place(borrower: Host) -> Iterator[str]:
    """The address of the device that sends messages when told to, with its driver."""
    address = fabric.attachment(borrower, "messages")["address"]
    with messages.driven(borrower, address):
        yield address


def test_each_message_comes_to_its_own_handler(borrower: Host, place: str) -> None:
    assert fabric.attachment(borrower, "messages")["interrupts"] == "msi"
    assert [sum(row) for row in messages.arrivals(borrower, place, TIMES)] == TIMES


@pytest.mark.parametrize("turn", [1, 0])
def test_each_message_goes_to_its_own_processor(borrower: Host, place: str, turn: int) -> None:
    processors = [(vector + turn) % 2 for vector in range(len(TIMES))]
    messages.direct(borrower, processors)
    expected = [[times if here == to else 0 for here in range(2)] for times, to in zip(TIMES, processors, strict=True)]
    assert messages.arrivals(borrower, place, TIMES) == expected


def test_messages_arrive_when_their_processor_has_gone(borrower: Host, place: str) -> None:
    messages.direct(borrower, [1] * len(TIMES))
    with interrupts.without_processor(borrower, 1):
        assert messages.arrivals(borrower, place, TIMES) == [[times] for times in TIMES]
    assert [sum(row) for row in messages.arrivals(borrower, place, TIMES)] == TIMES
    evidence.record("messages", "xhci-msi")
