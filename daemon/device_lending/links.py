# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Who is at the other end of which link: the announced names against the configuration.

The peer's identity is the link a message came over; a name is what the peer says of itself. Where the
configuration names the peer of an NTB function, another announced name is a cabling error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from device_lending.config import Config
from device_lending.kernel import Link


@dataclass(frozen=True)
class Peering:
    """A link together with its peer's name; `peer` is None while unknown.

    `problem` says why nothing is served over it, "" when it may be served.
    """

    link: Link
    peer: str | None
    announced: str | None
    problem: str

    @property
    def usable(self) -> bool:
        """True when requests can be sent and answered now."""
        return self.link.ready and not self.problem

    def document(self) -> dict[str, object]:
        """The link in the form of the HTTP contract."""
        link = self.link
        return {
            "id": link.id,
            "ntb": link.ntb,
            "peer": self.peer,
            "announced": self.announced,
            "physical": link.physical,
            "state": link.state,
            "message": "; ".join(part for part in (self.problem, link.message) if part),
            "epoch": link.epoch,
            "peer_epoch": link.peer_epoch,
            "iommu": link.iommu,
            "dma": link.dma,
            "banned": link.banned,
            "space": dict(link.space),
            "windows": [
                {
                    "index": window.index,
                    "size": window.size,
                    "base": window.base,
                    "inbound_base": window.inbound_base,
                    "inbound_size": window.inbound_size,
                }
                for window in link.windows
            ],
            "counters": dict(link.counters),
        }


def peering(config: Config, link: Link, announced: str | None) -> Peering:
    """Judge one link. Pure."""
    expected: list[str] | None = None
    if config.links is not None:
        expected = [item.peer for item in config.links if item.ntb == link.ntb]
    result = Peering(link, None, announced, "")
    if expected is not None and not expected:
        return replace(result, problem=f"NTB function {link.ntb} is not in 'links' of the configuration; add it")
    if announced == config.host:
        return replace(result, problem=f"the peer announces this host's own name {announced}; give each host its name")
    if expected is None:
        return replace(result, peer=announced)
    if announced is not None and announced not in expected:
        wanted = " or ".join(expected)
        problem = (
            f"cabling: expected {wanted} behind NTB function {link.ntb} but {announced} announces itself; correct the "
            "cable or 'links' of the configuration"
        )
        return replace(result, peer=wanted if len(expected) == 1 else None, problem=problem)
    return replace(result, peer=announced or (expected[0] if len(expected) == 1 else None))


class Announcements:
    """The names peers announced, forgotten when the peer's boot epoch changes.

    Without configured links a name belongs to the link at which it was announced first, as long as that is ready:
    whoever announces it elsewhere is not served.
    """

    def __init__(self) -> None:
        self._names: dict[int, tuple[int, str]] = {}
        self._holders: dict[str, int] = {}
        self._lock = threading.Lock()

    def note(self, link: int, peer_epoch: int, host: str) -> bool:
        """Remember the name that came over a link; True when it is news."""
        with self._lock:
            known = self._names.get(link)
            self._names[link] = (peer_epoch, host)
            return known != (peer_epoch, host)

    def name(self, link: Link) -> str | None:
        """The announced name of the link's present peer."""
        with self._lock:
            known = self._names.get(link.id)
        return known[1] if known and known[0] == link.peer_epoch else None

    def clear(self) -> None:
        """Forget all, for a reloaded module numbers its links anew."""
        with self._lock:
            self._names.clear()
            self._holders.clear()

    def peerings(self, config: Config, links: Iterable[Link]) -> list[Peering]:
        """Judge all links, by number."""
        found = [peering(config, link, self.name(link)) for link in sorted(links, key=lambda link: link.id)]
        return found if config.links is not None else self._without_twins(found)

    def _without_twins(self, peerings: list[Peering]) -> list[Peering]:
        names = {row.link.id: row.peer for row in peerings if row.usable and row.peer is not None}
        with self._lock:
            self._holders = {name: link for name, link in self._holders.items() if names.get(link) == name}
            for link, name in names.items():
                self._holders.setdefault(name, link)
            holders = dict(self._holders)
        return [_without_name_of_another(row, holders.get(row.peer or "", row.link.id)) for row in peerings]


def _without_name_of_another(row: Peering, holder: int) -> Peering:
    if holder == row.link.id:
        return row
    problem = (
        f"the peer announces the name {row.peer}, which the host behind link {holder} has: give each host its name, or "
        "list their NTB functions in 'links' of the configuration, if both links lead to that host"
    )
    return replace(row, problem=problem)
