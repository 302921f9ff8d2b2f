# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""ownerd's operations: what the HTTP API and the peers' daemons may ask for.

One lock guards what is decided and written down; nothing under it touches a device or waits for a peer. What touches a
device is done at the device's turn (turns.py), which is taken before the lock. Views wait for neither.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from device_lending import kernel, selecting
from device_lending.binding import Binder, BindError
from device_lending.clock import Clock, iso
from device_lending.config import Config
from device_lending.config_space import ConfigSpaces
from device_lending.drain import Drain
from device_lending.errors import LendingError
from device_lending.events.journal import Journal
from device_lending.found import UNKNOWN
from device_lending.kernel import Lent
from device_lending.links import Announcements, Peering
from device_lending.owner import grants, holds, quarantine
from device_lending.owner import lease as machine
from device_lending.owner.bans import Bans
from device_lending.owner.devices import Assessment, Assessor, Devices, document
from device_lending.owner.grants import Plan
from device_lending.owner.leasing import DRIVER_LIMIT, Leasing
from device_lending.owner.reconcile import Reconciler, snapshot
from device_lending.owner.reserved import Reserved
from device_lending.owner.reserving import Reserving
from device_lending.owner.telling import Telling
from device_lending.owner.turns import Turn, Turns
from device_lending.owner.withdrawals import Runs, Withdrawals
from device_lending.pci import selector
from device_lending.pci.nodes import driver_of
from device_lending.pci.scan import Function
from device_lending.pci.sysfs import Roots
from device_lending.pending import Answer, Pending
from device_lending.store.owner import Grant, Lease, OwnerStore
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.owner")

# How often, in seconds, a waiting recall looks again and repeats an undelivered notice.
_LOOK = 0.2
_REPEAT = 2.0
# How often a device is chosen anew for a lease whose grant changes meanwhile.
_ATTEMPTS = 3
_OTHER = "another device than the one that was reserved; revoke the grant, and grant it anew"


