# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A borrowed network card against a local one of its model: echoes one at a time, and packets as fast as it sends them."""

from __future__ import annotations

import re
from typing import Any

from . import cards
from .cards import HERE, NOWHERE, OCTETS, THERE, Card
from .pair import Pair, Target
from .rounds import Say

# Headers of IP and of ICMP.
HEADERS = 28
AVERAGE = re.compile(r"^rtt min/avg/max/mdev = [\d.]+/([\d.]+)/", re.MULTILINE)
RATE = re.compile(r"\b(\d+)pps\b")


def average_us(said: str) -> float:
    """The mean of an echo's times, of what ping says, in us. Pure. Raises ValueError."""
    found = AVERAGE.search(said)
    if not found:
        raise ValueError(f"ping says no times: {said}")
    return float(found[1]) * 1000


def per_second(said: str) -> int:
    """The rate of what the kernel's packet generator says that it has sent. Pure. Raises ValueError."""
    found = RATE.search(said)
    if not found:
        raise ValueError(f"the packet generator says no rate: {said}")
    return int(found[1])


def _addressed(card: Card, address: str) -> None:
    # Else a card beside it on the same wire answers for it.
    card.host.run("echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore")
    card.host.run(f"ip address replace {address}/24 dev {card.interface}")


def one(target: Target, echoes: int, packets: int) -> dict[str, float]:
    """One round of a card."""
    _addressed(target.card, HERE)
    _addressed(target.sender, THERE)
    said = target.host.run(f"ping -q -n -c {echoes} -i 0.01 -s {OCTETS - HEADERS} {THERE}")
    for card in (target.card, target.sender):
        card.host.run(f"ip address flush dev {card.interface}")
    cards.send(target.card, NOWHERE, packets, 0)
    sent = target.host.run(f"cat /proc/net/pktgen/{target.card.interface}")
    return {"echo_us": average_us(said), "packets_per_second": per_second(sent)}


def rounds(pair: Pair, number: int, say: Say) -> list[dict[str, Any]]:
    """All rounds; each begins with another card."""
    answer = []
    for index in range(number):
        names = list(pair.targets)
        names = names[index % 2 :] + names[: index % 2]
        answer.append({name: one(pair.targets[name], 100, 2000) for name in names})
        say(f"network card, round {index + 1} of {number}: {answer[-1][names[0]]['echo_us']:.0f} us for an echo, {names[0]}")
    return answer
