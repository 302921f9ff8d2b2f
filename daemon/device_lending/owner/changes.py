# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What people change of grants."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from device_lending import kernel, renaming
from device_lending.errors import LendingError
from device_lending.owner import grants, holds
from device_lending.owner.at_device import AtDevice
from device_lending.owner.devices import Assessment
from device_lending.owner.ground import Ground
from device_lending.owner.looks import Looks
from device_lending.owner.notifier import Notifier
from device_lending.owner.recalls import Recalls
from device_lending.owner.telling import Telling
from device_lending.owner.turns import Turn
from device_lending.pci.scan import Function
from device_lending.pending import Answer, Pending
from device_lending.purging import NOBODY, Purge
from device_lending.store.owner import Lease

log = logging.getLogger("device_lending.owner")


class Changes:
    """Raises LendingError, and KernelError before anything is changed.

    What devices have to be looked at for is decided once that is done.
    """

    def __init__(self, ground: Ground, at: AtDevice, looks: Looks, recalls: Recalls, telling: Telling) -> None:
        self._config = ground.config
        self._store = ground.store
        self._clock = ground.clock
        self._lock = ground.lock
        self._turns = ground.turns
        self._devices = ground.devices
        self._reserving = ground.reserving
        self._telling = telling
        self._at = at
        self._looks = looks
        self._recalls = recalls

    def put(
        self,
        items: list[dict[str, Any]],
        *,
        removed: Collection[str] = (),
        purge: Purge,
        replace_others: bool = False,
        force: bool,
        force_of: Mapping[str, bool] = NOBODY,
        dry_run: bool,
        notify: Notifier,
    ) -> Answer | Pending:
        """Set `items`, and take the names `removed` away and what `purge` takes of all others.

        With `replace_others`, other grants of the devices of `items` go as well. Live leases of what goes or changes
        end with `force` alone, in the place of which `force_of` has something else for some, by name.
        All checks come first; what they refuse has changed nothing. The answer comes when the leases that go have
        ended.
        """
        wanted = grants.parse(items, self._config.host, removed)
        asked_holds = holds.asked(items, self._clock.wall(), self._config.host)
        former = renaming.asked(items, "grant")
        self._looks.know()
        if not dry_run:
            self._reserving.retry(grant.name for grant in wanted)

        def change(assessed: Mapping[str, Assessment], before: Scan | None = None) -> Answer | Pending:
            """With what has been found of functions, by address, whose turn it was, and the scan `before` that."""
            current, leases = self._store.grants(), self._store.leases()
            scan = before if before and before.rights == _rights(leases) else Scan(leases, self._devices.scan(leases))
            asked: dict[str, Function] = {}

            def assess(function: Function) -> Assessment:
                if function.address not in assessed:
                    asked[function.address] = function
                return assessed.get(function.address, ([], []))

            plan = grants.plan(
                current,
                leases,
                wanted,
                scan.functions,
                assess,
                self._config.host,
                removed=removed,
                purge=purge,
                replace_others=replace_others,
                force=force,
                force_of=force_of,
                holds=asked_holds,
                former=former,
            )
            if asked:
                return self._at.assessed(asked.values(), lambda found: change({**assessed, **found}, scan))
            if dry_run or not plan.changed:
                return plan.document()
            reserved = set(self._reserving.standing())
            with self._lock:
                # What the plan rests on may have changed while it was made: devices were looked at for it.
                is_old = current != self._store.grants() or _rights(leases) != _rights(self._store.leases())
                if not is_old:
                    with self._reserving.renaming(plan.renamed):
                        self._store.replace_grants(plan.after, plan.renamed)
            return change({}) if is_old else self._granted(plan, reserved, notify)

        return change({})

    def _granted(self, plan: grants.Plan, reserved: set[str], notify: Notifier) -> Answer | Pending:
        """What follows a change of grants; `reserved` are the functions that were before."""
        for action in plan.actions:
            log.info("grants: %s", action)
        olds = {new: old for old, new in plan.renamed.items()}
        for lease in self._store.leases() if olds else ():
            if lease.live and lease.name in olds:
                self._telling.renamed(lease, olds[lease.name])
        freed: list[Turn[None]] = []

        def settled() -> None:
            with contextlib.suppress(kernel.KernelError):
                self._looks.look()  # a lease found in the kernel gets its grant's name before anybody asks for it
            for address in reserved - set(self._reserving.standing()):
                with contextlib.suppress(LendingError):  # what hangs there is named already
                    freed.append(self._turns.begin(address, partial(self._at.free, address)))
            for borrower in {grant.borrower for grant in plan.after}:
                notify.offers_changed(borrower)

        return self._recalls.begin(
            plan.ending,
            "its grant was revoked or changed",
            notify,
            settled,
            lambda: self._turns.when(freed, plan.document),
        )

    def hold(self, name: str, why: str) -> str:
        """Do not lend a grant again until it is released or put again; what was done, in words."""
        with self._lock:
            return holds.hold(self._store, name, why, self._clock.wall(), self._config.host)

    def release_hold(self, name: str, notify: Notifier) -> str:
        """Offer a grant again that is on hold; what was done, in words."""
        with self._lock:
            grant, done = holds.release(self._store, name, self._config.host)
        notify.offers_changed(grant.borrower)
        return done


class Scan:
    """This host's functions, and what leases there were when they were scanned."""

    def __init__(self, leases: Iterable[Lease], functions: Sequence[Function]) -> None:
        self.rights = _rights(leases)
        self.functions = functions


def _rights(leases: Iterable[Lease]) -> list[tuple[int, str, str, str, bool]]:
    """What of leases a plan of grants rests on."""
    return [(lease.epoch, lease.name, lease.address, lease.borrower, lease.live) for lease in leases]
