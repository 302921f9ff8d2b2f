# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""borrowerd's operations: what the HTTP API and owners' notices may ask for, and the regular look."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from device_lending import kernel
from device_lending.borrower import plan as planning
from device_lending.borrower import strays
from device_lending.borrower.actions import Actions
from device_lending.borrower.attachment import (
    DRAINED,
    Action,
    Ask,
    Attachment,
    Ended,
    Event,
    Lease,
    Leave,
    Look,
    Offered,
    Recall,
    Release,
    Remember,
    Renewed,
    Seen,
    Stay,
    Unwant,
    Want,
)
from device_lending.borrower.offers import Offers
from device_lending.borrower.releases import Releases
from device_lending.borrower.renewals import Renewals, served
from device_lending.borrower.table import Table, item_of
from device_lending.borrower.telling import Telling
from device_lending.borrower.unmet import Unmet
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.config_space import ConfigSpaces
from device_lending.drain import Drain
from device_lending.errors import LendingError
from device_lending.events.journal import Journal
from device_lending.hello import versions
from device_lending.lanes import Lanes
from device_lending.links import Announcements, Peering
from device_lending.mailbox import protocol
from device_lending.mailbox.endpoint import Endpoint
from device_lending.mailbox.protocol import Envelope, PeerError
from device_lending.pci import busy
from device_lending.pci.nodes import complete, driver_of, nodes
from device_lending.pci.patient import Patient
from device_lending.pci.sysfs import Roots
from device_lending.pending import Answer, Pending
from device_lending.policy import NEW, USUAL
from device_lending.store.borrower import BorrowerStore, Wanted
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.borrower")

Present = dict[Lease, kernel.Borrowed]

# While another device is being attached there is a look each half second, and finding a device's nodes takes a walk
# through sysfs. Those of attached devices whose driver is still the same are looked for at most every so many seconds.
_NODES_EVERY = 4.0
_NEVER = float("inf")
# Seconds that a device that is taken from its users may take until its owner has it.
_TAKEN = 30.0
# Threads for each kind of question to each owner.
_ASKED = 4


