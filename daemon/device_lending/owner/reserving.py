# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Granted devices that stay with ntb_lend while nobody borrows them, and from the next boot on.

A device is reserved once this daemon has found that nothing uses it, never before: so nothing that this host needs to
boot ever is. Until then it is looked at now and then.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from device_lending.clock import Clock
from device_lending.owner.reserved import Reservation, Reserved
from device_lending.pci import selector
from device_lending.pci.scan import Function
from device_lending.pci.traits import Traits
from device_lending.store.owner import Grant, OwnerStore

log = logging.getLogger("device_lending.reserving")

# Seconds until a device that could not be had is looked at again: that opens its disks for a moment.
AGAIN = 60.0
# What is said of a function that `is_swapped` or `is_other`.
OTHER = "another device than the one that was reserved; revoke the grant, and grant it anew"


class Reserving:
    """The store says what is wanted, the files what is reserved; `driver` tells a function's driver."""

    def __init__(
        self, store: OwnerStore, reserved: Reserved, driver: Callable[[str], str | None], clock: Clock
    ) -> None:
        self._store = store
        self._reserved = reserved
        self._driver = driver
        self._clock = clock
        self._tried: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()  # for these two
        self._names = threading.RLock()  # for what grants are called: in the store and in the files it is the same

    def standing(self) -> dict[str, Reservation]:
        """What is reserved for a grant of now, and still the same device, by address."""
        with self._names:
            wanted = self._wanted()
            rows = self._reserved.all() if wanted else []
        return {row.address: row for row in rows if self._stands(row, wanted)}

    def _standing_at(self, address: str) -> Reservation | None:
        with self._names:
            row, wanted = self._reserved.at(address), self._wanted()
        return row if row is not None and self._stands(row, wanted) else None

    def _stands(self, row: Reservation, wanted: Mapping[str, Grant]) -> bool:
        return _fits(row, wanted.get(row.grant)) and self._reserved.stands(row)

    def _wanted(self) -> dict[str, Grant]:
        return {grant.name: grant for grant in self._store.grants() if grant.reserve}

    def keeps(self, address: str) -> bool:
        """Whether a function is not to be given to its own driver."""
        return self._standing_at(address) is not None

    def traits(self) -> dict[str, Traits]:
        """The traits of what is reserved, by address."""
        return {address: row.traits for address, row in self.standing().items()}

    def names(self) -> set[str]:
        """The grants whose devices are reserved, and have no other driver now."""
        return {row.grant for address, row in self.standing().items() if self._driver(address) == "ntb_lend"}

    def problem(self, name: str) -> str:
        """Why the device of a grant is not reserved yet, in words; "" where that is not known."""
        return self._problems.get(name, "")

    def withdraw(self) -> list[str]:
        """Drop the reservations that no grant wants any more; their addresses. One that cannot be stays for later."""
        with self._names:
            return self._withdraw()

    def _withdraw(self) -> list[str]:
        wanted, standing = self._wanted(), self.standing()
        renewed = {row.grant for row in standing.values()}
        gone = []
        for row in self._reserved.all():
            # That of a device that is away stays, until the device has a new place.
            if row.address in standing or (_fits(row, wanted.get(row.grant)) and row.grant not in renewed):
                continue
            try:
                self._reserved.remove(row.address)
            except OSError as error:
                log.warning("device %s: its reservation cannot be removed: %s", row.address, error)
                continue
            log.info("device %s: no longer reserved for %s", row.address, row.grant or "anything")
            gone.append(row.address)
        self._forget(wanted)
        return gone

    def _forget(self, wanted: Mapping[str, Grant]) -> None:
        with self._lock:
            self._tried = {name: at for name, at in self._tried.items() if name in wanted}
            self._problems = {name: why for name, why in self._problems.items() if name in wanted}

    def due(self) -> list[Grant]:
        """The grants whose devices are to be looked at now."""
        now, reserved = self._clock.monotonic(), self.names()
        found = []
        wanted = self._wanted().values()
        with self._lock:
            for grant in wanted:
                if grant.name in reserved:
                    self._tried.pop(grant.name, None)
                elif now - self._tried.get(grant.name, float("-inf")) >= AGAIN:
                    self._tried[grant.name] = now
                    found.append(grant)
        return found

    def retry(self, names: Iterable[str]) -> None:
        """Have devices looked at at once: a person has just said that they are wanted."""
        with self._lock:
            for name in names:
                self._tried.pop(name, None)

    def is_other(self, grant: Grant, address: str) -> bool:
        """Whether what is at the address of a grant by address is not what was reserved for it."""
        if "address" not in grant.meant:
            return False
        return any(
            (row.grant, row.address) == (grant.name, address) and not self._reserved.stands(row)
            for row in self._reserved.all()
        )

    def is_swapped(self, function: Function) -> bool:
        """Whether another device of its kind is in the place of what was reserved there, as far as it can be told."""
        row = self._standing_at(function.address)
        return row is not None and not function.hangs and row.number != function.number

    def put(self, name: str, function: Function) -> None:
        """Write a reservation down. Raises OSError."""
        self._reserved.put(name, function)
        with self._lock:
            self._problems.pop(name, None)
        log.info("device %s: reserved for %s", function.address, name)

    @contextlib.contextmanager
    def renaming(self, renamed: Mapping[str, str]) -> Iterator[None]:
        """While the store is told new names of grants, given by their old ones: nobody looks at either meanwhile.

        What cannot be written is reserved anew by the next look.
        """
        with self._names:
            yield
            for row in self._reserved.all() if renamed else []:
                if row.grant in renamed:
                    with contextlib.suppress(OSError):
                        self._reserved.note(replace(row, grant=renamed[row.grant]))

    def failed(self, name: str, why: str) -> None:
        """The device of a grant could not be reserved."""
        with self._lock:
            is_new = self._problems.get(name) != why
            self._problems[name] = why
        if is_new:
            log.warning("grant %s: its device is not reserved yet: %s", name, why)


def _fits(row: Reservation, grant: Grant | None) -> bool:
    """Whether a grant that wants its device reserved may mean that of a reservation."""
    if grant is None or selector.excludes(grant.meant, row.address, row.traits):
        return False
    ids = {"vendor": grant.meant.get("vendor"), "device": grant.meant.get("device")}
    return all(value is None or row.identity.get(key) == f"0x{value}" for key, value in ids.items())
