# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of two hosts, of which one lends the other a drive and a network card, and keeps one of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.instance import OPTIONS, Instance
from lab.progress import Progress
from tools.demo.__main__ import playbook
from tools.demo.hosts import STATE

from . import cards, drives
from .cards import Card
from .hosts import Host
from .surroundings import BORROWER, LENT_DRIVE, LOCAL_DRIVE, OWNER, Surroundings

LOCAL, BORROWED = "local", "borrowed"


@dataclass(frozen=True)
class Target:
    """A drive and a card of one host, the cards beside it, and the card of the other host that sends to it, with `pause`
    between packets, in seconds.
    """

    host: Host
    drive: str
    card: Card
    beside: tuple[Card, ...]
    sender: Card
    pause: float


class Pair:
    """The lab. `targets` are what is compared, once it is started."""

    def __init__(self, around: Surroundings, say: Progress) -> None:
        self.around = around
        self.say = say
        self.instance = Instance(STATE)
        self.hosts: dict[str, Host] = {}
        self.targets: dict[str, Target] = {}

    def start(self, topology: Path, **options: str) -> None:
        """Have it, described in a file, with options beside the lab's own. Raises BenchError, LabError."""
        topology.parent.mkdir(parents=True, exist_ok=True)
        topology.write_text(yaml.safe_dump(self.around.topology()), encoding="utf-8")
        with self.instance.locked():
            self.instance.up(topology, {**OPTIONS, **options}, self.say)
        self.say(f"{self.around.title}: lending a drive and a network card (playbooks/site.yml)")
        playbook("site.yml")
        self.hosts = {name: Host(self.instance, name) for name in (OWNER, BORROWER)}
        owner, borrower = self.hosts.values()
        (kept,) = cards.of(owner)
        lent, own = cards.borrowed_first(cards.of(borrower))
        pause = 0.03 if self.around.slow else 0.0002
        self.targets = {
            LOCAL: Target(owner, drives.by_serial(owner, LOCAL_DRIVE), kept, (), own, pause),
            BORROWED: Target(borrower, drives.by_serial(borrower, LENT_DRIVE), lent, (own,), kept, pause),
        }

    def stop(self) -> None:
        """End it."""
        for host in self.hosts.values():
            host.hang_up()
        with self.instance.locked():
            self.instance.down()
