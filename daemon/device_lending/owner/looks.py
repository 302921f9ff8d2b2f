# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The regular look of ownerd: the store is brought in line with the kernel, and what is due is begun."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from device_lending import kernel, selecting
from device_lending.errors import LendingError
from device_lending.owner.at_device import AtDevice
from device_lending.owner.ground import Ground
from device_lending.owner.reconcile import snapshot
from device_lending.pci.scan import Function
from device_lending.store.owner import Grant


class Looks:
    """A look waits for no device, and takes up what a daemon that was killed has left."""

    def __init__(self, ground: Ground, at: AtDevice) -> None:
        self._ground = ground
        self._config = ground.config
        self._store = ground.store
        self._kernel = ground.kernel
        self._announcements = ground.announcements
        self._clock = ground.clock
        self._lock = ground.lock
        self._turns = ground.turns
        self._devices = ground.devices
        self._reserving = ground.reserving
        self._reconciler = ground.reconciler
        self._bans = ground.bans
        self._troubles = ground.troubles
        self._at = at
        self._has_looked = False

    def know(self) -> None:
        """What the kernel lends is known, with what a lost store does not tell, from the first look on.

        Raises KernelError.
        """
        if not self._has_looked:
            self.look()

    def look(self) -> list[kernel.Link]:
        """Bring the store in line with the kernel, and begin what is due at devices; the links seen.

        Raises KernelError.
        """
        mark, before = self._turns.mark(), self._bans.mark()
        lents, links = snapshot(self._kernel)
        leases = self._store.leases()
        peerings = self._announcements.peerings(self._config, links)
        with self._troubles.of("bans", "they could not be enforced"):
            self._bans.enforce(peerings, self._clock.wall(), before)
        given_up: list[str] = []
        with self._troubles.of("reservations", "they could not be withdrawn"):
            given_up = self._reserving.withdraw()
        functions = self._devices.scan(leases) if self._reconciler.is_puzzled(lents) else None
        with self._lock:
            quiet = partial(self._turns.quiet_since, mark)
            due = self._reconciler.step(lents, peerings, functions, quiet, self._ground.drained())
        self._has_looked = True
        for lease, why in due.ends:
            self._at.begin_alone(lease.address, partial(self._at.end_alone, lease, why))
        for address in {*due.frees, *given_up}:
            self._at.begin_alone(address, partial(self._at.free, address))
        with self._troubles.of("reservations", "they could not be looked at"):
            self._reserve_due()
        self._turns.name()
        return links

    def _reserve_due(self) -> None:
        due = self._reserving.due()
        functions = self._devices.scan(self._store.leases()) if due else []
        for grant in due:
            with self._troubles.of(grant.name, "its device could not be reserved"):
                self._begin_to_reserve(grant, functions)

    def _begin_to_reserve(self, grant: Grant, functions: Sequence[Function]) -> None:
        live = self._ground.live(grant.name)
        try:
            address = selecting.resolve(grant.meant, functions, self._config.host, grant.name).address
        except LendingError as error:
            self._reserving.failed(grant.name, error.message)
            return
        if live is None or live.address == address:
            self._at.begin_alone(address, partial(self._at.reserve, grant, address))
