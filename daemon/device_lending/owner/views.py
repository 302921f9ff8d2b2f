# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What ownerd shows. It waits for no device, and takes no lock while it looks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from device_lending import kernel, selecting
from device_lending.clock import iso
from device_lending.errors import LendingError
from device_lending.owner import quarantine
from device_lending.owner.devices import Assessor, document
from device_lending.owner.ground import Ground
from device_lending.owner.reserving import OTHER
from device_lending.pci import selector
from device_lending.pci.scan import Function
from device_lending.store.owner import Grant, Lease


class Views:
    """In the form of the HTTP contract, but offers, which are in that of the mailbox."""

    def __init__(self, ground: Ground) -> None:
        self._config = ground.config
        self._store = ground.store
        self._kernel = ground.kernel
        self._drain = ground.drain
        self._turns = ground.turns
        self._devices = ground.devices
        self._reserving = ground.reserving
        self._reconciler = ground.reconciler
        self._bans = ground.bans
        self._troubles = ground.troubles

    def devices(self) -> list[dict[str, Any]]:
        leases = self._store.leases()
        names = {lease.address: lease.name for lease in leases}
        assessor = self._devices.assessor()
        return [document(function, assessor, names.get(function.address)) for function in self._devices.scan(leases)]

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
            "by_hand": bool(grant.by_hand),
            "any": grant.is_any,
            "address": None,
            "state": "unresolved",
            "message": "",
        }
        lease = next((row for row in leases if row.live and row.name == grant.name), None)
        if lease is not None:
            message = self._message(lease) or grant.held
            return {**found, "address": lease.address, "state": "leased", "message": message}
        try:
            function = selecting.resolve(grant.meant, functions, self._config.host, grant.name)
        except LendingError as error:
            return {**found, "message": error.message}
        found["address"] = function.address
        ill = quarantine.of(function, leases)
        if ill is not None:
            return {**found, "state": "quarantined", "message": ill.message}
        if grant.held:
            return {**found, "state": "held", "message": grant.held}
        why = assessor.never(function) + assessor.now(function)
        if self._reserving.is_swapped(function):
            why.insert(0, f"{function.address} is {OTHER}")
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
            matching = selector.matching(grant.meant, functions)
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
