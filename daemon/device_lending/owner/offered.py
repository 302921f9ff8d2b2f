# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What becomes of grants from one look to the next: what may be borrowed, and what may not any more."""

from __future__ import annotations

from collections.abc import Iterable

from device_lending.events.event import Event
from device_lending.events.journal import Journal
from device_lending.store.owner import Grant


def differences(before: Iterable[Grant], now: Iterable[Grant]) -> list[Event]:
    """What is to be heard of a change of grants: by name, what goes before what comes. Pure."""
    old = {(grant.name, grant.borrower): grant for grant in before}
    new = {(grant.name, grant.borrower): grant for grant in now}
    found = []
    for key in sorted(old.keys() | new.keys(), key=lambda key: (key[0], key in new, key)):
        was, is_now = old.get(key), new.get(key)
        was_offered, is_offered = was is not None and not was.held, is_now is not None and not is_now.held
        if was_offered != is_offered:
            reason = is_now.held if is_now is not None else "it is not granted any more"
            found.append(Event("offered" if is_offered else "withdrawn", name=key[0], peer=key[1], reason=reason))
    return found


class OfferEvents:
    """Tells changes of grants; those that are there at first are no change. To be called by one thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._before: list[Grant] | None = None

    def see(self, grants: list[Grant]) -> None:
        """The grants as they are now."""
        for event in differences(grants if self._before is None else self._before, grants):
            self._journal.tell(event)
        self._before = grants
