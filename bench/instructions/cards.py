# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network cards that are compared, on the hosts that have them."""

from __future__ import annotations

from bench.hosts import BenchError, Host

from .jobs import Card, rise
from .surroundings import CARD

# For each interface of a device where its driver is told, the driver, and the address.
LIST = "for i in /sys/class/net/*/device/driver; do echo $i $(readlink $i) $(cat ${i%/device/driver}/address); done"


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
