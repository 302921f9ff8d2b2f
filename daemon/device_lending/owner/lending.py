# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What borrowers' daemons ask of ownerd. Each is known by the link that it asks over."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from device_lending import selecting
from device_lending.errors import LendingError
from device_lending.kernel import Lent
from device_lending.links import Peering, behind
from device_lending.owner import lease as machine
from device_lending.owner.at_device import AtDevice
from device_lending.owner.ground import Ground
from device_lending.pci.scan import Function
from device_lending.store.owner import Grant, Lease

log = logging.getLogger("device_lending.owner")

# How often a device is chosen anew for a lease whose grant changes meanwhile.
_ATTEMPTS = 3


class Lending:
    """Waits for devices in the thread of its caller. Raises LendingError."""

    def __init__(self, ground: Ground, at: AtDevice) -> None:
        self._ground = ground
        self._config = ground.config
        self._store = ground.store
        self._kernel = ground.kernel
        self._clock = ground.clock
        self._drain = ground.drain
        self._lock = ground.lock
        self._turns = ground.turns
        self._devices = ground.devices
        self._leasing = ground.leasing
        self._reconciler = ground.reconciler
        self._at = at

    def request(self, name: str, link_id: int, host: str) -> tuple[Lease, Lent]:
        """Lease `name` to the peer of a link. Asking again gives the same lease while it lives."""
        self.identify(link_id, host)
        for _attempt in range(_ATTEMPTS):
            device = self._meant(name, host)
            given = self._turns.run(device, partial(self._give, name, link_id, host, device))
            if given is not None:
                return given
        raise LendingError("busy", f"lease {name} is being changed on host {self._config.host}; ask again", status=409)

    def _grant_of(self, name: str, host: str) -> Grant:
        """The grant a peer asks for."""
        grant = next((row for row in self._store.grants() if row.name == name and row.borrower == host), None)
        if grant is None:
            raise LendingError(
                "not_granted", f"host {self._config.host} grants no lease {name} to {host}", status=404, name=name
            )
        return grant

    def _offered(self, name: str, host: str) -> Grant:
        """The same, if a new lease may be given now."""
        grant = self._grant_of(name, host)
        if grant.held:
            raise LendingError("held", f"lease {name} of host {self._config.host}: {grant.held}", status=409, name=name)
        if self._drain.state() is not None:
            raise LendingError(
                "drained", f"host {self._config.host} is drained and lends nothing", status=409, name=name
            )
        return grant

    def _resolve(self, grant: Grant) -> Function:
        functions = self._devices.scan(self._store.leases())
        return selecting.resolve(grant.meant, functions, self._config.host, grant.name)

    def _meant(self, name: str, host: str) -> str:
        """The address of the device that a lease has, or would have if it was given now."""
        live = self._ground.live(name)
        return self._resolve(self._offered(name, host)).address if live is None else live.address

    def _give(self, name: str, link_id: int, host: str, device: str) -> tuple[Lease, Lent] | None:
        """At the turn of the device that was meant: its lease; None when another device is meant now."""
        peering = self.identify(link_id, host)
        # A hold, and a drain, leave a live lease to who has it, and may have forgotten that.
        self._grant_of(name, host)
        live = self._ground.live(name)
        if live is not None and live.address != device:
            return None
        same = None if live is None else self._same_lease(live, peering)
        if live is not None and same is not None:
            return live, same
        grant = self._offered(name, host)
        if live is not None:
            self._at.end(live, True, "the borrower started anew and asks again")
        function = self._resolve(grant)
        if function.address != device:
            return None
        self._at.check_free(name, function, self._store.leases())
        greatest = self._leasing.greatest_epoch()
        with self._lock:
            if self._offered(name, host) != grant or self._ground.live(name) is not None:
                return None
            lease = self._leasing.enter(name, host, function, peering.link, greatest, grant.grace)
        lent = self._leasing.give(lease)
        with self._lock:
            self._reconciler.renew(lease)
        return lease, lent

    def _same_lease(self, lease: Lease, peering: Peering) -> Lent | None:
        """The device of a lease that is asked for again; None if it was given to what its borrower was before."""
        if lease.state == "returning":
            raise LendingError("returning", f"lease {lease.name} is being taken back: {lease.message}", status=409)
        if lease.link != peering.link.id and not self._ground.dead()(lease.link):
            raise self._elsewhere(lease, peering.link.id)
        lent = next((row for row in self._kernel.lent() if machine.holds(lease, row)), None)
        if lent is not None and (lease.link, lease.peer_epoch) == (peering.link.id, peering.link.peer_epoch):
            with self._lock:
                self._reconciler.renew(lease)
            return lent
        return None

    def _elsewhere(self, lease: Lease, link: int) -> LendingError:
        return LendingError(
            "leased_elsewhere",
            f"lease {lease.name} stands over link {lease.link} of host {self._config.host}; over link {link} it is "
            "neither given as well nor renewed",
            status=409,
            name=lease.name,
            device=lease.address,
        )

    def release(self, name: str, epoch: int, link_id: int, host: str) -> None:
        """The borrower has detached the device. A lease that is over already is no error."""
        self.identify(link_id, host)
        lease = self._of_peer(epoch, link_id, host)
        if lease is not None:
            self._turns.run(lease.address, lambda: self._released(name, lease, host))

    def _released(self, name: str, lease: Lease, host: str) -> None:
        try:
            self._at.end(lease, False, f"released by {host}")
        except LendingError as error:
            if error.code != "device_attached":
                raise
            # The borrower knows best that it has detached; the kernel's view is from before a lost link or a
            # restart of the peer.
            log.warning("lease %s: %s released it, the kernel calls it attached: cut off, epoch %d", name, host,
                        lease.epoch)  # fmt: skip
            self._at.end(lease, True, f"released by {host}")

    def status(self, epoch: int, link_id: int, host: str) -> dict[str, Any]:
        """State of the borrower's lease, "ended" when it is over, and the grace left of a recall; renews it."""
        self.identify(link_id, host)
        with self._lock:
            lease = self._of_peer(epoch, link_id, host)
            if lease is None:
                return {"state": "ended"}
            if lease.link != link_id:
                raise self._elsewhere(lease, link_id)
            self._reconciler.renew(lease)
            due = self._reconciler.life(lease).due
            left = {} if due is None else {"grace": max(0.0, due - self._clock.monotonic())}
            return {"state": lease.state, **left}

    def _of_peer(self, epoch: int, link_id: int, host: str) -> Lease | None:
        """The live lease of an epoch that was given over a link, or over another one to the same host.

        Names are labels, and may be lost with the store.
        """
        live = [row for row in self._store.leases() if row.live and row.epoch == epoch]
        return next((row for row in live if row.link == link_id or row.borrower == host), None)

    def identify(self, link_id: int, host: str) -> Peering:
        """The link a peer's message came over, when `host` is who should be there."""
        peering = behind(self._ground.peerings(), link_id)
        if peering is None or not peering.link.ready:
            raise LendingError("link_not_ready", f"link {link_id} of host {self._config.host} is not ready", status=409)
        if peering.problem or peering.peer != host:
            problem = peering.problem or f"the peer of link {link_id} is {peering.peer}, not {host}"
            raise LendingError(
                "cabling_error", f"host {self._config.host} does not serve this link: {problem}", status=409
            )
        return peering
