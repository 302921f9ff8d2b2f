# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Looks: attachments are compared with the kernel, and what is due is started."""

from __future__ import annotations

import contextlib
import logging
import threading

from device_lending import kernel
from device_lending.borrower import strays
from device_lending.borrower.attachment import DRAINED, Attachment
from device_lending.borrower.attachment_events import NEVER, Lease, Leave, Look, Seen, Stay
from device_lending.borrower.ground import Ground, Present
from device_lending.borrower.releases import Releases
from device_lending.borrower.renewals import Renewals, served
from device_lending.borrower.table import item_of
from device_lending.borrower.unmet import Unmet
from device_lending.clock import Clock
from device_lending.drain import Drain
from device_lending.links import Peering
from device_lending.pci.nodes import awaits_disks, complete, driver_of, nodes

log = logging.getLogger("device_lending.borrower")

# While another device is being attached there is a look each half second, and finding a device's nodes takes a walk
# through sysfs. Those of attached devices whose driver is still the same are looked for at most every so many seconds.
_NODES_EVERY = 4.0


def _left(drain: Drain, clock: Clock) -> float:
    """When a drain that was begun before the start takes what is in use, of the monotonic clock."""
    state = drain.state()
    return NEVER if state is None or state.by is None else clock.monotonic() + max(0.0, state.by - clock.wall())


