# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""ownerd's operations, put together: what the HTTP API and the peers' daemons may ask for.

Calls go one way: changes have devices taken back (recalls.py); both have looks taken (looks.py); these and what peers
ask (lending.py) have things done at devices (at_device.py). All stand on the parts of ground.py, and views on these
alone. What touches a device is done at its turn, which is taken before the lock.
"""

from __future__ import annotations

import threading
from functools import partial

from device_lending import kernel
from device_lending.binding import Binder
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.config_space import ConfigSpaces
from device_lending.drain import Drain
from device_lending.events.journal import Journal
from device_lending.links import Announcements
from device_lending.owner.at_device import AtDevice
from device_lending.owner.bans import Bans
from device_lending.owner.changes import Changes
from device_lending.owner.devices import Devices
from device_lending.owner.ground import Ground
from device_lending.owner.leasing import Leasing
from device_lending.owner.lending import Lending
from device_lending.owner.looks import Looks
from device_lending.owner.recalls import Recalls
from device_lending.owner.reconcile import Reconciler
from device_lending.owner.reminders import Reminders
from device_lending.owner.reserved import Reserved
from device_lending.owner.reserving import Reserving
from device_lending.owner.telling import Telling
from device_lending.owner.turns import Turns
from device_lending.owner.views import Views
from device_lending.owner.withdrawals import Runs
from device_lending.pci.nodes import driver_of
from device_lending.pci.sysfs import Roots
from device_lending.store.owner import OwnerStore
from device_lending.troubles import Troubles


class Owner:
    """The owner's half of a host. What takes as long as a borrower takes runs in `lanes`."""

    def __init__(
        self,
        config: Config,
        store: OwnerStore,
        port: kernel.KernelPort,
        announcements: Announcements,
        roots: Roots,
        binder: Binder,
        clock: Clock,
        drain: Drain,
        lanes: Runs,
        reserved: Reserved,
        turns: Turns | None = None,
    ) -> None:
        self.config = config
        self.telling = telling = Telling(Journal("ownerd", config.host, clock), clock)
        turns = turns or Turns(config.host, clock)
        lock, troubles = threading.Lock(), Troubles()
        reserving = Reserving(store, reserved, partial(driver_of, roots), clock)
        keeps = reserving.keeps
        leasing = Leasing(store, port, binder, clock, config.host, lock, turns.step, telling, keeps)
        self.ground = Ground(
            config=config,
            store=store,
            kernel=port,
            announcements=announcements,
            clock=clock,
            drain=drain,
            lock=lock,
            turns=turns,
            devices=Devices(roots, port, config, turns.stuck, reserving.traits, troubles),
            reserving=reserving,
            leasing=leasing,
            reconciler=Reconciler(store, leasing, config, clock, telling, keeps, troubles),
            bans=Bans(store, port, config.host, troubles),
            troubles=troubles,
        )
        self.peerings = self.ground.peerings
        self.config_spaces = ConfigSpaces(roots, config.host, clock)
        self.views = Views(self.ground)
        self.reminders = Reminders(self.ground)
        at = AtDevice(self.ground)
        self.lending = Lending(self.ground, at)
        self.looks = Looks(self.ground, at)
        self.recalls = Recalls(self.ground, at, self.looks, self.reminders, lanes)
        self.changes = Changes(self.ground, at, self.looks, self.recalls, telling)

    def stop(self) -> None:
        """End waits under way, and what is at work at a device once its step is done."""
        self.recalls.stop()
        self.telling.journal.stop()
        self.ground.turns.stop()
