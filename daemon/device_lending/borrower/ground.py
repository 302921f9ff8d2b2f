# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What all of borrowerd's operations stand on, and what several of them ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from device_lending import kernel
from device_lending.borrower.attachment_events import Event, Lease
from device_lending.borrower.table import Table, item_of
from device_lending.clock import Clock
from device_lending.config import Config
from device_lending.drain import Drain
from device_lending.links import Announcements, Peering, behind, peerings
from device_lending.pci.patient import Patient
from device_lending.pci.sysfs import Roots
from device_lending.store.borrower import BorrowerStore
from device_lending.troubles import Troubles

Present = dict[Lease, kernel.Borrowed]


@dataclass(frozen=True)
class Ground:
    """`patient` says why devices are in use; `wake` has the regular look taken now; nobody waits when `stopping`."""

    config: Config
    store: BorrowerStore
    kernel: kernel.KernelPort
    announcements: Announcements
    roots: Roots
    clock: Clock
    drain: Drain
    table: Table
    troubles: Troubles
    patient: Patient[list[str]]
    wake: Callable[[], None]
    stopping: threading.Event

    def peerings(self) -> list[Peering]:
        """The links with their peers; none when the module is not loaded."""
        return peerings(self.kernel, self.announcements, self.config)

    def peering(self, link: int | None) -> Peering | None:
        """One link with its peer; None when there is none of that number."""
        return behind(self.peerings(), link)

    def present(self) -> Present:
        """What the kernel has borrowed. Raises KernelError."""
        return {(row.link, row.remote_id, row.epoch): row for row in self.kernel.borrowed()}

    def uses(self, addresses: Sequence[str]) -> dict[str, list[str]]:
        """Why each device is in use here; one whose disks do not open for a long time may be."""
        unknown = ["its driver does not answer, so that nobody can tell"]
        return {**dict.fromkeys(addresses, unknown), **self.patient.read(addresses)}

    def apply(self, key: tuple[str, str], event: Event) -> None:
        """Apply one of several events, so that the others are applied whatever comes of it."""
        with self.troubles.of(item_of(key), f"{type(event).__name__.lower()} could not be applied"):
            self.table.apply(key, event)
