# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Telling borrowers which of their devices are wanted back."""

from __future__ import annotations

from device_lending.owner.ground import Ground
from device_lending.owner.notifier import Notifier

# Seconds after which an undelivered notice is repeated.
_REPEAT = 2.0


class Reminders:
    """Each is told until it has heard it once from this daemon; `told` has by epoch when it was told last."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._store = ground.store
        self._clock = ground.clock
        self._lock = ground.lock
        self._reconciler = ground.reconciler
        self._troubles = ground.troubles
        self.told: dict[int, float] = {}

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
            self.told = {row.epoch: self.told[row.epoch] for row in returning if row.epoch in self.told}
            returning = [row for row in returning if link in (None, row.link) and epoch in (None, row.epoch)]
            left = {row.epoch: (self._reconciler.life(row).due or now) - now for row in returning}
        if not returning:
            return
        dead = self._ground.dead()
        for lease in returning:
            if not dead(lease.link) and now - self.told.get(lease.epoch, float("-inf")) >= _REPEAT:
                with self._troubles.of(lease.address, f"the borrower of {lease.name} could not be told"):
                    delivered = notify.recall(lease, max(0.0, left[lease.epoch]))
                    self.told[lease.epoch] = float("inf") if delivered else now