class Borrower:
    """The borrower's half of a host. Raises LendingError. `wake` has the regular look taken at once."""

    def __init__(
        self,
        config: Config,
        store: BorrowerStore,
        port: kernel.KernelPort,
        announcements: Announcements,
        roots: Roots,
        clock: Clock,
        drain: Drain,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self._wake = wake
        self._store = store
        self._drain = drain
        self._leave_by = _NEVER
        self._kernel = port
        self._announcements = announcements
        self._roots = roots
        self._clock = clock
        # As many jobs as there are attachments may wait, each for its own owner or device.
        self._lanes = Lanes("actions", _ASKED, waiting=None)
        self._put_lock = threading.Lock()
        self._look_lock = threading.Lock()
        self._troubles = Troubles()
        self._patient = Patient(lambda address: busy.reasons(roots, address), guard=self._troubles.of)
        self._config_spaces = ConfigSpaces(roots, config.host, clock)
        self._stopping = threading.Event()
        self._nodes_found: dict[tuple[str, str], float] = {}
        self.telling = Telling(Journal("borrowerd", config.host, clock), clock)
        self._table = Table(self._carry_out, self.telling, self._troubles)
        self.endpoint = Endpoint(port, kernel.PORT_OWNER, config.host, announcements, self._serve)
        self._actions = Actions(store, port, self.endpoint, clock, self._peering, self._table)
        self._releases = Releases(
            store,
            self.endpoint,
            self._lanes,
            clock,
            self._table.changed.fire,
            self.telling.latencies,
            self._troubles,
        )
        self._renewals = Renewals(self.endpoint, self._lanes, clock, self._told)
        self._offers = Offers(self.endpoint, self._lanes, clock, self._peering)
        self._reachable: set[str] = set()
        self._unmet = Unmet()
        self._has_looked = False
        self._load()

    def stop(self) -> None:
        """End what waits and is under way; attached devices stay as they are."""
        self._stopping.set()
        self.telling.journal.stop()
        self._table.changed.fire()
        self._offers.stop()
        self.endpoint.stop()
        self._lanes.stop()

    def _load(self) -> None:
        """Attachments from the store; `look` finds their devices in the kernel."""
        holdings = {(row.owner, row.name): row for row in self._store.holdings() if not row.releasing}
        policies = {(row.owner, row.name): row.policy for row in self._store.wanted()}
        histories = self._store.histories()
        for key in sorted(policies.keys() | holdings.keys()):
            owner, name = key
            held = holdings.get(key)
            fresh = Attachment(
                name,
                owner,
                wanted=key in policies,
                not_before=self._clock.monotonic(),
                policy=policies.get(key, USUAL),
                history=histories.get(key, NEW),
            )
            if held is not None:
                fresh = replace(
                    fresh,
                    link=held.link,
                    handle=held.handle,
                    epoch=held.epoch,
                    remote_address=held.remote_address,
                    ttl=held.ttl,
                    peer_epoch=held.peer_epoch,
                    seen=self._clock.monotonic() - self._since(held.renewed),
                )
            self._table.put(fresh)

    def _since(self, renewed: float | None) -> float:
        """Seconds since a time of the wall clock; none when it is not known, or the clock was set back."""
        return 0.0 if renewed is None else max(0.0, self._clock.wall() - renewed)

    # Views

    def peerings(self) -> list[Peering]:
        """The links with their peers; none when the module is not loaded."""
        try:
            links = self._kernel.links()
        except kernel.NotLoaded:
            links = []
        return self._announcements.peerings(self.config, links)

    def _peering(self, link: int) -> Peering | None:
        return next((peering for peering in self.peerings() if peering.link.id == link), None)

    def attachments(self) -> list[dict[str, Any]]:
        try:
            borrowed: dict[int | None, kernel.Borrowed] = {item.id: item for item in self._kernel.borrowed()}
        except kernel.NotLoaded:
            borrowed = {}
        return [self._document(item, borrowed.get(item.borrowed)) for item in self._table.all()]

    def _document(self, item: Attachment, borrowed: kernel.Borrowed | None) -> dict[str, Any]:
        waiting = item.state in ("waiting", "failed") and item.not_before is not None and item.attempt > 0
        return {
            "name": item.name,
            "owner": item.owner,
            "state": item.state,
            "address": item.address,
            "remote_address": item.remote_address,
            "driver": item.driver,
            "nodes": list(item.nodes),
            "epoch": item.epoch,
            "attempt": item.attempt,
            "next_attempt": self._clock.at(item.not_before) if waiting and item.not_before is not None else None,
            "leaving": item.recall_by is not None,
            "recall_deadline": self._clock.at(item.recall_by) if item.recall_by not in (None, _NEVER) else None,
            **item.policy.document(),
            "spent": item.spent,
            "ended": item.history.ended,
            "began": item.history.began,
            "message": self._troubles.said(item_of(item.key)) or item.message,
            "interrupts": borrowed.interrupts if borrowed else None,
            "mappings": dict(borrowed.mappings) if borrowed else {},
        }

    def pending_releases(self) -> int:
        """How many leases are over whose owner has not acknowledged it."""
        return len(self._releases.pending())

    def config_space(self, name: str) -> Pending:
        """The configuration space of a borrowed device, as this host sees it. Raises LendingError."""
        found = next((item for item in self._table.all() if item.name == name and item.address), None)
        if found is None or found.address is None:
            text = f"host {self.config.host} has no device of an attachment {name}; see devlend list"
            raise LendingError("no_device", text, status=404, name=name)
        return self._config_spaces.ask(found.address)

    def releases(self) -> list[dict[str, Any]]:
        """Leases that are over whose owner has not acknowledged it."""
        return self._releases.documents()

    def offers(self) -> Pending:
        """What the owners behind all usable links offer to this host; a silent owner is left out and logged."""
        return self._offers.ask([peering for peering in self.peerings() if peering.usable])

    # Changes asked for by people

    def put_attachments(
        self,
        items: list[dict[str, Any]],
        *,
        removed: Collection[str] = (),
        purge: bool,
        force: bool,
        wait_returned: float,
        wait: float,
        dry_run: bool,
    ) -> Answer | Pending:
        """Want `items`, and the names `removed`, or with `purge` all others, no longer.

        All checks come first; what they refuse has changed nothing. The answer comes when what goes, or was going
        already under a name in `removed`, has been returned, for which it waits `wait_returned` seconds, and then, for
        `wait` more, when all of `items` are attached. The errors detach_timeout and attach_timeout say which are not,
        and why, and attach_refused, without waiting, that a person has to change something; they go on being tried.
        """
        peers = {item.peer for item in self.config.links} if self.config.links is not None else None
        wanted = planning.parse(items, self.config.host, peers, removed)
        self._know()
        with self._put_lock:
            found = [Wanted(item.name, item.owner) for item in self._table.all() if item.stray_until is not None]
            self._refuse_strays(wanted, found)
            stopped = [item for item in self._table.all() if item.state == "failed" or item.spent]
            failed = {Wanted(item.name, item.owner, item.policy) for item in stopped}
            plan = planning.plan(
                [*self._store.wanted(), *(item for item in found if item.name in removed)],
                wanted,
                failed,
                self._busy,
                self.config.host,
                removed=removed,
                purge=purge,
                force=force,
            )
            if dry_run:
                return plan.document()
            if plan.before != plan.after:
                self._store.replace_wanted(plan.after)
            for action in plan.actions:
                log.info("attachments: %s", action)
            for item in plan.gone:
                self._apply((item.owner, item.name), Unwant())
            now = self._clock.monotonic()
            for item in plan.named:
                self._table.put(Attachment(item.name, item.owner, not_before=now))
                self._apply((item.owner, item.name), Want(now, item.policy))
        with contextlib.suppress(kernel.KernelError):  # what is wanted stands; the regular look goes on trying
            self.look()
        going = {item.key for item in self._table.all() if not item.wanted} | self._releases.unfinished()
        gone = {(item.owner, item.name) for item in plan.gone}
        gone |= {key for key in going if key[1] in removed}
        return self._returned(plan, gone, wait_returned, wait) if wait_returned > 0 else self._attached(plan, wait)

    def forget(self, owner: str, name: str | None = None) -> str:
        """Forget an owner that is gone for good, with all that is wanted of it, or with `name` one pending release.

        What was done, in words. Refused while a device of the owner is here.
        """
        with self._put_lock:
            wanted = [] if name else [row for row in self._store.wanted() if row.owner == owner]
            if name is None:
                self._refuse_present(owner)
            released = self._releases.forget(owner, name, self.config.host)
            if not wanted and not released:
                what = f"no release of {name} that {owner} has not acknowledged" if name else f"nothing of {owner}"
                text = f"host {self.config.host} knows {what}; see devlend list"
                raise LendingError("not_found", text, status=404, name=name or owner)
            if wanted:
                self._store.replace_wanted(row for row in self._store.wanted() if row not in wanted)
            for row in wanted:
                log.warning("attachments: forget %s of %s", row.name, owner)
                self._apply((row.owner, row.name), Unwant())
        parts = [f"{row.name} is wanted no more" for row in wanted]
        return "; ".join([*parts, *(f"{owner} is not told that {item} is over" for item in released)])

    def _refuse_present(self, owner: str) -> None:
        present = next((item for item in self._table.all() if item.owner == owner and item.epoch is not None), None)
        if present is not None:
            raise LendingError(
                "device_attached",
                f"owner {owner}: {present.name} is {present.state} on host {self.config.host}, as "
                f"{present.address or present.remote_address}; devlend return {present.name} first",
                status=409,
                name=present.name,
                device=present.address,
            )

    def _refuse_strays(self, wanted: list[Wanted], found: list[Wanted]) -> None:
        names = {(item.owner, item.name) for item in found}
        strange = next((item for item in wanted if (item.owner, item.name) in names), None)
        if strange is not None:
            raise LendingError(
                "unknown_lease",
                f"attachment {strange.name}: no lease is called that, but a device of {strange.owner} that was found "
                f"on host {self.config.host}; borrow it by the name of its grant, which devlend offers tells",
                name=strange.name,
            )

    def _apply(self, key: tuple[str, str], event: Event) -> None:
        """Apply one of several events, so that the others are applied whatever comes of it."""
        with self._troubles.of(item_of(key), f"{type(event).__name__.lower()} could not be applied"):
            self._table.apply(key, event)

    def _know(self) -> None:
        """What is here is known from the first look on. Raises KernelError."""
        if not self._has_looked:
            self.look()

    def _busy(self, items: Sequence[Wanted]) -> dict[Wanted, tuple[str, list[str]]]:
        here: dict[Wanted, str] = {}
        for item in items:
            found = self._table.get((item.owner, item.name))
            if found is not None and found.state != "detaching":
                here[item] = found.address or self._address(found) or ""
        uses = self._uses([address for address in here.values() if address])
        return {item: (address, uses[address]) for item, address in here.items() if address}

    def _address(self, item: Attachment) -> str | None:
        """What no look has seen yet. Raises KernelError."""
        with contextlib.suppress(kernel.NotLoaded):
            row = self._present().get(item.lease)
            return row.address if row else None
        return None

    def _uses(self, addresses: Sequence[str]) -> dict[str, list[str]]:
        """Why each device is in use here; one whose disks do not open for a long time may be."""
        unknown = ["its driver does not answer, so that nobody can tell"]
        return {**dict.fromkeys(addresses, unknown), **self._patient.read(addresses)}

    def _returned(
        self, plan: planning.Plan, gone: set[tuple[str, str]], timeout: float, wait: float
    ) -> Answer | Pending:
        """Wait until what is gone is detached and, where its owner can be reached, given back."""

        def done() -> bool:
            pending = self._awaited()
            return self._stopping.is_set() or not any(self._table.get(key) or key in pending for key in gone)

        def outcome() -> Answer | Pending:
            if self._table.ask(done):
                return self._attached(plan, wait)
            stuck = next((item for item in self._table.all() if item.key in gone), None)
            if stuck is not None:
                raise LendingError(
                    "detach_timeout",
                    f"attachment {stuck.name}: {stuck.address} of host {self.config.host} is not detached after "
                    f"{timeout:g} s: {stuck.message or stuck.state}; it is tried again",
                    status=504,
                    name=stuck.name,
                    device=stuck.address,
                )
            log.warning("returned, but not acknowledged yet: %s", ", ".join(sorted(name for _owner, name in gone)))
            return self._attached(plan, wait)

        if not gone:
            return self._attached(plan, wait)
        return Pending(self._table.changed, lambda: self._table.ask(done), outcome, timeout)

    def _awaited(self) -> set[tuple[str, str]]:
        """(owner, name) of releases that an owner who can be reached has not acknowledged yet."""
        return {key for key in self._releases.unfinished() if key[0] in self._reachable}

    def _attached(self, plan: planning.Plan, timeout: float) -> Answer | Pending:
        """Wait until what the plan names is attached, or cannot be."""
        keys = [(item.owner, item.name) for item in plan.named]

        def missing() -> list[Attachment]:
            found = [self._table.get(key) for key in keys]
            return [item for item in found if item is not None and item.state != "attached"]

        def done() -> bool:
            left = missing()
            return self._stopping.is_set() or all(item.final for item in left)

        drained = self._drain.state() is not None

        def outcome() -> Answer:
            left = missing()
            if not left:
                return plan.document()
            if drained:
                raise LendingError(
                    "drained",
                    f"host {self.config.host} is drained: {', '.join(item.name for item in left)} will be attached "
                    "when it no longer is; devlend undrain does that",
                    status=409,
                    name=left[0].name,
                )
            reasons = "; ".join(
                f"{item.name} of {item.owner} is {item.state}, attempt {item.attempt}"
                + (f": {item.message}" if item.message else "")
                for item in left
            )
            final = any(item.final for item in left)
            raise LendingError(
                "attach_refused" if final else "attach_timeout",
                f"host {self.config.host}: not attached: {reasons}; it is tried again",
                status=409 if final else 504,
                name=left[0].name,
                device=left[0].remote_address,
            )

        if timeout <= 0:
            return plan.document()
        if drained:
            return outcome()
        return Pending(self._table.changed, lambda: self._table.ask(done), outcome, timeout)

    def drain(self, *, until_boot: bool, force: bool, wait: float) -> Pending:
        """Return all devices and want them still: what was done, in words. Waits `wait` seconds for who uses them.

        Then they are taken with `force`; without it they go as soon as nobody uses them any more, which is an error.
        """
        self._drain.begin(until_boot)
        self._leave_by = self._clock.monotonic() + wait if force else _NEVER
        self._know()
        before = [item for item in self._table.all() if item.address is not None]
        with contextlib.suppress(kernel.KernelError):  # the regular look goes on
            self.look()

        def left() -> list[Attachment]:
            return [item for item in self._table.all() if item.borrowed is not None or item.state == "attaching"]

        def done() -> bool:
            return self._stopping.is_set() or not (left() or self._awaited())

        def outcome() -> Answer:
            stuck = next(iter(left()), None)
            if stuck is not None:
                raise LendingError(
                    "device_busy",
                    f"host {self.config.host} is drained, but {stuck.address} ({stuck.name} of {stuck.owner}) is still "
                    f"here: {stuck.message or stuck.state}; it goes as soon as nobody uses it, and at once with force",
                    status=409,
                    name=stuck.name,
                    device=stuck.address,
                )
            names = ", ".join(item.name for item in before)
            return {"message": f"returned {names}" if names else "nothing was borrowed"}

        timeout = wait + (_TAKEN if force else 0)
        return Pending(self._table.changed, lambda: self._table.ask(done), outcome, timeout)

    def undrain(self) -> str:
        """Attach again what is wanted; what was done, in words."""
        with self._look_lock:  # a look under way would have devices leave for a drain that is over
            was = self._drain.end()
            self._leave_by = _NEVER
            now = self._clock.monotonic()
            for item in self._table.all():
                self._apply(item.key, Stay(now))
        with contextlib.suppress(kernel.KernelError):
            self.look()
        return "what is wanted is attached again" if was else "it was not drained"

    # The regular look

    def look(self) -> list[kernel.Link]:
        """Compare attachments with the kernel and start what is due; the links seen. Raises KernelError."""
        with self._look_lock:
            return self._look(self._in_use())

    def _in_use(self) -> dict[Lease, bool]:
        """Of the devices that may go, whether each is in use. That may take long, so it comes before all else."""
        drained, now = self._drain.state() is not None, self._clock.monotonic()
        items = [item for item in self._table.all() if drained or item.may_go(now)]
        going = {item.lease: item.address for item in items if item.address is not None}
        uses = self._uses(list(going.values()))
        return {lease: bool(uses[address]) for lease, address in going.items()}

    def _look(self, in_use: dict[Lease, bool]) -> list[kernel.Link]:
        try:
            peerings = self.peerings()
        except kernel.KernelError:
            self._reach(set())
            raise
        # Before the kernel is asked: what is attached after that is missing in its answer, and yet is not gone.
        items = self._table.all()
        present: Present = {}
        with contextlib.suppress(kernel.NotLoaded):
            present = self._present()
            items += self._adopt(present, peerings)
        for item, recall in self._unmet.take(items, self._clock.monotonic()):
            self._apply(item.key, recall)
            self._wake()  # whether it is in use was not looked at yet
        links: dict[int | None, kernel.Link] = {peering.link.id: peering.link for peering in peerings}
        usable = [(peering.peer, peering.link.id) for peering in peerings if peering.usable and peering.peer]
        self._reach({owner for owner, _link in usable})

        def link_to(owner: str, link: int | None) -> int | None:
            """A lease is its link's: that one while it leads to the owner, else any."""
            over = [number for peer, number in usable if peer == owner]
            return link if link in over else next(iter(over), None)

        unacknowledged = {(row.owner, row.name) for row in self._releases.pending()}
        undecided = strays.undecided(items)
        drained = self._drain.state() is not None

        def see(item: Attachment) -> None:
            self._see(item, present)
            if drained:
                self._table.apply(item.key, Leave(self._leave_by))
            if item.claimable and item.recall_by is None and item.owner in undecided:
                return
            link = link_to(item.owner, None if item.epoch is None else item.link)
            blocked = "the owner has not acknowledged the release before" if item.key in unacknowledged else ""
            blocked = DRAINED if drained else blocked
            # What was not looked at counts as in use: a recall may come in between.
            is_busy = in_use.get(item.lease, True)
            row = present.get(item.lease)
            alive = served(item, row, links.get(item.link))
            now = self._clock.monotonic()
            self._table.apply(item.key, Look(now, link, is_busy, blocked, alive, row is None, item.lease))
            if link is not None and item.state in ("attaching", "attached"):
                self._renewals.look(item, link)

        for item in items:
            with self._troubles.of(item_of(item.key), "it could not be looked at"):
                see(item)
        self._releases.look(link_to)
        self._has_looked = True
        return [peering.link for peering in peerings]

    def _present(self) -> Present:
        """What the kernel has borrowed. Raises KernelError."""
        return {(row.link, row.remote_id, row.epoch): row for row in self._kernel.borrowed()}

    def _adopt(self, present: Present, peerings: list[Peering]) -> list[Attachment]:
        """Attachments for the borrowed devices that have none. Raises KernelError."""
        unknown = [row for lease, row in present.items() if self._table.holder(lease) is None]
        if not unknown:
            return []
        # One whose attachment has just ended is in the first list, but not in a second.
        still = {row.id for row in self._kernel.borrowed()}
        by_link = {peering.link.id: peering for peering in peerings}
        found = []
        for row in unknown:
            with self._troubles.of(row.address or str(row.id), "what the kernel has borrowed could not be taken over"):
                stray = strays.adopted(row, by_link.get(row.link), self._clock.monotonic()) if row.id in still else None
                if stray is not None and self._table.put(stray):
                    log.warning("lease %s: found in the kernel, %s, owner %s, device %s, remote %s, epoch %s",
                                stray.name, row.state, stray.owner, stray.address, stray.remote_address,
                                stray.epoch)  # fmt: skip
                    found.append(stray)
        return found

    def _see(self, item: Attachment, present: Present) -> None:
        row = present.get(item.lease)
        now = self._clock.monotonic()
        if row is None:
            seen = Seen(now, None, missing=item.borrowed, unanswered=item.unanswered, lease=item.lease)
            self._table.apply(item.key, seen)
        # While it is being attached or detached, what is under way tells how it went; its files may be held meanwhile.
        elif row.state != "attaching" and item.state != "detaching":
            driver: str | None = None
            made: tuple[str, ...] = ()
            done = False
            if row.address:
                driver = driver_of(self._roots, row.address)
                made = self._nodes(item, row.address, driver)
                # Only an attach under way asks for it.
                done = item.state != "attached" and complete(self._roots, row.address, made)
            is_gone = row.state == "gone"
            seen = Seen(now, row.id, is_gone, row.address, driver, made, done, lease=item.lease)
            self._table.apply(item.key, seen)

    def _nodes(self, item: Attachment, address: str, driver: str | None) -> tuple[str, ...]:
        now = self._clock.monotonic()
        settled = item.state == "attached" and (item.address, item.driver) == (address, driver)
        if settled and now - self._nodes_found.get(item.key, float("-inf")) < _NODES_EVERY:
            return item.nodes
        # Not from when it was about to be attached: what its driver makes last may have been missing.
        self._nodes_found[item.key] = now if settled else float("-inf")
        return tuple(nodes(self._roots, address))

    def settling(self) -> bool:
        """True while something changes soon, so that looking often is worth while."""
        return any(item.state in ("attaching", "detaching") or item.recall_by for item in self._table.all())

    def next_due(self) -> float | None:
        """When the next attempt, renewal or end of a lease is due (monotonic), None without any."""
        items = self._table.all()
        attempts = [item.not_before for item in items if item.state != "attached"]
        leases = [at for item in items for at in (self._renewals.due(item), item.gives_up_at)]
        return min((at for at in (*attempts, *leases) if at is not None), default=None)

    def _reach(self, owners: set[str]) -> None:
        """Note who can be reached: what waits for another waits no longer."""
        if owners != self._reachable:
            self._reachable = owners
            self._table.changed.fire()

    def _carry_out(self, attachment: Attachment, action: Action) -> None:
        if isinstance(action, Release):
            self._actions.record_release(attachment, action)
            return
        if isinstance(action, Remember):
            self._store.remember(attachment.owner, attachment.name, attachment.history)
            return
        lane = ("ask", action.link) if isinstance(action, Ask) else ("device", attachment.key)
        if not self._lanes.submit(lane, lambda: self._actions.run(attachment, action)):
            self._actions.fail(attachment, "the system gives borrowerd no thread")

    # What owners tell

    def _told(self, key: tuple[str, str], epoch: int, asked: float, status: protocol.Status) -> None:
        """An owner has answered for a lease."""
        now = self._clock.monotonic()
        if status.state in ("ended", "quarantined"):
            self._doubt(key, epoch)
            return
        self._store.renew(*key, epoch, self._clock.wall_at(asked), status.ttl)
        self._table.apply(key, Renewed(epoch, asked, status.ttl))
        if status.state == "returning":  # its notice did not arrive, or this daemon was restarted
            grace = self.config.recall_grace if status.grace is None else status.grace
            self._table.apply(key, Recall(now, epoch, grace))
            self._wake()  # its time may be over before the look that is due

    def _doubt(self, key: tuple[str, str], epoch: int) -> None:
        """An owner calls a lease over: believed unless the kernel has its device in service, or cannot be asked."""
        item = self._table.get(key)
        if item is None or item.epoch != epoch:
            return
        try:
            link = next((peering.link for peering in self.peerings() if peering.link.id == item.link), None)
            rows = self._present()
        except kernel.KernelError:
            return
        ended = Ended(epoch, served(item, rows.get(item.lease), link))
        if ended.served and not item.doubt:
            log.warning("lease %s: %s calls it over, but device %s is in service: kept, epoch %d", item.name,
                        item.owner, item.address, epoch)  # fmt: skip
        self._table.apply(key, ended)

    def _of_link(self, link: int, epoch: int) -> list[Attachment]:
        """The attachment of a lease that its owner names."""
        return [item for item in self._table.all() if (item.link, item.epoch) == (link, epoch)]

    def _serve(self, link: int, _peer_epoch: int, envelope: Envelope) -> dict[str, Any] | None:
        try:
            return self._take(link, envelope)
        except kernel.KernelError as error:
            raise PeerError("kernel_error", f"the borrower's kernel: {error}") from error

    def _take(self, link: int, envelope: Envelope) -> dict[str, Any] | None:
        """Take in what an owner says. Raises PeerError and KernelError."""
        if envelope.kind == "hello":
            return versions()
        if envelope.kind not in ("lease.recall", "offers.changed"):
            raise PeerError("unknown_kind", f"this borrower does not know {envelope.kind}")
        peering = self._peering(link)
        if peering is None or not peering.usable or peering.peer != envelope.host:
            return None
        now = self._clock.monotonic()
        if envelope.kind == "lease.recall":
            recall = Recall(now, protocol.epoch(envelope.body), protocol.seconds(envelope.body, "grace"))
            meant = self._of_link(link, recall.epoch)
            if not meant:
                self._unmet.put(link, recall)
            is_news = self._note(meant, recall) or not meant
        else:
            waiting = [item for item in self._table.all() if item.state == "waiting" and item.wanted]
            is_news = self._note([item for item in waiting if item.owner == envelope.host], Offered(now))
        if is_news:
            self._wake()
        return None

    def _note(self, items: Iterable[Attachment], event: Event) -> bool:
        """Tell attachments of what was heard; whether that is news, which the next look goes by. It takes no look:
        however often a peer says something, there are no more of them than the one thread takes that looks."""
        is_news = False
        for item in items:
            self._apply(item.key, event)
            is_news |= self._table.get(item.key) != item
        return is_news
