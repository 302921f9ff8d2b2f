# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Bringing the store in line with the kernel, which is the truth about live leases."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from device_lending import found, kernel
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.kernel import Lent
from device_lending.links import Peering, behind
from device_lending.owner import grants, quarantine
from device_lending.owner import lease as machine
from device_lending.owner.leasing import Leasing
from device_lending.owner.telling import Telling
from device_lending.pci import selector
from device_lending.pci.scan import Function
from device_lending.pci.traits import UNSEEN
from device_lending.store.owner import Grant, Lease, OwnerStore
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.reconcile")


@dataclass
class Due:
    """What a look has found to be done at devices: leases that end with the reason, and functions to give back."""

    ends: list[tuple[Lease, str]] = field(default_factory=list)
    frees: list[str] = field(default_factory=list)


class Reconciler:
    """Keeps the in-memory half of each lease. What changes anything must be called under the owner's lock."""

    def __init__(
        self,
        store: OwnerStore,
        leasing: Leasing,
        config: Config,
        clock: Clock,
        telling: Telling,
        keeps: Callable[[str], bool],
        troubles: Troubles,
    ) -> None:
        self._keeps = keeps
        self._troubles = troubles
        self._store = store
        self._leasing = leasing
        self._config = config
        self._clock = clock
        self._telling = telling
        self._lives: dict[int, machine.Life] = {}
        self._settled = False

    def life(self, lease: Lease) -> machine.Life:
        """The in-memory half of a lease."""
        known = self._lives.get(lease.epoch)
        return known or self._lives.setdefault(
            lease.epoch,
            machine.born(
                lease,
                self._clock.monotonic(),
                self._clock.wall(),
                self.grace(lease),
                self._config.lease_ttl,
            ),
        )

    def renew(self, lease: Lease) -> None:
        """The borrower's daemon showed that it still wants the lease."""
        self._live(lease, machine.renewed(self.life(lease), self._clock.monotonic()))

    def _live(self, lease: Lease, life: machine.Life) -> None:
        """Keep the in-memory half; the last sign of life goes to disk now and then."""
        self._lives[lease.epoch] = life
        wall = self._clock.wall_at(life.seen)
        if lease.seen is None or wall - lease.seen >= self._config.lease_ttl * machine.WRITTEN_EVERY:
            self._store.see_lease(lease.address, wall)

    def grace(self, lease: Lease) -> float:
        """Seconds that the borrower of a lease has to hand the device over."""
        return self._config.recall_grace if lease.grace is None else lease.grace

    def recall(self, lease: Lease, why: str, held: str = "", force: bool = False) -> None:
        """Start a graceful return; `step` ends it by force when the time is over, with `force` at once. `held` puts its
        grant on hold."""
        grace = 0.0 if force else self.grace(lease)
        self._lives[lease.epoch] = machine.recalled(self.life(lease), self._clock.monotonic(), grace)
        if lease.state != "returning":
            self._store.recall_lease(lease.address, why, self._clock.wall() + grace, held)
            log.info("lease %s: recalled from %s, device %s, epoch %d: %s", lease.name, lease.borrower, lease.address,
                     lease.epoch, why)  # fmt: skip
            self._telling.recalled(lease, why)
        elif held:
            self._store.hold(lease.name, held)

    def expires(self, lease: Lease) -> str | None:
        """When the lease ends unless it is renewed; None for a quarantined device."""
        return self._clock.at(self.life(lease).seen + self._config.lease_ttl) if lease.live else None

    def is_puzzled(self, lents: Sequence[Lent]) -> bool:
        """Whether `step` needs to know this host's functions. A scan of them reads a dozen files for each."""
        leases = self._store.leases()
        if not self._settled and any(not lease.live for lease in leases):
            return True
        known = {lease.address: lease for lease in leases}
        strange = [lent for lent in lents if _is_strange(lent, known.get(lent.address))]
        return any(not self._is_reserved(lent) for lent in strange)

    def _is_reserved(self, lent: Lent) -> bool:
        """Whether a function without a lease is where it should be."""
        return not lent.leased and lent.state != "quarantined" and self._keeps(lent.address)

    def step(
        self,
        lents: Sequence[Lent],
        peerings: Sequence[Peering],
        functions: Sequence[Function] | None,
        quiet: Callable[[str], bool],
        drained: str,
    ) -> Due:
        """Judge every lease once, recall what no grant allows, adopt what only the kernel knows; what else is due.

        `drained` says why all leases are to be recalled, "" when they are not.
        `functions` are this host's, or None where it was not puzzled. `quiet` says of a device that nothing has been
        done to it since `lents` were seen; of any other one, what is at work knows more than a look.
        """
        now = self._clock.monotonic()
        self._settle(functions)
        due = Due()
        leases = self._store.leases()
        by_address = {lent.address: lent for lent in lents}
        links = {peering.link.id: peering.link for peering in peerings}
        granted = {grant.name: grant for grant in self._store.grants()}
        for lease in leases:
            if not lease.live or not quiet(lease.address):
                continue
            with self._troubles.of(lease.address, f"lease {lease.name} could not be judged"):
                link, grant = links.get(lease.link), granted.get(lease.name)
                self._judge(lease, by_address.get(lease.address), link, grant, now, drained, due)
        known = {lease.address: lease for lease in self._store.leases()}
        for lent in lents:
            if functions is None or not quiet(lent.address):
                continue
            with self._troubles.of(lent.address, "what the kernel lends could not be taken over"):
                if lent.address not in known:
                    self._unknown(lent, peerings, functions, due)
                elif found.is_name(known[lent.address].name):
                    self._name(known[lent.address], functions)
        epochs = {lease.epoch for lease in self._store.leases()}
        self._lives = {epoch: life for epoch, life in self._lives.items() if epoch in epochs}
        return due

    def _judge(
        self,
        lease: Lease,
        lent: Lent | None,
        link: kernel.Link | None,
        grant: Grant | None,
        now: float,
        drained: str,
        due: Due,
    ) -> None:
        """One lease, with what the kernel has of its device and its link, and the grant of its name."""
        if lent is not None and lent.leased and lent.epoch != lease.epoch:
            # The store comes from a backup, say.
            self._leasing.forget(lease, lent.epoch)
            return
        outcome = machine.observe(lease, self.life(lease), now, self._config.lease_ttl, lent, link)
        self._live(lease, outcome.life)
        if outcome.end:
            if lease.state != "returning":  # at once, so that nobody is given it until its end has begun
                self._store.set_lease(lease.address, "returning", outcome.end)
                if outcome.cause:
                    self._telling.over(lease, outcome.cause, outcome.end)
            due.ends.append((lease, outcome.end))
        elif drained and lease.state != "returning":
            self.recall(lease, drained)
        elif _is_revoked(lease, grant):
            self.recall(lease, "its grant was revoked or changed")
        elif outcome.state != lease.state:
            self._store.set_lease(lease.address, outcome.state, "")
            log.info("lease %s: %s, device %s, borrower %s, epoch %d", lease.name, outcome.state, lease.address,
                     lease.borrower, lease.epoch)  # fmt: skip
            self._telling.seen(lease, outcome.state)

    def _settle(self, functions: Sequence[Function] | None) -> None:
        """Once: devices may have other addresses after a boot, and a quarantine is the device's."""
        leases = self._store.leases()
        if self._settled or (functions is None and any(not lease.live for lease in leases)):
            return
        self._settled = True
        moves = quarantine.moves(leases, functions or ())
        if moves:
            self._store.move_leases(moves)
        for old, new in moves.items():
            log.warning("the quarantined device that was %s is %s now", old, new)

    def _unknown(self, lent: Lent, peerings: Sequence[Peering], functions: Sequence[Function], due: Due) -> None:
        """A function bound to ntb_lend without a row: after a lost store, or a crash between two steps."""
        if self._is_reserved(lent):
            return
        if not lent.leased and lent.state != "quarantined":
            log.info("device %s: bound to ntb_lend without a lease", lent.address)
            due.frees.append(lent.address)
            return
        peer = behind(peerings, lent.link)
        label = self._store.label(lent.epoch)
        lease = Lease(
            name=found.name(lent.address),
            address=lent.address,
            borrower=(peer.peer if peer else None) or (label.borrower if label else found.UNKNOWN),
            link=lent.link or 0,
            peer_epoch=peer.link.peer_epoch if peer else 0,
            # A quarantined function has no lease: each gets an epoch of its own.
            epoch=lent.epoch or self._store.next_epoch(self._clock.wall(), durable=False),
            state="quarantined" if lent.state == "quarantined" else "active" if lent.state == "attached" else "granted",
            since=0,
            message=lent.message or "the store was lost; put the grants again, or recall it",
            driver=label.driver if label else None,
            traits=label.traits if label else UNSEEN,
            place=label.place if label else None,
        )
        self._leasing.adopt(lease)
        self._name(lease, functions)

    def _name(self, lease: Lease, functions: Sequence[Function]) -> None:
        """Give a found lease the name of the grant it must have come from."""
        grant = next((grant for grant in self._store.grants() if _fits(grant, lease, functions)), None)
        taken = {row.name for row in self._store.leases()}
        if grant is not None and grant.name not in taken:
            self._store.name_lease(lease.address, grant)
            log.info("lease %s: device %s, epoch %d was found again", grant.name, lease.address, lease.epoch)


def _is_strange(lent: Lent, lease: Lease | None) -> bool:
    """Whether it is not known whose a function is that is bound to ntb_lend. `lease` is the one of its address."""
    return lease is None or found.is_name(lease.name) or (lent.leased and lent.epoch != lease.epoch)


def _is_revoked(lease: Lease, grant: Grant | None) -> bool:
    """Whether a lease outlived what allowed it, as it does when the daemon is killed in the midst of a revocation.

    `grant` is that of its name. A lease that was found in the kernel may have had one that was lost.
    """
    if lease.state == "returning" or found.is_name(lease.name):
        return False
    return grant is None or not grants.covers(grant, lease)


def _fits(grant: Grant, lease: Lease, functions: Sequence[Function]) -> bool:
    if lease.borrower not in (grant.borrower, found.UNKNOWN):
        return False
    meant = selector.matching(grant.meant, functions)
    return len(meant) == 1 and meant[0].address == lease.address


def snapshot(port: kernel.KernelPort) -> tuple[list[Lent], list[kernel.Link]]:
    """Lent devices and links; both empty when the module is not loaded. Raises KernelError otherwise."""
    try:
        return port.lent(), port.links()
    except kernel.NotLoaded:
        return [], []