class Owner:
    """The owner's half of a host. Raises LendingError. What takes as long as a borrower takes runs in `lanes`."""

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
        self._drain = drain
        self._store = store
        self._kernel = port
        self._announcements = announcements
        self._clock = clock
        self._lock = threading.Lock()
        self._turns = turns or Turns(config.host, clock)
        self._troubles = Troubles()
        self._reserving = Reserving(store, reserved, partial(driver_of, roots), clock)
        self._devices = Devices(roots, port, config, self._turns.stuck, self._reserving.serials, self._troubles)
        self._config_spaces = ConfigSpaces(roots, config.host, clock)
        self.telling = Telling(Journal("ownerd", config.host, clock), clock)
        keeps = self._reserving.keeps
        self._leasing = Leasing(
            store, port, binder, clock, config.host, self._lock, self._turns.step, self.telling, keeps
        )
        self._reconciler = Reconciler(store, self._leasing, config, clock, self.telling, keeps, self._troubles)
        self._bans = Bans(store, port, config.host, self._troubles)
        self._stopping = threading.Event()
        self._withdrawals = Withdrawals(lanes)
        self._told: dict[int, float] = {}

    def stop(self) -> None:
        """End waits under way, and what is at work at a device once its step is done."""
        self._stopping.set()
        self.telling.journal.stop()
        self._withdrawals.stop()
        self._turns.stop()

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

    def config_space(self, address: str) -> Pending:
        """The configuration space of a function, as it has it."""
        return self._config_spaces.ask(address)

    def grants(self) -> list[dict[str, Any]]:
        leases = self._store.leases()
        functions = self._devices.scan(leases)
        assessor = self._devices.assessor()
        banned = {ban.host for ban in self._bans.all()}
        is_drained = self._drain.state() is not None
        reserved = self._reserving.names()
        return [
            self._reservation(self._grant(grant, leases, functions, assessor, banned, is_drained), grant, reserved)
            for grant in self._store.grants()
        ]

    def _reservation(self, found: dict[str, Any], grant: Grant, reserved: Collection[str]) -> dict[str, Any]:
        """A grant with what is to be said of its reservation; `reserved` are the names of those that are."""
        is_reserved = grant.name in reserved
        message = found["message"]
        if grant.reserve and not is_reserved:
            problem = self._reserving.problem(grant.name) or self._troubles.said(grant.name) or "nobody has looked yet"
            message = "; ".join(part for part in (message, f"not reserved yet: {problem}") if part)
        return {**found, "reserve": grant.reserve, "reserved": is_reserved, "message": message}

    def _grant(
        self,
        grant: Grant,
        leases: list[Lease],
        functions: list[Function],
        assessor: Assessor,
        banned: set[str],
        is_drained: bool,
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            **grant.document(),
            "grace": grant.grace,
            "address": None,
            "state": "unresolved",
            "message": "",
        }
        lease = next((row for row in leases if row.live and row.name == grant.name), None)
        if lease is not None:
            message = self._message(lease) or grant.held
            return {**found, "address": lease.address, "state": "leased", "message": message}
        try:
            function = selecting.resolve(grant.device, functions, self.config.host, grant.name)
        except LendingError as error:
            return {**found, "message": error.message}
        found["address"] = function.address
        ill = quarantine.of(function, leases)
        if ill is not None:
            return {**found, "state": "quarantined", "message": ill.message}
        if grant.held:
            return {**found, "state": "held", "message": grant.held}
        why = assessor.never(function) + assessor.now(function, False)
        if self._reserving.is_swapped(function):
            why.insert(0, f"{function.address} is {_OTHER}")
        if is_drained:
            why.insert(0, "this host is drained; devlend undrain has it lend again")
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
                "grace": self._reconciler.grace(lease),
                "contained": lease.address in lents and lents[lease.address].contained,
                "limits": list(lents[lease.address].limits) if lease.address in lents else [],
                "message": self._message(lease),
            }
            for lease in self._store.leases()
        ]

    def _message(self, lease: Lease) -> str:
        """What is to be said of a lease, in words: what hangs or goes wrong at its device before all else."""
        return self._turns.stuck(lease.address) or self._troubles.said(lease.address) or lease.message

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
    ) -> Answer | Pending:
        """Set `items` and take the names `removed` away, or with `purge` all others. All checks come first; what they
        refuse has changed nothing. The answer comes when the leases that go have ended."""
        wanted = grants.parse(items, self.config.host, removed)
        if not dry_run:
            self._reserving.retry(grant.name for grant in wanted)

        def change(assessed: Mapping[str, Assessment]) -> Answer | Pending:
            """With what has been found of functions, by address, whose turn it was."""
            current, leases = self._store.grants(), self._store.leases()
            asked: dict[str, Function] = {}

            def assess(function: Function) -> Assessment:
                if function.address not in assessed:
                    asked[function.address] = function
                return assessed.get(function.address, ([], []))

            plan = grants.plan(
                current,
                leases,
                wanted,
                self._devices.scan(leases),
                assess,
                self.config.host,
                removed=removed,
                purge=purge,
                force=force,
            )
            if asked:
                return self._assessed(asked.values(), lambda found: change({**assessed, **found}))
            if dry_run or not plan.changed:
                return plan.document()
            reserved = set(self._reserving.standing())
            with self._lock:
                # What the plan rests on may have changed while it was made: devices were looked at for it.
                is_old = current != self._store.grants() or _rights(leases) != _rights(self._store.leases())
                if not is_old:
                    self._store.replace_grants(plan.after)
            return change({}) if is_old else self._granted(plan, reserved, notify)

        return change({})

    def _assessed(
        self, functions: Iterable[Function], then: Callable[[dict[str, Assessment]], Answer | Pending]
    ) -> Answer | Pending:
        """Assessor.decide for each at its turn: two who open its disks at a time would disturb each other."""
        assessor = self._devices.assessor()
        begun = {
            function.address: self._turns.begin(function.address, partial(self._assess, assessor, function))
            for function in functions
        }
        return self._turns.when(
            list(begun.values()), lambda: then({address: self._turns.result(turn) for address, turn in begun.items()})
        )

    def _granted(self, plan: Plan, reserved: set[str], notify: Notifier) -> Answer | Pending:
        """What follows a change of grants; `reserved` are the functions that were before."""
        for action in plan.actions:
            log.info("grants: %s", action)
        freed: list[Turn[None]] = []

        def settled() -> None:
            with contextlib.suppress(kernel.KernelError):
                self.reconcile()  # a lease found in the kernel gets its grant's name before anybody asks for it
            for address in reserved - set(self._reserving.standing()):
                with contextlib.suppress(LendingError):  # what hangs there is named already
                    freed.append(self._turns.begin(address, partial(self._free, address)))
            for borrower in {grant.borrower for grant in plan.after}:
                notify.offers_changed(borrower)

        return self._begin(
            plan.ending,
            "its grant was revoked or changed",
            notify,
            settled,
            lambda: self._turns.when(freed, plan.document),
        )

    def recall(self, name: str, force: bool, notify: Notifier) -> Answer | Pending:
        """Take a device back and do not lend it again until its hold is released; {"message": what was done}.

        Without `force` the borrower gets the grace of the lease to hand it over; a quarantined device is
        reset and checked again, which needs `force`.
        """
        with contextlib.suppress(kernel.KernelError):
            self.reconcile()  # what is meant is what stands now
        with self._lock:
            rows = [lease for lease in self._store.leases() if lease.name == name]
            if not rows:
                raise LendingError(
                    "no_lease", f"host {self.config.host} has no lease {name}; see its leases", status=404, name=name
                )
            lease = next((row for row in rows if row.live), rows[0])
            if lease.live:
                held = holds.text("recalled", name, self._clock.wall(), self.config.host)
                self._reconciler.recall(lease, "recalled by force" if force else "recalled", held, force)
            elif not force:
                raise LendingError(
                    "quarantined",
                    f"lease {name}: {lease.address} is quarantined ({lease.message}); devlend clear {name} "
                    "resets and checks it again",
                    status=409,
                    name=name,
                    device=lease.address,
                )
        if not lease.live:
            said = f"{lease.address} is healthy again and no longer quarantined"
            return self._at_turn(lease.address, partial(self._clear, lease), lambda: {"message": said})
        if force:
            end = partial(self._end, lease, True, "recalled by force")
            return self._at_turn(lease.address, end, lambda: self._recalled(lease))
        self._turns.refuse(lease.address)
        return self._begin([lease], "recalled", notify, lambda: None, lambda: self._recalled(lease))

    def _at_turn(self, device: str, work: Callable[[], None], outcome: Callable[[], Answer]) -> Answer | Pending:
        """Have it done at the device's turn; then `outcome`. What the work raises is the answer, too."""
        turn = self._turns.begin(device, work)

        def done() -> Answer:
            self._turns.result(turn)
            return outcome()

        return self._turns.when([turn], done)

    def _recalled(self, lease: Lease) -> Answer:
        self._turns.refuse(lease.address)
        left = next((row for row in self._store.leases() if row.epoch == lease.epoch), None)
        if left is not None:
            raise LendingError(
                "quarantined" if not left.live else "kernel_error",
                f"lease {lease.name}: {lease.address} of host {self.config.host} was taken back but is {left.state}: "
                f"{left.message}",
                status=409 if not left.live else 500,
                name=lease.name,
                device=lease.address,
            )
        back = f"{lease.address} is back on {self.config.host}"
        return {"message": f"{back}; its grant is on hold until devlend release {lease.name}"}

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

    def clear(self, name: str, notify: Notifier) -> Answer | Pending:
        """Reset a quarantined device, by the name of its lease or its address, and check it again; see Leasing.clear.

        What was done, in words.
        """
        with contextlib.suppress(kernel.KernelError):
            self.reconcile()  # its address may have changed
        lease = quarantine.named(name, self._store.leases(), self.config.host)

        def cleared() -> Answer:
            notify.offers_changed(lease.borrower)
            return {"message": f"{lease.address} of host {self.config.host} is healthy and no longer quarantined"}

        return self._at_turn(lease.address, partial(self._clear, lease), cleared)

    def ban(self, name: str) -> Answer | Pending:
        """Cut the borrower of a lease off, with all that it has, until `unban`; what was done, in words."""
        with self._lock:
            lease = self._live(name)
            if lease is None:
                raise LendingError(
                    "no_lease",
                    f"host {self.config.host} has no live lease {name}, whose borrower could be banned; see its leases",
                    status=404,
                    name=name,
                )
        host = self._banned(lease)
        # Its link is down, and all that it has is fenced, before any of it is reset.
        self._bans.put(host, lease.link, self._clock.wall())
        with self._lock:
            live = [row for row in self._store.leases() if row.live]
            mine = [row for row in live if row.link == lease.link or row.borrower == host]
            for row in mine:
                done = f"{host} was banned"
                held = holds.text(done, row.name, self._clock.wall(), self.config.host)
                self._reconciler.recall(row, "its borrower is banned", held, force=True)
        begun = self._begin_ends(mine, "its borrower is banned")

        def banned() -> Answer:
            left = self._failed(begun)
            back = ", ".join(row.address for row in mine if row.epoch not in left)
            taken = f", and {back} taken back" if back else ""
            problems = "".join(f"; not taken back yet: {problem}" for problem in left.values())
            again = f"devlend unban {host} on {self.config.host} lets it in again"
            return {"message": f"{host} is banned{taken}; {again}{problems}"}

        return self._turns.when([end for end in begun.values() if isinstance(end, Turn)], banned)

    def _banned(self, lease: Lease) -> str:
        """What a ban of the borrower of a lease is called by: its NTB function where nobody knows its name."""
        if lease.borrower != UNKNOWN:
            return lease.borrower
        peering = next((row for row in self.peerings() if row.link.id == lease.link), None)
        if peering is None:
            raise LendingError(
                "link_not_ready",
                f"lease {lease.name}: its borrower is not known, and host {self.config.host} has no link {lease.link} "
                f"any more; devlend recall {lease.name} --force takes the device",
                status=409,
                name=lease.name,
                device=lease.address,
            )
        return peering.peer or peering.link.ntb

    def unban(self, host: str) -> str:
        """Let a host in again; what was done, in words."""
        self._bans.lift(host, self.peerings())
        return f"{host} may come back; devlend release offers what is on hold for it, name by name"

    def drain(self, until_boot: bool, notify: Notifier) -> Answer | Pending:
        """Recall all leases, and lend nothing until `undrain`; grants stay as they are. What was done, in words."""
        with self._lock:
            self._drain.begin(until_boot)
            live = [row for row in self._store.leases() if row.live]
        names = ", ".join(row.name for row in live)
        done = {"message": f"took back {names}" if names else "nothing was lent"}
        return self._begin(live, self._drained(), notify, lambda: None, lambda: done)

    def _drained(self) -> str:
        """Why all leases are recalled; "" when they are not."""
        return "" if self._drain.state() is None else f"host {self.config.host} is drained"

    def undrain(self, notify: Notifier) -> str:
        """Lend again; what was done, in words."""
        was = self._drain.end()
        for borrower in {grant.borrower for grant in self._store.grants()}:
            notify.offers_changed(borrower)
        return "what is granted is lent again" if was else "it was not drained"

    def _begin(
        self,
        leases: Sequence[Lease],
        why: str,
        notify: Notifier,
        settled: Callable[[], None],
        outcome: Callable[[], Answer | Pending],
    ) -> Answer | Pending:
        """Recall leases and take them, one apart from the other; then `settled`, whether somebody waits or not."""
        with self._lock:
            present = {row.epoch: row for row in self._store.leases() if row.live}
            for lease in leases:
                if lease.epoch in present:
                    self._reconciler.recall(present[lease.epoch], why)
        by_epoch = {lease.epoch: present.get(lease.epoch, lease) for lease in leases}
        return self._withdrawals.begin(
            by_epoch, lambda epoch: self._withdraw(by_epoch[epoch], why, notify), settled, outcome
        )

    def _withdraw(self, recalled: Lease, why: str, notify: Notifier) -> None:
        """Wait for the borrower of a recalled lease up to the grace, then take it by force."""
        deadline = self._clock.monotonic() + self._reconciler.grace(recalled)
        while not self._stopping.is_set():
            self.remind(notify, epoch=recalled.epoch)
            lease = next((row for row in self._store.leases() if row.live and row.epoch == recalled.epoch), None)
            if lease is None:
                return
            # Over a dead link nobody can be asked, so there is nothing to wait for.
            if self._clock.monotonic() >= deadline or self._dead()(lease.link):
                end = partial(self._end, lease, True, f"{why}; not handed back in time")
                try:
                    self._turns.run(lease.address, end)
                except LendingError as error:  # the regular look tries it again
                    log.warning("%s", error)
                return
            self._stopping.wait(_LOOK)

    def _begin_ends(self, leases: Iterable[Lease], why: str) -> dict[int, Turn[None] | Exception]:
        """Begin to take devices back by force, all at once; by epoch, or why it could not be begun."""
        begun: dict[int, Turn[None] | Exception] = {}
        for lease in leases:
            try:
                begun[lease.epoch] = self._turns.begin(lease.address, partial(self._end, lease, True, why))
            except LendingError as error:
                begun[lease.epoch] = error
        return begun

    def _failed(self, begun: Mapping[int, Turn[None] | Exception]) -> dict[int, Exception]:
        """What failed of what was begun and is over, by epoch. The regular look tries it again."""
        failed: dict[int, Exception] = {}
        for epoch, end in begun.items():
            try:
                if isinstance(end, Exception):
                    raise end
                self._turns.result(end)
            except Exception as error:  # it is named; the others are served
                failed[epoch] = error
                log.warning("%s", error)
        return failed

    def returning(self) -> set[int]:
        """The links over which devices are wanted back."""
        return {row.link for row in self._store.leases() if row.state == "returning"}

    def remind(self, notify: Notifier, *, link: int | None = None, epoch: int | None = None) -> None:
        """Tell borrowers which devices are wanted back, each until it has heard it once from this daemon.

        May wait for peers that are slow to listen: for those of one link or lease, if it is given.
        """
        now = self._clock.monotonic()
        with self._lock:
            returning = [row for row in self._store.leases() if row.state == "returning"]
            self._told = {row.epoch: self._told[row.epoch] for row in returning if row.epoch in self._told}
            returning = [row for row in returning if link in (None, row.link) and epoch in (None, row.epoch)]
            left = {row.epoch: (self._reconciler.life(row).due or now) - now for row in returning}
        if not returning:
            return
        dead = self._dead()
        for lease in returning:
            if not dead(lease.link) and now - self._told.get(lease.epoch, float("-inf")) >= _REPEAT:
                with self._troubles.of(lease.address, f"the borrower of {lease.name} could not be told"):
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
        self.identify(link_id, host)
        for _attempt in range(_ATTEMPTS):
            device = self._meant(name, host)
            given = self._turns.run(device, partial(self._give, name, link_id, host, device))
            if given is not None:
                return given
        raise LendingError("busy", f"lease {name} is being changed on host {self.config.host}; ask again", status=409)

    def _grant_of(self, name: str, host: str) -> Grant:
        """The grant a peer asks for."""
        grant = next((row for row in self._store.grants() if row.name == name and row.borrower == host), None)
        if grant is None:
            raise LendingError(
                "not_granted", f"host {self.config.host} grants no lease {name} to {host}", status=404, name=name
            )
        return grant

    def _offered(self, name: str, host: str) -> Grant:
        """The same, if a new lease may be given now."""
        grant = self._grant_of(name, host)
        if grant.held:
            raise LendingError("held", f"lease {name} of host {self.config.host}: {grant.held}", status=409, name=name)
        if self._drain.state() is not None:
            raise LendingError(
                "drained", f"host {self.config.host} is drained and lends nothing", status=409, name=name
            )
        return grant

    def _live(self, name: str) -> Lease | None:
        return next((row for row in self._store.leases() if row.live and row.name == name), None)

    def _resolve(self, grant: Grant) -> Function:
        functions = self._devices.scan(self._store.leases())
        return selecting.resolve(grant.device, functions, self.config.host, grant.name)

    def _meant(self, name: str, host: str) -> str:
        """The address of the device that a lease has, or would have if it was given now."""
        live = self._live(name)
        return self._resolve(self._offered(name, host)).address if live is None else live.address

    def _give(self, name: str, link_id: int, host: str, device: str) -> tuple[Lease, Lent] | None:
        """At the turn of the device that was meant: its lease; None when another device is meant now."""
        peering = self.identify(link_id, host)
        # A hold, and a drain, leave a live lease to who has it, and may have forgotten that.
        self._grant_of(name, host)
        live = self._live(name)
        if live is not None and live.address != device:
            return None
        same = None if live is None else self._same_lease(live, peering)
        if live is not None and same is not None:
            return live, same
        grant = self._offered(name, host)
        if live is not None:
            self._end(live, True, "the borrower started anew and asks again")
        function = self._resolve(grant)
        if function.address != device:
            return None
        self._check_free(name, function, self._store.leases())
        greatest = self._leasing.greatest_epoch()
        with self._lock:
            if self._offered(name, host) != grant or self._live(name) is not None:
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
        if lease.link != peering.link.id and not self._dead()(lease.link):
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
            f"lease {lease.name} stands over link {lease.link} of host {self.config.host}; over link {link} it is "
            "neither given as well nor renewed",
            status=409,
            name=lease.name,
            device=lease.address,
        )

    def _check_free(self, name: str, function: Function, leases: list[Lease]) -> None:
        problem = self._unfree(function, leases)
        if problem is not None:
            code, text = problem
            raise LendingError(code, f"lease {name}: {function.address} of host {self.config.host} {text}")

    def _unfree(self, function: Function, leases: list[Lease]) -> tuple[str, str] | None:
        """Why a function cannot be had, as a code and in words; None when it can. At its turn."""
        held = next((row for row in leases if row.address == function.address), None)
        other = held or quarantine.of(function, leases)
        if other is not None:
            state = f"quarantined: {other.message}" if not other.live else f"leased as {other.name}"
            return "device_busy" if other.live else "quarantined", f"is {state}"
        if self._reserving.is_swapped(function):
            return "device_not_lendable", f"is {_OTHER}"
        never, now = self._assess(self._devices.assessor(), function)
        if never or now:
            return "device_busy" if now else "device_not_lendable", f"cannot be lent: {'; '.join(never + now)}"
        return None

    def release(self, name: str, epoch: int, link_id: int, host: str) -> None:
        """The borrower has detached the device. A lease that is over already is no error."""
        self.identify(link_id, host)
        lease = self._of_peer(epoch, link_id, host)
        if lease is not None:
            self._turns.run(lease.address, lambda: self._released(name, lease, host))

    def _released(self, name: str, lease: Lease, host: str) -> None:
        try:
            self._end(lease, False, f"released by {host}")
        except LendingError as error:
            if error.code != "device_attached":
                raise
            # The borrower knows best that it has detached; the kernel's view is from before a lost link or a
            # restart of the peer.
            log.warning("lease %s: %s released it, the kernel calls it attached: cut off, epoch %d", name, host,
                        lease.epoch)  # fmt: skip
            self._end(lease, True, f"released by {host}")

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
        peering = next((row for row in self.peerings() if row.link.id == link_id), None)
        if peering is None or not peering.link.ready:
            raise LendingError("link_not_ready", f"link {link_id} of host {self.config.host} is not ready", status=409)
        if peering.problem or peering.peer != host:
            problem = peering.problem or f"the peer of link {link_id} is {peering.peer}, not {host}"
            raise LendingError(
                "cabling_error", f"host {self.config.host} does not serve this link: {problem}", status=409
            )
        return peering

    # At a device's turn

    def _assess(self, assessor: Assessor, function: Function) -> tuple[list[str], list[str]]:
        self._turns.step(function.address, "opening it to see whether it is in use", DRIVER_LIMIT)
        return assessor.decide(function)

    def _end(self, lease: Lease, force: bool, why: str) -> None:
        """End a lease, unless it has ended meanwhile."""
        row = next((row for row in self._store.leases() if row.live and row.epoch == lease.epoch), None)
        if row is not None:
            self._leasing.end(row, force, why)

    def _clear(self, lease: Lease) -> None:
        """Clear a quarantined device, unless somebody else has done so meanwhile."""
        row = next((row for row in self._store.leases() if not row.live and row.epoch == lease.epoch), None)
        if row is not None:
            self._leasing.clear(row)

    def _free(self, address: str) -> None:
        """Give a function back that is bound without a lease, unless it has one meanwhile, or is reserved."""
        if all(row.address != address for row in self._store.leases()) and not self._reserving.keeps(address):
            self._leasing.free(address)

    def _reserve(self, grant: Grant, address: str) -> None:
        """Reserve the device of a grant, unless it is in use, or the grant means another one by now."""
        leases = self._store.leases()
        function = next((row for row in self._devices.scan(leases) if row.address == address), None)
        if function is None or grant not in self._store.grants() or grant.name in self._reserving.names():
            return
        lease = next((row for row in leases if row.address == address), None)
        is_its_own = lease is not None and lease.live and lease.name == grant.name
        unfree = None if is_its_own else self._unfree(function, leases)
        if self._reserving.is_other(grant, address):
            unfree = "device_not_lendable", f"is {_OTHER}"
        if unfree is not None:
            self._reserving.failed(grant.name, f"{address} {unfree[1]}")
            return
        try:
            # In this order: what is written down is what a boot does, and it was free a moment ago.
            self._reserving.put(grant.name, function)
            if lease is None:
                self._leasing.keep(address)
        except (BindError, OSError) as error:
            self._reserving.failed(grant.name, str(error))

    def _end_alone(self, lease: Lease, why: str) -> None:
        try:
            self._end(lease, True, why)
        except LendingError as error:
            log.warning("%s", error)

    # The regular look

    def reconcile(self) -> list[kernel.Link]:
        """Bring the store in line with the kernel, and begin what is due at devices; the links seen.

        Raises KernelError.
        """
        mark = self._turns.mark()
        lents, links = snapshot(self._kernel)
        leases = self._store.leases()
        peerings = self._announcements.peerings(self.config, links)
        with self._troubles.of("bans", "they could not be enforced"):
            self._bans.enforce(peerings, self._clock.wall())
        given_up: list[str] = []
        with self._troubles.of("reservations", "they could not be withdrawn"):
            given_up = self._reserving.withdraw()
        functions = self._devices.scan(leases) if self._reconciler.is_puzzled(lents) else None
        with self._lock:
            quiet = partial(self._turns.quiet_since, mark)
            due = self._reconciler.step(lents, peerings, functions, quiet, self._drained())
        for lease, why in due.ends:
            self._begin_alone(lease.address, partial(self._end_alone, lease, why))
        for address in {*due.frees, *given_up}:
            self._begin_alone(address, partial(self._free, address))
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
        live = self._live(grant.name)
        try:
            address = selecting.resolve(grant.device, functions, self.config.host, grant.name).address
        except LendingError as error:
            self._reserving.failed(grant.name, error.message)
            return
        if live is None or live.address == address:
            self._begin_alone(address, partial(self._reserve, grant, address))

    def _begin_alone(self, device: str, work: Callable[[], None]) -> None:
        """Begin what nobody waits for; what hangs there is named already."""
        with contextlib.suppress(LendingError):
            self._turns.begin(device, work)


def _rights(leases: Iterable[Lease]) -> list[tuple[int, str, str, str, bool]]:
    """What of leases a plan of grants rests on."""
    return [(lease.epoch, lease.name, lease.address, lease.borrower, lease.live) for lease in leases]


class Notifier:
    """What the owner tells borrowers; `mailbox` in peer.py does it, tests may do otherwise."""

    def recall(self, lease: Lease, grace: float) -> bool:
        """Ask for a device back; False when the notice could not be delivered."""
        raise NotImplementedError

    def offers_changed(self, borrower: str) -> None:
        """Tell a borrower that asking again is worth while."""
        raise NotImplementedError
