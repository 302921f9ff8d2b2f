# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted: accesses to a drive, and packets of a network card."""

from __future__ import annotations

import time
from typing import Protocol

from bench.cards import HERE, NOWHERE, OCTETS, THERE, Card, rise, send
from bench.hosts import BenchError
from bench.pair import Target


class Job(Protocol):
    """`aim`: what a borrowed device may take of a local one's instructions at most. `accesses`: few, many; `slowly`: the
    same where each takes long.
    """

    title: str
    aim: float
    accesses: tuple[int, int]
    slowly: tuple[int, int]

    def run(self, target: Target, accesses: int) -> int:
        """Make so many; how many it were. Raises BenchError."""
        ...


class DriveJob:
    """Accesses to a drive, one at a time; `block` in octets."""

    def __init__(self, rw: str, block: int, aim: float, accesses: tuple[int, int], slowly: tuple[int, int]) -> None:
        self.rw, self.block, self.aim, self.accesses, self.slowly = rw, block, aim, accesses, slowly
        self.title = f"{block >> 10} KiB {'write' if 'write' in rw else 'read'}, queue depth 1"

    def run(self, target: Target, accesses: int) -> int:
        """By fio."""
        target.host.run(
            f"fio --name=x --filename={target.drive} --direct=1 --ioengine=libaio --iodepth=1 --rw={self.rw} "
            f"--bs={self.block} --size=512M --randseed=1 --number_ios={accesses} --output-format=terse >/dev/null"
        )
        return accesses


# Octets of a packet that are UDP's: without the headers of IP and of UDP.
UDP = OCTETS - 20 - 8
SENDING = """
import socket
sender, octets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), bytes({octets})
for number in range({packets}):
    sender.sendto(octets, ("{to}", 9))
"""


class SendJob:
    """Packets that a program sends over a card."""

    title = f"{OCTETS} octets sent"
    aim = 1.05
    accesses, slowly = (500, 2500), (50, 250)

    def run(self, target: Target, accesses: int) -> int:
        """To nobody, whose address is known."""
        name = target.card.interface
        target.host.run(
            f"ip address replace {HERE}/24 dev {name} && "
            f"ip neighbour replace {THERE} lladdr {NOWHERE} dev {name} nud permanent"
        )
        for card in target.beside:  # it would receive what goes over the wire
            card.host.run(f"ip link set {card.interface} down")
        before = _count(target.card, "tx_packets")
        target.host.run("python3 -", SENDING.format(octets=UDP, packets=accesses, to=THERE).encode())
        time.sleep(1)
        target.host.run(f"ip address flush dev {name}")
        for card in target.beside:
            rise(card.host, card.interface)
        return _count(target.card, "tx_packets") - before


class ReceiveJob:
    """Packets that a card receives, and its host throws away."""

    title = f"{OCTETS} octets received"
    aim = 1.05
    accesses, slowly = (500, 2500), (50, 250)

    def run(self, target: Target, accesses: int) -> int:
        """From the other host's own card. Some may be lost."""
        before = _count(target.card, "rx_packets")
        send(target.sender, target.card.mac, accesses, target.pause)
        count, seen = -1, 0
        while seen != count:
            time.sleep(0.5)
            count, seen = seen, _count(target.card, "rx_packets") - before
        if seen < accesses / 2:
            raise BenchError(f"{target.host.name}: of {accesses} packets {seen} have come")
        return seen


def _count(card: Card, what: str) -> int:
    return int(card.host.run(f"cat /sys/class/net/{card.interface}/statistics/{what}"))


ALL: tuple[Job, ...] = (
    DriveJob("randread", 4 << 10, 1.02, (500, 2500), (100, 400)),
    DriveJob("randwrite", 4 << 10, 1.02, (500, 2500), (100, 400)),
    DriveJob("randread", 128 << 10, 1.03, (100, 400), (20, 60)),
    DriveJob("randwrite", 128 << 10, 1.03, (100, 400), (20, 60)),
    SendJob(),
    ReceiveJob(),
)
