# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What ownerd does at one device, each at the device's turn (turns.py)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from device_lending.binding import BindError
from device_lending.errors import LendingError
from device_lending.owner import quarantine
from device_lending.owner.devices import Assessment, Assessor
from device_lending.owner.ground import Ground
from device_lending.owner.leasing import DRIVER_LIMIT
from device_lending.owner.reserving import OTHER
from device_lending.owner.turns import Turn
from device_lending.pci.scan import Function
from device_lending.pending import Answer, Pending
from device_lending.store.owner import Grant, Lease

log = logging.getLogger("device_lending.owner")


class AtDevice:
    """What begins something, and below it what is done once it is the device's turn. Raises LendingError."""

    def __init__(self, ground: Ground) -> None:
        self._config = ground.config
        self._store = ground.store
        self._turns = ground.turns
        self._devices = ground.devices
        self._reserving = ground.reserving
        self._leasing = ground.leasing

    def begin_alone(self, device: str, work: Callable[[], None]) -> None:
        """Begin what nobody waits for; what hangs there is named already."""
        with contextlib.suppress(LendingError):
            self._turns.begin(device, work)

    def begin(self, device: str, work: Callable[[], None], outcome: Callable[[], Answer]) -> Answer | Pending:
        """Have it done at the device's turn; then `outcome`. What the work raises is the answer, too."""
        turn = self._turns.begin(device, work)

        def done() -> Answer:
            self._turns.result(turn)
            return outcome()

        return self._turns.when([turn], done)

    def assessed(
        self, functions: Iterable[Function], then: Callable[[dict[str, Assessment]], Answer | Pending]
    ) -> Answer | Pending:
        """Assessor.decide for each at its turn: two who open its disks at a time would disturb each other."""
        assessor = self._devices.assessor()
        begun = {
            function.address: self._turns.begin(function.address, partial(self.assess, assessor, function))
            for function in functions
        }
        return self._turns.when(
            list(begun.values()), lambda: then({address: self._turns.result(turn) for address, turn in begun.items()})
        )

    def begin_ends(self, leases: Iterable[Lease], why: str) -> dict[int, Turn[None] | Exception]:
        """Begin to take devices back by force, all at once; by epoch, or why it could not be begun."""
        begun: dict[int, Turn[None] | Exception] = {}
        for lease in leases:
            try:
                begun[lease.epoch] = self._turns.begin(lease.address, partial(self.end, lease, True, why))
            except LendingError as error:
                begun[lease.epoch] = error
        return begun

    def failed(self, begun: Mapping[int, Turn[None] | Exception]) -> dict[int, Exception]:
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

    # At the device's turn

    def assess(self, assessor: Assessor, function: Function) -> Assessment:
        """See Assessor.decide."""
        self._turns.step(function.address, "opening it to see whether it is in use", DRIVER_LIMIT)
        return assessor.decide(function)

    def end(self, lease: Lease, force: bool, why: str) -> None:
        """End a lease, unless it has ended meanwhile."""
        row = next((row for row in self._store.leases() if row.live and row.epoch == lease.epoch), None)
        if row is not None:
            self._leasing.end(row, force, why)

    def end_alone(self, lease: Lease, why: str) -> None:
        """The same by force, for nobody who waits: what fails the regular look tries again."""
        try:
            self.end(lease, True, why)
        except LendingError as error:
            log.warning("%s", error)

    def clear(self, lease: Lease) -> None:
        """Clear a quarantined device, unless somebody else has done so meanwhile."""
        row = next((row for row in self._store.leases() if not row.live and row.epoch == lease.epoch), None)
        if row is not None:
            self._leasing.clear(row)

    def free(self, address: str) -> None:
        """Give a function back that is bound without a lease, unless it has one meanwhile, or is reserved."""
        if all(row.address != address for row in self._store.leases()) and not self._reserving.keeps(address):
            self._leasing.free(address)

    def reserve(self, grant: Grant, address: str) -> None:
        """Reserve the device of a grant, unless it is in use, or the grant means another one by now."""
        leases = self._store.leases()
        function = next((row for row in self._devices.scan(leases) if row.address == address), None)
        if function is None or grant not in self._store.grants() or grant.name in self._reserving.names():
            return
        lease = next((row for row in leases if row.address == address), None)
        is_its_own = lease is not None and lease.live and lease.name == grant.name
        unfree = None if is_its_own else self._unfree(function, leases)
        if self._reserving.is_other(grant, address):
            unfree = "device_not_lendable", f"is {OTHER}"
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

    def check_free(self, name: str, function: Function, leases: list[Lease]) -> None:
        """Raises LendingError when a function cannot be had for the lease `name`."""
        problem = self._unfree(function, leases)
        if problem is not None:
            code, text = problem
            raise LendingError(code, f"lease {name}: {function.address} of host {self._config.host} {text}")

    def _unfree(self, function: Function, leases: list[Lease]) -> tuple[str, str] | None:
        """Why a function cannot be had, as a code and in words; None when it can."""
        held = next((row for row in leases if row.address == function.address), None)
        other = held or quarantine.of(function, leases)
        if other is not None:
            state = f"quarantined: {other.message}" if not other.live else f"leased as {other.name}"
            return "device_busy" if other.live else "quarantined", f"is {state}"
        if self._reserving.is_swapped(function):
            return "device_not_lendable", f"is {OTHER}"
        never, now = self.assess(self._devices.assessor(), function)
        if never or now:
            return "device_busy" if now else "device_not_lendable", f"cannot be lent: {'; '.join(never + now)}"
        return None
