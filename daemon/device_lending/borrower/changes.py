# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What people ask for: attachments wanted, wanted no longer, and owners forgotten."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from device_lending import kernel, renaming
from device_lending.borrower import plan as planning
from device_lending.borrower.attachment import RETURNED, Attachment
from device_lending.borrower.attachment_events import NEVER, Unwant, Want
from device_lending.borrower.ground import Ground
from device_lending.borrower.looks import Looks
from device_lending.borrower.releases import Releases
from device_lending.errors import LendingError
from device_lending.pending import Answer, Pending
from device_lending.purging import NOBODY, NONE, Purge
from device_lending.store.borrower import Wanted

log = logging.getLogger("device_lending.borrower")


class Changes:
    """One change at a time. Raises LendingError, and KernelError before anything is changed."""

    def __init__(self, ground: Ground, looks: Looks, releases: Releases) -> None:
        self._ground = ground
        self._looks = looks
        self._releases = releases
        self._lock = threading.Lock()

    def put(
        self,
        items: list[dict[str, Any]],
        *,
        removed: Collection[str] = (),
        purge: Purge,
        force: bool,
        force_of: Mapping[str, bool] = NOBODY,
        wait_returned: float,
        wait: float,
        dry_run: bool,
    ) -> Answer | Pending:
        """Want `items`, and the names `removed`, and what `purge` takes of all others, no longer.

        What goes, or gets another driver, is taken from who uses it with `force`, in the place of which `force_of` has
        something else for some, by name.
        All checks come first; what they refuse has changed nothing. The answer comes when what goes, or was going
        already under a name in `removed`, has been returned, for which it waits `wait_returned` seconds, and then, for
        `wait` more, when all of `items` are attached. The errors detach_timeout and attach_timeout say which are not,
        and why, and attach_refused, without waiting, that a person has to change something; they go on being tried.
        """
        peers = {item.peer for item in self._ground.config.links} if self._ground.config.links is not None else None
        wanted = planning.parse(items, self._ground.config.host, peers, removed)

        def is_forced(item: Wanted) -> bool:
            return force_of.get(item.name, force)

        former = renaming.asked(items, "attachment")
        self._looks.know()
        with self._lock:
            found = [Wanted(item.name, item.owner) for item in self._ground.table.all() if item.stray_until is not None]
            self._refuse_strays(wanted, found)
            failed = {item.key for item in self._ground.table.all() if item.state == "failed" or item.spent}
            found = [item for item in found if item.name in removed]
            plan = planning.plan(
                [*self._leaving(wanted, removed, purge, is_forced), *self._ground.store.wanted(), *found],
                wanted,
                failed,
                self._busy,
                self._ground.config.host,
                removed=removed,
                purge=purge,
                force=force,
                force_of=force_of,
                former=former,
            )
            if dry_run:
                return plan.document()
            if plan.before != plan.after:
                forced = [item for item in plan.gone if is_forced(item)]
                write = partial(self._ground.store.replace_wanted, plan.after, forced, plan.renamed)
                self._ground.table.rename(plan.renamed, write)
            for action in plan.actions:
                log.info("attachments: %s", action)
            now = self._ground.clock.monotonic()
            for item in plan.gone:
                self._ground.apply((item.owner, item.name), Unwant(now if is_forced(item) else NEVER))
            for item in plan.named:
                self._ground.table.put(Attachment(item.name, item.owner, not_before=now))
                by = now if is_forced(item) else NEVER
                self._ground.apply((item.owner, item.name), Want(now, item.policy, by))
        with contextlib.suppress(kernel.KernelError):  # what is wanted stands; the regular look goes on trying
            self._looks.look()
        going = {item.key for item in self._ground.table.all() if not item.wanted} | self._releases.unfinished()
        gone = {(item.owner, item.name) for item in plan.gone}
        gone |= {key for key in going if key[1] in removed}
        return self._returned(plan, gone, wait_returned, wait) if wait_returned > 0 else self._attached(plan, wait)

    def forget(self, owner: str, name: str | None = None) -> str:
        """Forget an owner that is gone for good, with all that is wanted of it, or with `name` one pending release.

        What was done, in words. Refused while a device of the owner is here.
        """
        with self._lock:
            wanted = [] if name else [row for row in self._ground.store.wanted() if row.owner == owner]
            if name is None:
                self._refuse_present(owner)
            released = self._releases.forget(owner, name, self._ground.config.host)
            if not wanted and not released:
                what = f"no release of {name} that {owner} has not acknowledged" if name else f"nothing of {owner}"
                text = f"host {self._ground.config.host} knows {what}; see devlend list"
                raise LendingError("not_found", text, status=404, name=name or owner)
            if wanted:
                self._ground.store.replace_wanted(row for row in self._ground.store.wanted() if row not in wanted)
            for row in wanted:
                log.warning("attachments: forget %s of %s", row.name, owner)
                self._ground.apply((row.owner, row.name), Unwant(NEVER))
        parts = [f"{row.name} is wanted no more" for row in wanted]
        return "; ".join([*parts, *(f"{owner} is not told that {item} is over" for item in released)])

    def _refuse_present(self, owner: str) -> None:
        present = next(
            (item for item in self._ground.table.all() if item.owner == owner and item.epoch is not None), None
        )
        if present is not None:
            raise LendingError(
                "device_attached",
                f"owner {owner}: {present.name} is {present.state} on host {self._ground.config.host}, as "
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
                f"on host {self._ground.config.host}; borrow it by the name of its grant, which devlend offers tells",
                name=strange.name,
            )

    def _leaving(
        self,
        wanted: Collection[Wanted],
        removed: Collection[str],
        purge: Purge,
        is_forced: Callable[[Wanted], bool],
    ) -> list[Wanted]:
        """What was returned and waits for who uses it, of what a request returns again, or takes with force."""
        named = {(item.owner, item.name) for item in wanted}
        items = [item for item in self._ground.table.all() if item.recall_why == RETURNED and item.key not in named]
        found = [Wanted(item.name, item.owner) for item in items]
        return [item for item in found if (purge != NONE and is_forced(item)) or item.name in removed]

    def _busy(self, items: Sequence[Wanted]) -> dict[Wanted, tuple[str, list[str]]]:
        here: dict[Wanted, str] = {}
        for item in items:
            found = self._ground.table.get((item.owner, item.name))
            if found is not None and found.state != "detaching":
                here[item] = found.address or self._address(found) or ""
        uses = self._ground.uses([address for address in here.values() if address])
        return {item: (address, uses[address]) for item, address in here.items() if address}

    def _address(self, item: Attachment) -> str | None:
        """What no look has seen yet. Raises KernelError."""
        with contextlib.suppress(kernel.NotLoaded):
            row = self._ground.present().get(item.lease)
            return row.address if row else None
        return None

    def _returned(
        self, plan: planning.Plan, gone: set[tuple[str, str]], timeout: float, wait: float
    ) -> Answer | Pending:
        """Wait until what is gone is detached and, where its owner can be reached, given back."""

        def done() -> bool:
            pending = self._looks.awaited()
            return self._ground.stopping.is_set() or not any(
                self._ground.table.get(key) or key in pending for key in gone
            )

        def outcome() -> Answer | Pending:
            if self._ground.table.ask(done):
                return self._attached(plan, wait)
            stuck = next((item for item in self._ground.table.all() if item.key in gone), None)
            if stuck is not None:
                raise LendingError(
                    "detach_timeout",
                    f"attachment {stuck.name}: {stuck.address} of host {self._ground.config.host} is not detached "
                    f"after {timeout:g} s: {stuck.message or stuck.state}; it is tried again",
                    status=504,
                    name=stuck.name,
                    device=stuck.address,
                )
            log.warning("returned, but not acknowledged yet: %s", ", ".join(sorted(name for _owner, name in gone)))
            return self._attached(plan, wait)

        if not gone:
            return self._attached(plan, wait)
        return Pending(self._ground.table.changed, lambda: self._ground.table.ask(done), outcome, timeout)

    def _attached(self, plan: planning.Plan, timeout: float) -> Answer | Pending:
        """Wait until what the plan names is attached, or cannot be."""
        keys = [(item.owner, item.name) for item in plan.named]

        def missing() -> list[Attachment]:
            found = [self._ground.table.get(key) for key in keys]
            return [item for item in found if item is not None and item.state != "attached"]

        def done() -> bool:
            left = missing()
            return self._ground.stopping.is_set() or all(item.final for item in left)

        drained = self._ground.drain.state() is not None

        def outcome() -> Answer:
            left = missing()
            if not left:
                return plan.document()
            if drained:
                raise LendingError(
                    "drained",
                    f"host {self._ground.config.host} is drained: {', '.join(item.name for item in left)} will be "
                    "attached when it no longer is; devlend undrain does that",
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
                f"host {self._ground.config.host}: not attached: {reasons}; it is tried again",
                status=409 if final else 504,
                name=left[0].name,
                device=left[0].remote_address,
            )

        if timeout <= 0:
            return plan.document()
        if drained:
            return outcome()
        return Pending(self._ground.table.changed, lambda: self._ground.table.ask(done), outcome, timeout)
