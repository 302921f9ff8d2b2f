# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network cards that are compared, on the hosts that have them, and packets for them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .hosts import BenchError, Host
from .surroundings import CARD

OCTETS = 1500
# The card that is looked at and who is at the other end of the wire; a card that nobody has.
HERE, THERE, NOWHERE = "10.98.0.2", "10.98.0.1", "02:00:00:00:00:01"
# Seconds that a card may take to find its cable.
CARRIER = 60
# For each interface of a device where its driver is told, the driver, and the address.
LIST = "for i in /sys/class/net/*/device/driver; do echo $i $(readlink $i) $(cat ${i%/device/driver}/address); done"


@dataclass(frozen=True)
class Card:
    """A network interface of a host."""

    host: Host
    interface: str
    mac: str


def of(host: Host) -> list[Card]:
    """The cards of a host, which are up then. Raises BenchError."""
    found = []
    for line in host.lines(LIST):
        path, driver, mac = line.split()
        if driver.endswith(f"/{CARD}"):
            name = path.split("/")[4]
            rise(host, name)
            found.append(Card(host, name, mac))
    return found


def borrowed_first(found: list[Card]) -> list[Card]:
    """Two cards, the borrowed one before the other. Raises BenchError."""
    paths = [card.host.run(f"readlink -f /sys/class/net/{card.interface}/device") for card in found]
    held = ["/pci1ff" in path for path in paths]
    if len(found) != 2 or sum(held) != 1:
        raise BenchError(f"of {', '.join(card.interface for card in found) or 'no cards'} not one alone is borrowed")
    return sorted(found, key=lambda card: not held[found.index(card)])


def rise(host: Host, interface: str) -> None:
    """Wait until a card that is up now has found its cable. Raises BenchError."""
    host.run(f"ip link set {interface} up")
    end = time.monotonic() + CARRIER
    while host.run(f"cat /sys/class/net/{interface}/carrier") != "1":
        if time.monotonic() > end:
            raise BenchError(f"{host.name}: {interface} has no carrier after {CARRIER} s")
        time.sleep(0.5)


def send(card: Card, to: str, packets: int, pause: float) -> None:
    """Have the kernel's packet generator send packets, slowly enough for whoever gets them. Raises BenchError."""
    settings = [f"count {packets}", "clone_skb 0", f"pkt_size {OCTETS}", f"delay {round(pause * 1e9)}"]
    settings += [f"dst {THERE}", f"dst_mac {to}"]
    directory = "/proc/net/pktgen"
    commands = [
        "modprobe pktgen",
        f"echo rem_device_all >{directory}/kpktgend_0",
        f"echo add_device {card.interface} >{directory}/kpktgend_0",
        *(f"echo {setting} >{directory}/{card.interface}" for setting in settings),
        f"echo start >{directory}/pgctrl",
        f"grep -q '^Result: OK' {directory}/{card.interface}",
    ]
    card.host.run("set -e; " + "; ".join(commands))
