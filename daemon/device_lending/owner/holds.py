# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Grants that a person keeps from being lent, and offers again. To be called under the owner's lock."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from device_lending.clock import iso
from device_lending.errors import LendingError
from device_lending.store.owner import Grant, OwnerStore

log = logging.getLogger("device_lending.holds")


def text(done: str, name: str, now: float, host: str, why: str = "") -> str:
    """What was done to a grant at `now`, seconds since 1970, and what ends that; its borrower reads it too."""
    return f"{done} at {iso(now)}{f': {why}' if why else ''}; devlend release {name} on {host} offers it again"


def asked(items: Iterable[Mapping[str, Any]], now: float, host: str) -> dict[str, str | None]:
    """What the items of a PUT say of holds, by name: why it is put on hold, or None where that stays as it is; what is
    offered has no entry."""
    said = {item["name"]: item.get("hold", False) for item in items}
    return {
        name: text("put on hold", name, now, host) if hold else None for name, hold in said.items() if hold is not False
    }


def hold(store: OwnerStore, name: str, why: str, now: float, host: str) -> str:
    """Put a grant on hold for the reason `why`, "" for none; what was done, in words. A live lease is left alone.

    Raises LendingError no_grant.
    """
    grant = _grant(store, name, host)
    store.hold(name, text("put on hold", name, now, host, why))
    log.info("grant %s: on hold%s", name, f": {why}" if why else "")
    lease = next((row for row in store.leases() if row.live and row.name == name), None)
    kept = f"; {lease.address} stays lent to {lease.borrower} until it is returned or recalled" if lease else ""
    return f"{name} is on hold: {grant.borrower} is not given it{' again' if lease else ''}{kept}"


def release(store: OwnerStore, name: str, host: str) -> tuple[Grant, str]:
    """Offer a grant again; it, and what was done, in words. Raises LendingError no_grant, StoreError."""
    grant = _grant(store, name, host)
    if not grant.held:
        return grant, f"{name} is not on hold"
    store.unhold(name)
    log.info("grant %s: offered again", name)
    return grant, f"{name} is offered to {grant.borrower} again"


def _grant(store: OwnerStore, name: str, host: str) -> Grant:
    grant = next((row for row in store.grants() if row.name == name), None)
    if grant is None:
        raise LendingError("no_grant", f"host {host} has no grant {name}; see devlend grants", status=404, name=name)
    return grant
