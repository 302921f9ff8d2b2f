# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""ownerd's operations: what the HTTP API and the peers' daemons may ask for.

Changes run one at a time under a lock; views only read the store and the kernel and never wait for a change.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any

from device_lending import kernel
from device_lending.clock import Clock, iso
from device_lending.config import Config
from device_lending.errors import LendingError
from device_lending.kernel import Lent
from device_lending.links import Announcements, Peering
from device_lending.owner import grants, holds, quarantine
from device_lending.owner import lease as machine
from device_lending.owner.bans import Bans
from device_lending.owner.devices import Assessor, Devices, document
from device_lending.owner.leasing import Leasing
from device_lending.owner.reconcile import Reconciler, snapshot
from device_lending.pci import selector
from device_lending.pci.binding import Binder
from device_lending.pci.scan import Function
from device_lending.pci.sysfs import Roots
from device_lending.store.db import note
from device_lending.store.owner import Grant, Lease, OwnerStore

log = logging.getLogger("device_lending.owner")

# How often, in seconds, a waiting recall looks again and repeats an undelivered notice.
_LOOK = 0.2
_REPEAT = 2.0


class Owner:
    """The owner's half of a host. Raises LendingError."""

    def __init__(
        self,
        config: Config,
        store: OwnerStore,
        port: kernel.KernelPort,
        announcements: Announcements,
        roots: Roots,
        binder: Binder,
        clock: Clock,
    ) -> None:
        self.config = config
        self._store = store
        self._kernel = port
        self._announcements = announcements
        self._devices = Devices(roots, port, config)
        self._clock = clock
        self._lock = threading.RLock()
        self._leasing = Leasing(store, port, binder, clock, config.host)
        self._reconciler = Reconciler(store, self._leasing, config, clock)
        self._bans = Bans(store, port, config.host)
        self._stopping = threading.Event()
        self._told: dict[int, float] = {}

    def stop(self) -> None:
        """End waits under way."""
        self._stopping.set()

    # Views

    def peerings(self) -> list[Peering]:
        """The links with their peers; none when the module is not loaded."""
        try:
            links = self._kernel.links()
        except kernel.NotLoaded:
            links = []
        return self._announcements.peerings(self.config, links)

    def devices(self) -> list[dict[str, Any]]:
        leases = self._store.leases()
        names = {lease.address: lease.name for lease in leases}
        assessor = self._devices.assessor()
        return [document(function, assessor, names.get(function.address)) for function in self._devices.scan(leases)]

    def config_space(self, address: str) -> dict[str, str]:
        """The configuration space of a function, as it has it."""
        return self._devices.config_space(address, self.config.host)

    def grants(self) -> list[dict[str, Any]]:
        leases = self._store.leases()
        functions = self._devices.scan(leases)
        assessor = self._devices.assessor()
        banned = {ban.host for ban in self._bans.all()}
        return [self._grant(grant, leases, functions, assessor, banned) for grant in self._store.grants()]

    def _grant(
        self, grant: Grant, leases: list[Lease], functions: list[Function], assessor: Assessor, banned: set[str]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {**grant.document(), "address": None, "state": "unresolved", "message": ""}
        lease = next((row for row in leases if row.live and row.name == grant.name), None)
        if lease is not None:
            return {**found, "address": lease.address, "state": "leased", "message": lease.message or grant.held}
        try:
            function = selector.resolve(grant.device, functions, self.config.host, grant.name)
        except LendingError as error:
            return {**found, "message": error.message}
        found["address"] = function.address
        ill = quarantine.of(function, leases)
        if ill is not None:
            return {**found, "state": "quarantined", "message": ill.message}
        if grant.held:
            return {**found, "state": "held", "message": grant.held}
        why = assessor.never(function) + assessor.now(function, False)
        if grant.borrower in banned:
            why.insert(0, f"{grant.borrower} is banned; devlend unban {grant.borrower} lets it in again")
        return {**found, "state": "offered", "message": "; ".join(why)}

    def bans(self) -> list[dict[str, Any]]:
        return [{"host": ban.host, "since": iso(ban.since)} for ban in self._bans.all()]

    def leases(self) -> list[dict[str, Any]]:
        try:
            lents = {lent.address: lent for lent in self._kernel.lent()}
        except kernel.KernelError:
            lents = {}
        return [
            {
                "name": lease.name,
                "address": lease.address,
                "borrower": lease.borrower,
                "link": lease.link,
                "epoch": lease.epoch,
                "state": lease.state,
                "since": iso(lease.since),
                "expires": self._reconciler.expires(lease),
                "contained": lease.address in lents and lents[lease.address].contained,
                "limits": list(lents[lease.address].limits) if lease.address in lents else [],
                "message": lease.message,
            }
            for lease in self._store.leases()
        ]

    def offers(self, borrower: str) -> list[dict[str, Any]]:
        """What `borrower` may borrow, for offers.list; grants whose device is away are left out."""
        leases = self._store.leases()
        functions = self._devices.scan(leases)
        found = []
        for grant in self._store.grants():
            if grant.borrower != borrower or grant.held:
                continue
            matching = selector.matching(grant.device, functions)
            if len(matching) != 1 or any(row.address == matching[0].address and not row.live for row in leases):
                continue
            function = matching[0]
            found.append(
                {
                    "name": grant.name,
                    "address": function.address,
                    "vendor": function.vendor,
                    "device": function.device,
                    "class": function.class_code,
                    "serial": function.serial,
                    "leased": any(lease.live and lease.name == grant.name for lease in leases),
                }
            )
        return found

    # Changes asked for by people

    def put_grants(
        self,
        items: list[dict[str, Any]],
        *,
        removed: Collection[str] = (),
        purge: bool,
        force: bool,
        dry_run: bool,
        notify: Notifier,
    ) -> dict[str, Any]:
        """Set `items` and take the names `removed` away, or with `purge` all others. All checks come first; what they
        refuse has changed nothing."""
        wanted = grants.parse(items, self.config.host)
        with self._lock:
            leases = self._store.leases()
            plan = grants.plan(
                self._store.grants(),
                leases,
                wanted,
                self._devices.scan(leases),
                self._devices.assessor().decide,
                self.config.host,
                removed=removed,
                purge=purge,
                force=force,
            )
            if dry_run or not plan.changed:
                return plan.document()
            self._store.replace_grants(plan.after)
            for action in plan.actions:
                log.info("grants: %s", action)
        self._withdraw(plan.ending, "its grant was revoked or changed", notify)
        with contextlib.suppress(kernel.KernelError):
            self.reconcile()  # a lease found in the kernel gets its grant's name before anybody asks for it
        for borrower in {grant.borrower for grant in plan.after}:
            notify.offers_changed(borrower)
        return plan.document()

    def recall(self, name: str, force: bool, notify: Notifier) -> str:
        """Take a device back and do not lend it again until its grant is put again; what was done, in words.

        Without `force` the borrower gets the configured grace to hand it over; a quarantined device is
        reset and checked again, which needs `force`.
        """
        with self._lock:
            with contextlib.suppress(kernel.KernelError):
                self.reconcile()  # what is meant is what stands now
            rows = [lease for lease in self._store.leases() if lease.name == name]
            if not rows:
                raise LendingError(
                    "no_lease", f"host {self.config.host} has no lease {name}; see its leases", status=404, name=name
                )
            lease = next((row for row in rows if row.live), rows[0])
            if not lease.live:
                if not force:
                    raise LendingError(
                        "quarantined",
                        f"lease {name}: {lease.address} is quarantined ({lease.message}); devlend clear {name} "
                        "resets and checks it again",
                        status=409,
                        name=name,
                        device=lease.address,
                    )
                self._leasing.clear(lease)
                return f"{lease.address} is healthy again and no longer quarantined"
            self._store.hold(name, holds.text("recalled", name, self._clock.wall(), self.config.host))
            if force:
                self._leasing.end(lease, True, "recalled by force")
        if not force:
            self._withdraw([lease], "recalled", notify)
        left = next((row for row in self._store.leases() if row.epoch == lease.epoch), None)
        if left is not None and left.live and self._is_over(left):
            return f"{lease.address} is back on {self.config.host}; the store could not be written: see the journal"
        if left is not None:
            raise LendingError(
                "quarantined" if not left.live else "kernel_error",
                f"lease {name}: {lease.address} of host {self.config.host} was taken back but is {left.state}: "
                f"{left.message}",
                status=409 if not left.live else 500,
                name=name,
                device=lease.address,
            )
        return f"{lease.address} is back on {self.config.host}; its grant is on hold until devlend release {name}"

    def hold(self, name: str, why: str) -> str:
        """Do not lend a grant again until it is released or put again; what was done, in words."""
        with self._lock:
            return holds.hold(self._store, name, why, self._clock.wall(), self.config.host)

    def release_hold(self, name: str, notify: Notifier) -> str:
        """Offer a grant again that is on hold; what was done, in words."""
        with self._lock:
            grant, done = holds.release(self._store, name, self.config.host)
        notify.offers_changed(grant.borrower)
        return done

    def clear(self, name: str, notify: Notifier) -> str:
        """Reset a quarantined device, by the name of its lease or its address, and check it again; see Leasing.clear.

        What was done, in words.
        """
        with self._lock:
            with contextlib.suppress(kernel.KernelError):
                self.reconcile()  # its address may have changed
            lease = quarantine.named(name, self._store.leases(), self.config.host)
            self._leasing.clear(lease)
        notify.offers_changed(lease.borrower)
        return f"{lease.address} of host {self.config.host} is healthy and no longer quarantined"

    def _is_over(self, lease: Lease) -> bool:
        """Whether the kernel has the lease no more."""
        try:
            return not any(machine.holds(lease, lent) for lent in self._kernel.lent())
        except kernel.KernelError:
            return False

    def ban(self, name: str) -> str:
        """Cut the borrower of a lease off, with all that it has, until `unban`; what was done, in words."""
        with self._lock:
            lease = next((row for row in self._store.leases() if row.live and row.name == name), None)
            if lease is None:
                raise LendingError(
                    "no_lease",
                    f"host {self.config.host} has no live lease {name}, whose borrower could be banned; see its leases",
                    status=404,
                    name=name,
                )
            # Its link is down, and all that it has is fenced, before any of it is reset.
            self._bans.put(lease.borrower, lease.link, self._clock.wall())
            mine = [row for row in self._store.leases() if row.live and row.borrower == lease.borrower]
            for row in mine:
                done = f"{row.borrower} was banned"
                self._store.hold(row.name, holds.text(done, row.name, self._clock.wall(), self.config.host))
                with contextlib.suppress(LendingError):  # it stays "returning"; the regular look tries again
                    self._leasing.end(row, True, "its borrower is banned")
        back = ", ".join(row.address for row in mine)
        return (
            f"{lease.borrower} is banned, and {back} taken back; devlend unban {lease.borrower} on "
            f"{self.config.host} lets it in again"
        )

    def unban(self, host: str) -> str:
        """Let a host in again; what was done, in words."""
        with self._lock:
            self._bans.lift(host, self.peerings())
        return f"{host} may come back; devlend release offers what is on hold for it, name by name"

    def _withdraw(self, leases: Iterable[Lease], why: str, notify: Notifier) -> None:
        """Recall leases, wait for the borrowers up to the grace, then take what is left by force."""
        open_leases = list(leases)
        with self._lock:
            for lease in open_leases:
                self._reconciler.recall(lease, self.config.recall_grace, why)
        deadline = self._clock.monotonic() + self.config.recall_grace
        while open_leases and not self._stopping.is_set():
            self.remind(notify, open_leases)
            now = self._clock.monotonic()
            dead = self._dead()
            with self._lock:
                present = {row.epoch: row for row in self._store.leases() if row.live}
                open_leases = [present[lease.epoch] for lease in open_leases if lease.epoch in present]
                # Over a dead link nobody can be asked, so there is nothing to wait for.
                late = [lease for lease in open_leases if now >= deadline or dead(lease.link)]
                for lease in late:
                    open_leases.remove(lease)
                    try:
                        self._leasing.end(lease, True, f"{why}; not handed back in time")
                    except LendingError as error:
                        log.warning("%s", error)  # stays "returning"; the regular look tries again
            if open_leases:
                self._stopping.wait(_LOOK)

    def remind(self, notify: Notifier, only: Iterable[Lease] | None = None) -> None:
        """Tell borrowers which devices are wanted back, each until it has heard it once from this daemon.

        May wait for peers that are slow to listen: for those of `only` these leases, if it is given.
        """
        now = self._clock.monotonic()
        epochs = None if only is None else {lease.epoch for lease in only}
        with self._lock:
            returning = [row for row in self._store.leases() if row.state == "returning"]
            self._told = {row.epoch: self._told[row.epoch] for row in returning if row.epoch in self._told}
            returning = [row for row in returning if epochs is None or row.epoch in epochs]
            left = {row.epoch: (self._reconciler.life(row).due or now) - now for row in returning}
        if not returning:
            return
        dead = self._dead()
        for lease in returning:
            if not dead(lease.link) and now - self._told.get(lease.epoch, float("-inf")) >= _REPEAT:
                delivered = notify.recall(lease, max(0.0, left[lease.epoch]))
                self._told[lease.epoch] = float("inf") if delivered else now

    def _dead(self) -> Callable[[int], bool]:
        """Whether nothing can be told a borrower over a link now. Links that cannot be looked at are not dead."""
        try:
            usable = {peering.link.id for peering in self.peerings() if peering.usable}
        except kernel.KernelError as error:
            log.warning("the links cannot be read: %s", error)
            return lambda link: False
        return lambda link: link not in usable

    # Changes asked for by peers

    def request(self, name: str, link_id: int, host: str) -> tuple[Lease, Lent]:
        """Lease `name` to the peer of a link. Asking again gives the same lease while it lives."""
        with self._lock:
            peering = self.identify(link_id, host)
            grant = next((row for row in self._store.grants() if row.name == name and row.borrower == host), None)
            if grant is None:
                raise LendingError(
                    "not_granted", f"host {self.config.host} grants no lease {name} to {host}", status=404, name=name
                )
            if grant.held:
                raise LendingError(
                    "held", f"lease {name} of host {self.config.host}: {grant.held}", status=409, name=name
                )
            leases = self._store.leases()
            live = next((row for row in leases if row.live and row.name == name), None)
            if live is not None:
                same = self._same_lease(live, peering)
                if same is not None:
                    return live, same
                leases = self._store.leases()
            function = selector.resolve(grant.device, self._devices.scan(leases), self.config.host, name)
            self._check_free(name, function, leases)
            result = self._leasing.give(name, host, function, peering.link)
            self._reconciler.renew(result[0])
            return result

    def _same_lease(self, lease: Lease, peering: Peering) -> Lent | None:
        """The device of a lease that is asked for again; None after an old one has been ended."""
        if lease.state == "returning":
            raise LendingError("returning", f"lease {lease.name} is being taken back: {lease.message}", status=409)
        if lease.link != peering.link.id and not self._dead()(lease.link):
            raise LendingError(
                "leased_elsewhere",
                f"lease {lease.name} stands over link {lease.link} of host {self.config.host}, which is ready; it is "
                f"not given over link {peering.link.id} as well",
                status=409,
                name=lease.name,
                device=lease.address,
            )
        lent = next((row for row in self._kernel.lent() if machine.holds(lease, row)), None)
        if lent is not None and (lease.link, lease.peer_epoch) == (peering.link.id, peering.link.peer_epoch):
            self._reconciler.renew(lease)
            return lent
        self._leasing.end(lease, True, "the borrower started anew and asks again")
        return None

    def _check_free(self, name: str, function: Function, leases: list[Lease]) -> None:
        held = next((row for row in leases if row.address == function.address), None)
        other = held or quarantine.of(function, leases)
        if other is not None:
            state = f"quarantined: {other.message}" if not other.live else f"leased as {other.name}"
            code = "device_busy" if other.live else "quarantined"
            raise LendingError(code, f"lease {name}: {function.address} of host {self.config.host} is {state}")
        never, now = self._devices.assessor().decide(function)
        if never or now:
            raise LendingError(
                "device_busy" if now else "device_not_lendable",
                f"lease {name}: {function.address} of host {self.config.host} cannot be lent: {'; '.join(never + now)}",
            )

    def release(self, name: str, epoch: int, link_id: int, host: str) -> None:
        """The borrower has detached the device. A lease that is over already is no error."""
        with self._lock:
            lease = self._of_peer(epoch, link_id, host)
            if lease is None:
                return
            try:
                self._leasing.end(lease, False, f"released by {host}")
            except LendingError as error:
                if error.code != "device_attached":
                    raise
                # The borrower knows best that it has detached; the kernel's view is from before a lost link or a
                # restart of the peer.
                log.warning(
                    "lease %s: %s released it, the kernel calls it attached: cut off, epoch %d", name, host, epoch
                )
                self._leasing.end(lease, True, f"released by {host}")

    def status(self, name: str, epoch: int, link_id: int, host: str) -> str:
        """State of the borrower's lease, "ended" when it is over; renews it."""
        with self._lock:
            lease = self._of_peer(epoch, link_id, host)
            if lease is None:
                return "ended"
            self._reconciler.renew(lease)
            return lease.state

    def _of_peer(self, epoch: int, link_id: int, host: str) -> Lease | None:
        """The live lease of an epoch that was given over a link. Names are labels, and may be lost with the store."""
        self.identify(link_id, host)
        live = [row for row in self._store.leases() if row.live]
        return next((row for row in live if (row.link, row.epoch) == (link_id, epoch)), None)

    def identify(self, link_id: int, host: str) -> Peering:
        """The link a peer's message came over, when `host` is who should be there."""
        peering = next((row for row in self.peerings() if row.link.id == link_id), None)
        if peering is None or not peering.link.ready:
            raise LendingError("link_not_ready", f"link {link_id} of host {self.config.host} is not ready", status=409)
        if peering.problem or peering.peer != host:
            problem = peering.problem or f"the peer of link {link_id} is {peering.peer}, not {host}"
            raise LendingError(
                "cabling_error", f"host {self.config.host} does not serve this link: {problem}", status=409
            )
        return peering

    # The regular look

    def reconcile(self) -> list[kernel.Link]:
        """Bring the store in line with the kernel; the links seen. Raises KernelError."""
        with self._lock:
            lents, links = snapshot(self._kernel)
            leases = self._store.leases()
            peerings = self._announcements.peerings(self.config, links)
            self._bans.enforce(peerings)
            note(self._store.write_holds)
            if leases or lents:
                self._reconciler.step(lents, peerings, lambda: self._devices.scan(leases))
            return links


class Notifier:
    """What the owner tells borrowers; `mailbox` in peer.py does it, tests may do otherwise."""

    def recall(self, lease: Lease, grace: float) -> bool:
        """Ask for a device back; False when the notice could not be delivered."""
        raise NotImplementedError

    def offers_changed(self, borrower: str) -> None:
        """Tell a borrower that asking again is worth while."""
        raise NotImplementedError
