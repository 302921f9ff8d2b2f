# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Taking devices back, as people ask for it: recalls, bans, drains, and quarantines that are cleared."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

from device_lending import kernel
from device_lending.errors import LendingError
from device_lending.found import UNKNOWN
from device_lending.links import behind
from device_lending.owner import holds, quarantine
from device_lending.owner.at_device import AtDevice
from device_lending.owner.ground import Ground
from device_lending.owner.looks import Looks
from device_lending.owner.notifier import Notifier
from device_lending.owner.reminders import Reminders
from device_lending.owner.turns import Turn
from device_lending.owner.withdrawals import Runs, Withdrawals
from device_lending.pending import Answer, Pending
from device_lending.store.owner import Lease

log = logging.getLogger("device_lending.owner")

# How often, in seconds, a waiting recall looks again.
_LOOK = 0.2


class Recalls:
    """What takes as long as a borrower takes runs in `lanes`. Raises LendingError."""

    def __init__(self, ground: Ground, at: AtDevice, looks: Looks, reminders: Reminders, lanes: Runs) -> None:
        self._ground = ground
        self._config = ground.config
        self._store = ground.store
        self._clock = ground.clock
        self._drain = ground.drain
        self._lock = ground.lock
        self._turns = ground.turns
        self._reconciler = ground.reconciler
        self._bans = ground.bans
        self._at = at
        self._looks = looks
        self._reminders = reminders
        self._withdrawals = Withdrawals(lanes)
        self._stopping = threading.Event()

    def recall(self, name: str, force: bool, notify: Notifier) -> Answer | Pending:
        """Take a device back and do not lend it again until its hold is released; {"message": what was done}.

        Without `force` the borrower gets the grace of the lease to hand it over; a quarantined device is
        reset and checked again, which needs `force`.
        """
        with contextlib.suppress(kernel.KernelError):
            self._looks.look()  # what is meant is what stands now
        with self._lock:
            rows = [lease for lease in self._store.leases() if lease.name == name]
            if not rows:
                raise LendingError(
                    "no_lease", f"host {self._config.host} has no lease {name}; see its leases", status=404, name=name
                )
            lease = next((row for row in rows if row.live), rows[0])
            if lease.live:
                held = holds.text("recalled", name, self._clock.wall(), self._config.host)
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
            return self._at.begin(lease.address, partial(self._at.clear, lease), lambda: {"message": said})
        if force:
            end = partial(self._at.end, lease, True, "recalled by force")
            return self._at.begin(lease.address, end, lambda: self._recalled(lease))
        self._turns.refuse(lease.address)
        return self.begin([lease], "recalled", notify, lambda: None, lambda: self._recalled(lease))

    def _recalled(self, lease: Lease) -> Answer:
        self._turns.refuse(lease.address)
        left = next((row for row in self._store.leases() if row.epoch == lease.epoch), None)
        if left is not None:
            raise LendingError(
                "quarantined" if not left.live else "kernel_error",
                f"lease {lease.name}: {lease.address} of host {self._config.host} was taken back but is {left.state}: "
                f"{left.message}",
                status=409 if not left.live else 500,
                name=lease.name,
                device=lease.address,
            )
        back = f"{lease.address} is back on {self._config.host}"
        return {"message": f"{back}; its grant is on hold until devlend release {lease.name}"}

    def clear(self, name: str, notify: Notifier) -> Answer | Pending:
        """Reset a quarantined device, by the name of its lease or its address, and check it again; see Leasing.clear.

        What was done, in words.
        """
        with contextlib.suppress(kernel.KernelError):
            self._looks.look()  # its address may have changed
        lease = quarantine.named(name, self._store.leases(), self._config.host)

        def cleared() -> Answer:
            notify.offers_changed(lease.borrower)
            return {"message": f"{lease.address} of host {self._config.host} is healthy and no longer quarantined"}

        return self._at.begin(lease.address, partial(self._at.clear, lease), cleared)

    def ban(self, name: str) -> Answer | Pending:
        """Cut the borrower of a lease off, with all that it has, until `unban`; what was done, in words."""
        with self._lock:
            lease = self._ground.live(name)
            if lease is None:
                raise LendingError(
                    "no_lease",
                    f"host {self._config.host} has no live lease {name}, whose borrower could be banned; "
                    "see its leases",
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
                held = holds.text(done, row.name, self._clock.wall(), self._config.host)
                self._reconciler.recall(row, "its borrower is banned", held, force=True)
        begun = self._at.begin_ends(mine, "its borrower is banned")

        def banned() -> Answer:
            left = self._at.failed(begun)
            back = ", ".join(row.address for row in mine if row.epoch not in left)
            taken = f", and {back} taken back" if back else ""
            problems = "".join(f"; not taken back yet: {problem}" for problem in left.values())
            again = f"devlend unban {host} on {self._config.host} lets it in again"
            return {"message": f"{host} is banned{taken}; {again}{problems}"}

        return self._turns.when([end for end in begun.values() if isinstance(end, Turn)], banned)

    def _banned(self, lease: Lease) -> str:
        """What a ban of the borrower of a lease is called by: its NTB function where nobody knows its name."""
        if lease.borrower != UNKNOWN:
            return lease.borrower
        peering = behind(self._ground.peerings(), lease.link)
        if peering is None:
            raise LendingError(
                "link_not_ready",
                f"lease {lease.name}: its borrower is not known, and host {self._config.host} has no link {lease.link} "
                f"any more; devlend recall {lease.name} --force takes the device",
                status=409,
                name=lease.name,
                device=lease.address,
            )
        return peering.peer or peering.link.ntb

    def unban(self, host: str) -> str:
        """Let a host in again; what was done, in words."""
        self._bans.lift(host, self._ground.peerings())
        return f"{host} may come back; devlend release offers what is on hold for it, name by name"

    def drain(self, until_boot: bool, notify: Notifier) -> Answer | Pending:
        """Recall all leases, and lend nothing until `undrain`; grants stay as they are. What was done, in words."""
        with self._lock:
            self._drain.begin(until_boot)
            live = [row for row in self._store.leases() if row.live]
        names = ", ".join(row.name for row in live)
        done = {"message": f"took back {names}" if names else "nothing was lent"}
        return self.begin(live, self._ground.drained(), notify, lambda: None, lambda: done)

    def undrain(self, notify: Notifier) -> str:
        """Lend again; what was done, in words."""
        was = self._drain.end()
        for borrower in {grant.borrower for grant in self._store.grants()}:
            notify.offers_changed(borrower)
        return "what is granted is lent again" if was else "it was not drained"

    def begin(
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
            self._reminders.remind(notify, epoch=recalled.epoch)
            lease = next((row for row in self._store.leases() if row.live and row.epoch == recalled.epoch), None)
            if lease is None:
                return
            # Over a dead link nobody can be asked, so there is nothing to wait for.
            if self._clock.monotonic() >= deadline or self._ground.dead()(lease.link):
                end = partial(self._at.end, lease, True, f"{why}; not handed back in time")
                try:
                    self._turns.run(lease.address, end)
                except LendingError as error:  # the regular look tries it again
                    log.warning("%s", error)
                return
            self._stopping.wait(_LOOK)

    def stop(self) -> None:
        """End waits under way."""
        self._stopping.set()
        self._withdrawals.stop()
