# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What all of ownerd's operations stand on, and what several of them ask."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from device_lending import kernel
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.drain import Drain
from device_lending.links import Announcements, Peering, peerings
from device_lending.owner.bans import Bans
from device_lending.owner.devices import Devices
from device_lending.owner.leasing import Leasing
from device_lending.owner.reconcile import Reconciler
from device_lending.owner.reserving import Reserving
from device_lending.owner.turns import Turns
from device_lending.store.owner import Lease, OwnerStore
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.owner")


@dataclass(frozen=True)
class Ground:
    """`lock` guards what is decided and written down; nothing under it touches a device or waits for a peer."""

    config: Config
    store: OwnerStore
    kernel: kernel.KernelPort
    announcements: Announcements
    clock: Clock
    drain: Drain
    lock: threading.Lock
    turns: Turns
    devices: Devices
    reserving: Reserving
    leasing: Leasing
    reconciler: Reconciler
    bans: Bans
    troubles: Troubles

    def peerings(self) -> list[Peering]:
        """The links with their peers; none when the module is not loaded."""
        return peerings(self.kernel, self.announcements, self.config)

    def live(self, name: str) -> Lease | None:
        """The live lease of a name."""
        return next((row for row in self.store.leases() if row.live and row.name == name), None)

    def dead(self) -> Callable[[int], bool]:
        """Whether nothing can be told a borrower over a link now. Links that cannot be looked at are not dead."""
        try:
            usable = {peering.link.id for peering in self.peerings() if peering.usable}
        except kernel.KernelError as error:
            log.warning("the links cannot be read: %s", error)
            return lambda link: False
        return lambda link: link not in usable

    def drained(self) -> str:
        """Why all leases are recalled; "" when they are not."""
        return "" if self.drain.state() is None else f"host {self.config.host} is drained"
