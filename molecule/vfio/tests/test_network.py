# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A borrowed network card in user space, by DPDK: packets come and go, and its lease ends as any does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import evidence
import fabric
import networks
import pytest
import user_space
from testinfra.host import Host

CARD = {"name": "card", "owner": "node-a", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"}
# A card of the owner's own, in the same network.
OTHER = "0000:04:00.0"
# All who are asked for answer: testpmd says for each address that it has it.
ASKED = "10.99.0.2"
PLUGINS = "-d /opt/programs/usr/lib/x86_64-linux-gnu/dpdk/pmds-*/librte_{}.so"
# Memory at the addresses that the card has for it, as DPDK shows devices its own.
TESTPMD = " ".join(
    (
        user_space.PROGRAM.format("dpdk-testpmd"),
        "-l 0,1 --no-huge -m 24 --iova-mode=va --base-virtaddr={first} --no-telemetry -a {address}",
        *(PLUGINS.format(name) for name in ("net_e1000", "mempool_ring")),
        "-- --forward-mode=icmpecho --total-num-mbufs=2048 --rxd=128 --txd=128 --stats-period=5",
    )
)


@pytest.fixture
def card(owner: Host, borrower: Host) -> Iterator[dict[str, Any]]:
    """The attachment of the card, with vfio-pci, beside that of the drive, which another program may have."""
    grant = {key: CARD[key] for key in ("name", "device", "borrower")}
    fabric.put(owner, "ownerd", "grants", [{**grant, "hold": False}])
    networks.isolate(owner, OTHER, networks.PEER, networks.SERVER)
    yield user_space.attach_with(borrower, CARD, "vfio-pci", "igb")
    fabric.output(owner, f"ip netns delete {networks.PEER}")
    user_space.give_back(borrower, CARD["name"])


def command(host: Host, attached: dict[str, Any]) -> str:
    """How testpmd is started for the card."""
    first, _last = user_space.ranges(host, CARD["name"])
    return TESTPMD.format(first=f"{first:#x}", address=attached["address"])


def answered(host: Host, count: int, size: int) -> int:
    """How many of so many packets of a size came back as they were sent."""
    said = host.run(f"ip netns exec {networks.PEER} ping -c {count} -i 0.2 -W 2 -s {size} {ASKED}").stdout
    assert "wrong data" not in said, said
    (received,) = re.findall(r"(\d+) (?:packets )?received", said)
    return int(received)


def test_packets_come_and_go(
    owner: Host, borrower: Host, in_user_space: dict[str, Any], card: dict[str, Any]
) -> None:
    with user_space.running(borrower, card, command(borrower, card)):
        try:
            fabric.until(lambda: answered(owner, 2, 64), 120, "testpmd answers")
            assert answered(owner, 50, 1400) == 50
            # Another program has another device of the same owner meanwhile.
            user_space.io(borrower, in_user_space, "write -P 0x77 5M 64k", "read -P 0x77 5M 64k")
            assert answered(owner, 5, 1400) == 5
        except AssertionError:
            print(user_space.said(borrower))
            raise
        refused = borrower.run(f"devlend ranges {CARD['name']}")
        assert refused.rc == 1
        assert "a program has /dev/vfio/" in refused.stderr
    evidence.record(CARD["name"], "igb-vfio")


def test_a_forced_recall_is_a_fence(owner: Host, borrower: Host, card: dict[str, Any]) -> None:
    with user_space.running(borrower, card, command(borrower, card)):
        fabric.until(lambda: answered(owner, 2, 64), 120, "testpmd answers")
        fabric.output(owner, f"devlend recall {CARD['name']} --force")
        # The owner's own driver has it, and nobody else sends with it.
        fabric.until(lambda: networks.interface(owner, CARD["device"]["address"]), 60, "the owner has its card")
        assert answered(owner, 5, 64) == 0
        assert user_space.unfenced(fabric.trouble(owner)) == []
    gone = f"! test -e /sys/bus/pci/devices/{card['address']}"
    fabric.until(lambda: borrower.run(gone).rc == 0, 60, "the card is gone")
