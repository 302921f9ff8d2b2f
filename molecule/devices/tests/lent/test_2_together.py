# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Many at once: of one owner, of two owners, both ways over one bridge, and one device in parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import fabric
import interrupts
import networks
import pytest
from testinfra.host import Host
from together import together

KIB = 256


@pytest.fixture
def move(
    hosts: dict[str, Host], addresses: dict[str, str], borrowed_disks: dict[str, str], cards: None
) -> Callable[[str], Callable[[], None]]:
    """move(name): what moves data over the device of a lease."""
    borrowers = {lease["name"]: hosts[lease["borrower"]] for lease in fabric.leases()}

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            if name in borrowed_disks:
                interrupts.move_data(borrowers[name], addresses[name], borrowed_disks[name], KIB)
            else:
                networks.move_data(borrowers[name], name, KIB)

        return run

    return work


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("nvme", "e1000e", "usb"), id="of one owner"),
        pytest.param(("nvme-back", "rtl8139"), id="of two owners"),
        pytest.param(("nvme", "nvme-back"), id="each of the other's"),
        pytest.param(("igbvf-0", "igbvf-1"), id="parts of one device"),
    ],
)
def test_at_once(move: Callable[[str], Callable[[], None]], names: tuple[str, ...]) -> None:
    together(*(move(name) for name in names))


def test_registers_are_read_on_all_sides_at_once(hosts: dict[str, Host], addresses: dict[str, str]) -> None:
    """Each processor of a host waits for a host whose processors wait for it, or for the third, with interrupts off."""
    borrowers = {lease["name"]: hosts[lease["borrower"]] for lease in fabric.leases()}

    def read(name: str) -> None:
        registers = f"/sys/bus/pci/devices/{addresses[name]}/config"
        fabric.output(borrowers[name], f"timeout 120 sh -c 'cat {registers} {registers} {registers} >/dev/null'")

    def timeouts() -> dict[str, list[int]]:
        links = {name: fabric.ask(host, "borrowerd", "links") for name, host in hosts.items()}
        return {name: [link["counters"]["timeouts"] for link in found] for name, found in links.items()}

    before = timeouts()
    names = ("nvme", "e1000e", "nvme-back", "rtl8139", "nvme-small", "igbvf-1")
    together(*(partial(read, name) for name in names))
    assert timeouts() == before


def test_doorbells_that_get_lost_or_come_twice_lose_no_interrupt_of_a_line(
    move: Callable[[str], Callable[[], None]],
) -> None:
    with interrupts.doorbells_lost_and_doubled(link="ab"):
        move("usb")()