class Looks:
    """One look at a time."""

    def __init__(self, ground: Ground, unmet: Unmet, releases: Releases, renewals: Renewals) -> None:
        self._ground = ground
        self._unmet = unmet
        self._releases = releases
        self._renewals = renewals
        self._lock = threading.Lock()
        self._leave_by = _left(ground.drain, ground.clock)
        self._nodes_found: dict[tuple[str, str], float] = {}
        self._reachable: set[str] = set()
        self._has_looked = False

    def know(self) -> None:
        """What is here is known from the first look on. Raises KernelError."""
        if not self._has_looked:
            self.look()

    def look(self) -> list[kernel.Link]:
        """Compare attachments with the kernel and start what is due; the links seen. Raises KernelError."""
        with self._lock:
            return self._look(self._in_use())

    def _in_use(self) -> dict[Lease, bool]:
        """Of the devices that may go, whether each is in use. That may take long, so it comes before all else."""
        drained, now = self._ground.drain.state() is not None, self._ground.clock.monotonic()
        items = [item for item in self._ground.table.all() if drained or item.may_go(now)]
        going = {item.lease: item.address for item in items if item.address is not None}
        uses = self._ground.uses(list(going.values()))
        return {lease: bool(uses[address]) for lease, address in going.items()}

    def _look(self, in_use: dict[Lease, bool]) -> list[kernel.Link]:
        try:
            peerings = self._ground.peerings()
        except kernel.KernelError:
            self._reach(set())
            raise
        # Before the kernel is asked: what is attached after that is missing in its answer, and yet is not gone.
        items = self._ground.table.all()
        present: Present = {}
        with contextlib.suppress(kernel.NotLoaded):
            present = self._ground.present()
            items += self._adopt(present, peerings)
        for item, recall in self._unmet.take(items, self._ground.clock.monotonic()):
            self._ground.apply(item.key, recall)
            self._ground.wake()  # whether it is in use was not looked at yet
        links: dict[int | None, kernel.Link] = {peering.link.id: peering.link for peering in peerings}
        usable = [(peering.peer, peering.link.id) for peering in peerings if peering.usable and peering.peer]
        self._reach({owner for owner, _link in usable})

        def link_to(owner: str, link: int | None) -> int | None:
            """A lease is its link's: that one while it leads to the owner, else any."""
            over = [number for peer, number in usable if peer == owner]
            return link if link in over else next(iter(over), None)

        unacknowledged = {(row.owner, row.name) for row in self._releases.pending()}
        undecided = strays.undecided(items)
        drained = self._ground.drain.state() is not None

        def see(item: Attachment) -> None:
            self._see(item, present)
            if drained:
                self._ground.table.apply(item.key, Leave(self._leave_by))
            if item.claimable and item.recall_by is None and item.owner in undecided:
                return
            link = link_to(item.owner, None if item.epoch is None else item.link)
            blocked = "the owner has not acknowledged the release before" if item.key in unacknowledged else ""
            blocked = DRAINED if drained else blocked
            # What was not looked at counts as in use: a recall may come in between.
            is_busy = in_use.get(item.lease, True)
            row = present.get(item.lease)
            alive = served(item, row, links.get(item.link))
            now = self._ground.clock.monotonic()
            self._ground.table.apply(item.key, Look(now, link, is_busy, blocked, alive, row is None, item.lease))
            if link is not None and item.state in ("attaching", "attached"):
                self._renewals.look(item, link)

        for item in items:
            with self._ground.troubles.of(item_of(item.key), "it could not be looked at"):
                see(item)
        self._releases.look(link_to)
        self._has_looked = True
        return [peering.link for peering in peerings]

    def _adopt(self, present: Present, peerings: list[Peering]) -> list[Attachment]:
        """Attachments for the borrowed devices that have none. Raises KernelError."""
        unknown = [row for lease, row in present.items() if self._ground.table.holder(lease) is None]
        if not unknown:
            return []
        # One whose attachment has just ended is in the first list, but not in a second.
        still = {row.id for row in self._ground.kernel.borrowed()}
        by_link = {peering.link.id: peering for peering in peerings}
        found = []
        for row in unknown:
            name = row.address or str(row.id)
            with self._ground.troubles.of(name, "what the kernel has borrowed could not be taken over"):
                if row.id not in still:
                    continue
                stray = strays.adopted(row, by_link.get(row.link), self._ground.clock.monotonic())
                if stray is not None and self._ground.table.put(stray):
                    log.warning("lease %s: found in the kernel, %s, owner %s, device %s, remote %s, epoch %s",
                                stray.name, row.state, stray.owner, stray.address, stray.remote_address,
                                stray.epoch)  # fmt: skip
                    found.append(stray)
        return found

    def _see(self, item: Attachment, present: Present) -> None:
        row = present.get(item.lease)
        now = self._ground.clock.monotonic()
        if row is None:
            seen = Seen(now, None, missing=item.borrowed, unanswered=item.unanswered, lease=item.lease)
            self._ground.table.apply(item.key, seen)
        # While it is being attached or detached, what is under way tells how it went; its files may be held meanwhile.
        elif row.state != "attaching" and item.state != "detaching":
            driver: str | None = None
            made: tuple[str, ...] = ()
            done = disks = False
            if row.address:
                driver = driver_of(self._ground.roots, row.address)
                made = self._nodes(item, row.address, driver)
                if item.state != "attached":  # only an attach under way asks for it
                    done = complete(self._ground.roots, row.address, made)
                    disks = not done and awaits_disks(self._ground.roots, row.address)
            is_gone = row.state == "gone"
            seen = Seen(now, row.id, is_gone, row.address, driver, made, done, disks, lease=item.lease)
            self._ground.table.apply(item.key, seen)

    def _nodes(self, item: Attachment, address: str, driver: str | None) -> tuple[str, ...]:
        now = self._ground.clock.monotonic()
        settled = item.state == "attached" and (item.address, item.driver) == (address, driver)
        if settled and now - self._nodes_found.get(item.key, float("-inf")) < _NODES_EVERY:
            return item.nodes
        # Not from when it was about to be attached: what its driver makes last may have been missing.
        self._nodes_found[item.key] = now if settled else float("-inf")
        return tuple(nodes(self._ground.roots, address))

    def settling(self) -> bool:
        """True while something changes soon, so that looking often is worth while."""
        return any(item.state in ("attaching", "detaching") or item.recall_by for item in self._ground.table.all())

    def next_due(self) -> float | None:
        """When the next attempt, renewal or end of a lease is due (monotonic), None without any."""
        items = self._ground.table.all()
        attempts = [item.not_before for item in items if item.state != "attached"]
        leases = [at for item in items for at in (self._renewals.due(item), item.gives_up_at)]
        return min((at for at in (*attempts, *leases) if at is not None), default=None)

    def _reach(self, owners: set[str]) -> None:
        """Note who can be reached: what waits for another waits no longer."""
        if owners != self._reachable:
            self._reachable = owners
            self._ground.table.changed.fire()

    def awaited(self) -> set[tuple[str, str]]:
        """(owner, name) of releases that an owner who can be reached has not acknowledged yet."""
        return {key for key in self._releases.unfinished() if key[0] in self._reachable}

    def leave(self, leave_by: float) -> None:
        """From now on drained devices that are in use go at this time (monotonic), NEVER: when nobody uses them."""
        self._leave_by = leave_by

    def stay(self) -> bool:
        """End a drain; whether there was one."""
        with self._lock:  # a look under way would have devices leave for a drain that is over
            was = self._ground.drain.end()
            self._leave_by = NEVER
            now = self._ground.clock.monotonic()
            for item in self._ground.table.all():
                self._ground.apply(item.key, Stay(now))
        return was
