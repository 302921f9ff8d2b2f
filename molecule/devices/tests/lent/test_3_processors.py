# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Interrupts follow their processors: set to another one, or when one goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import evidence
import fabric
import interrupts
import messages
import networks
import pytest
from testinfra.host import Host
from together import together

KIB = 512


def taken(host: Host, address: str) -> list[int]:
    """How many interrupts of a function each processor took."""
    return [sum(counts) for counts in zip(*interrupts.per_processor(host, address).values(), strict=True)]


@pytest.fixture
def move(
    hosts: dict[str, Host], addresses: dict[str, str], borrowed_disks: dict[str, str], cards: None
) -> dict[str, Callable[[], object]]:
    """What moves data over a borrowed device of node-b, by the name of the lease."""
    host = hosts["node-b"]
    return {
        "e1000e": partial(networks.move_data, host, "e1000e", 4 * KIB),
        "scsi": partial(interrupts.move_data, host, addresses["scsi"], borrowed_disks["scsi"], 4 * KIB),
    }


@pytest.mark.long
@pytest.mark.parametrize("name", [pytest.param("e1000e", id="msi-x"), pytest.param("scsi", id="msi")])
def test_affinity_changes_while_data_moves(
    hosts: dict[str, Host], addresses: dict[str, str], move: dict[str, Callable[[], object]], name: str
) -> None:
    host, place = hosts["node-b"], addresses[name]
    numbers = list(fabric.interrupts(host, place))
    before = taken(host, place)

    def turn() -> None:
        for processor in (1, 0):
            interrupts.direct(host, numbers, processor)
            time.sleep(0.5)

    together(move[name], meanwhile=turn)
    after = taken(host, place)
    assert all(new > old for new, old in zip(after, before, strict=True)), (before, after)


@pytest.mark.long
def test_a_processor_goes_while_data_moves(
    hosts: dict[str, Host], addresses: dict[str, str], borrowed_disks: dict[str, str], cards: None
) -> None:
    host = hosts["node-b"]
    turns = []

    def turn() -> None:
        for state in (0, 1):
            fabric.output(host, f"echo {state} >/sys/devices/system/cpu/cpu1/online")
            turns.append(state)

    disks = [
        partial(interrupts.move_data, host, addresses[name], borrowed_disks[name], KIB) for name in ("nvme", "usb")
    ]
    together(*disks, partial(networks.move_data, host, "e1000e", 4 * KIB), meanwhile=turn)
    assert turns.count(0) >= 2


@pytest.fixture(scope="module")
def sender(hosts: dict[str, Host], addresses: dict[str, str]) -> Iterator[tuple[Host, str]]:
    """The borrower and the address of a device that sends messages when told to; its driver asks for four vectors."""
    host, place = hosts["node-b"], addresses["usb-msi"]
    with messages.driven(host, place):
        yield host, place


def test_without_interrupt_remapping_there_is_one_vector_of_msi(sender: tuple[Host, str]) -> None:
    host, place = sender
    assert fabric.attachment(host, "usb-msi")["interrupts"] == "msi"
    assert [sum(row) for row in messages.arrivals(host, place, [3])] == [3]


@pytest.mark.parametrize("processor", [1, 0])
def test_a_message_goes_to_its_processor(sender: tuple[Host, str], processor: int) -> None:
    host, place = sender
    messages.direct(host, [processor])
    assert messages.arrivals(host, place, [3]) == [[3 if here == processor else 0 for here in range(2)]]


def test_messages_arrive_when_their_processor_has_gone(sender: tuple[Host, str]) -> None:
    host, place = sender
    messages.direct(host, [1])
    with interrupts.without_processor(host, 1):
        assert messages.arrivals(host, place, [3]) == [[3]]
    assert [sum(row) for row in messages.arrivals(host, place, [3])] == [3]
    evidence.record("usb-msi", "xhci-msi")
