# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What becomes of links from one look to the next."""

from __future__ import annotations

from collections.abc import Iterable

from device_lending.events.event import Event
from device_lending.events.journal import Journal
from device_lending.links import Peering

# Whether it is up, down or its peer is refused; who is there.
State = tuple[str, str | None]


def state(peering: Peering) -> State:
    """How a link is. One that is ready is up when it is known who is there. Pure."""
    if peering.usable and peering.peer is not None:
        return "link_up", peering.peer
    if peering.link.ready and peering.problem:
        return "peer_refused", peering.announced
    return "link_down", peering.peer


class LinkEvents:
    """Tells changes of links. At first all are down. To be called by one thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._states: dict[int, State] = {}

    def see(self, peerings: Iterable[Peering]) -> None:
        """The links as they are now; one that is missing is down."""
        present = {row.link.id: row for row in peerings}
        for link in sorted(self._states.keys() | present.keys()):
            row = present.get(link)
            before = self._states.get(link, ("link_down", None))
            now = ("link_down", before[1]) if row is None else state(row)
            kept = now if now[0] != "link_down" else ("link_down", now[1] or before[1])
            if kept[0] != before[0] or (kept[0] != "link_down" and kept != before):
                reason = row.problem or row.link.message if row else "there is no such link any more"
                self._journal.tell(Event(kept[0], link=link, peer=kept[1], reason=reason))
            self._states[link] = kept
