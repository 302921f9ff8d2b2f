# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Each device by itself: its own driver, data that comes back as it was, and interrupts that arrive."""

from __future__ import annotations

from typing import Any

import evidence
import fabric
import interrupts
import networks
import pytest
import written
from testinfra.host import Host

KIB = 256


def attachment(host: Host, loan: dict[str, Any]) -> dict[str, Any]:
    """The attachment of a lease."""
    found = fabric.attachment(host, loan["name"])
    assert found is not None
    return found


def check_interrupts(host: Host, loan: dict[str, Any]) -> None:
    """They come the way that devices.yml says."""
    if "interrupts" in loan:
        assert attachment(host, loan)["interrupts"] == loan["interrupts"]


def test_it_has_its_own_driver(hosts: dict[str, Host], loan: dict[str, Any], addresses: dict[str, str]) -> None:
    assert attachment(hosts[loan["borrower"]], loan)["driver"] == loan["driver"]


def test_a_disk_keeps_its_data(
    hosts: dict[str, Host], disk: dict[str, Any], addresses: dict[str, str], borrowed_disks: dict[str, str]
) -> None:
    host, node = hosts[disk["borrower"]], borrowed_disks[disk["name"]]
    assert interrupts.move_data(host, addresses[disk["name"]], node, KIB) > 0
    check_interrupts(host, disk)
    fabric.output(host, written.write(node))
    assert fabric.output(host, written.read(node)) == written.checksum()
    evidence.record(disk["name"], disk["row"])


def test_a_network_card_moves_data(
    hosts: dict[str, Host], card: dict[str, Any], addresses: dict[str, str], cards: None
) -> None:
    host, place = hosts[card["borrower"]], addresses[card["name"]]
    before = sum(fabric.interrupts(host, place).values())
    networks.move_data(host, card["name"], 1024)
    assert sum(fabric.interrupts(host, place).values()) > before
    check_interrupts(host, card)
    evidence.record(card["name"], card["row"])


def test_the_rest_of_a_slot_stays_with_its_owner(hosts: dict[str, Host]) -> None:
    shared = [lease for lease in fabric.leases() if not lease["device"].get("address", ".0").endswith(".0")]
    assert shared
    for lease in shared:
        neighbour = lease["device"]["address"].rpartition(".")[0] + ".0"
        owner = hosts[lease["owner"]]
        assert fabric.output(owner, f"basename $(readlink /sys/bus/pci/devices/{neighbour}/driver)") == "e1000e"
        card = networks.interface(owner, neighbour)
        fabric.output(owner, f"ip link set {card} up && ethtool --test {card} online")


@pytest.mark.long
def test_an_expansion_rom_can_be_read(hosts: dict[str, Host], addresses: dict[str, str]) -> None:
    """What the owner reads later is compared with it."""
    rom = f"/sys/bus/pci/devices/{addresses['e1000e']}/rom"
    fabric.output(hosts["node-b"], f"echo 1 >{rom} && cat {rom} >/root/rom && echo 0 >{rom}")
    assert fabric.output(hosts["node-b"], "head -c 2 /root/rom | od -An -tx1") == "55 aa"
