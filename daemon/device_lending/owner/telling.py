# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What others hear of leases: each change as an event, and how long devices took."""

from __future__ import annotations

import threading

from device_lending.clock import Clock
from device_lending.events.event import Event
from device_lending.events.journal import Journal
from device_lending.latency import Latencies
from device_lending.store.owner import Lease

# What is done to devices, in which stages.
STAGES = {"lend": ("driver", "reset"), "take_back": ("reset", "driver"), "recall": ("",)}


class Telling:
    """To be called where something has become so, under any lock."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.journal = journal
        self.latencies = Latencies(STAGES, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._recalled: dict[int, float] = {}

    def lent(self, lease: Lease) -> None:
        """The kernel lends the device."""
        self._tell("lent", lease)

    def found(self, lease: Lease) -> None:
        """Only the kernel knew it."""
        self._tell("found", lease, lease.message)

    def renamed(self, lease: Lease, old: str) -> None:
        """Its grant has another name, and so has it."""
        self._tell("renamed", lease, f"it was called {old}")

    def seen(self, lease: Lease, state: str) -> None:
        """The borrower has attached the device ("active"), or detached it ("granted")."""
        self._tell("attached" if state == "active" else "detached", lease)

    def recalled(self, lease: Lease, why: str) -> None:
        """The borrower is to hand it over."""
        with self._lock:
            self._recalled[lease.epoch] = self._clock.monotonic()
        self._tell("recall_begun", lease, why)

    def over(self, lease: Lease, cause: str, why: str) -> None:
        """It has ended by itself: lost or expired. What follows is that its device is taken back."""
        self._tell(cause, lease, why)

    def ended(self, lease: Lease, why: str) -> None:
        """Its device is in this host's own use again."""
        self._recall_done(lease, why)
        self._tell("ended", lease, why)

    def quarantined(self, lease: Lease, why: str) -> None:
        """Its device did not come back healthy."""
        self._recall_done(lease, why)
        self._tell("quarantined", lease, why)

    def cleared(self, lease: Lease) -> None:
        """The device is healthy again."""
        self._tell("cleared", lease)

    def _recall_done(self, lease: Lease, why: str) -> None:
        with self._lock:
            begun = self._recalled.pop(lease.epoch, None)
        if begun is not None:
            self.latencies.took("recall", "", self._clock.monotonic() - begun)
        if lease.live and lease.due is not None:
            self._tell("recall_done", lease, why)

    def _tell(self, kind: str, lease: Lease, reason: str = "") -> None:
        self.journal.tell(
            Event(
                kind,
                name=lease.name,
                epoch=lease.epoch,
                link=lease.link,
                peer=lease.borrower,
                device=lease.address,
                reason=reason,
            )
        )
