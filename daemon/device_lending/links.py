# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Who is at the other end of which link: the announced names against the configuration.

The peer's identity is the link a message came over; a name is what the peer says of itself. Where the
configuration names the peer of an NTB function, or else one is known there, another announced name is a cabling error.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from device_lending.config import Config
from device_lending.kernel import KernelPort, Link, NotLoaded
from device_lending.store.peers import Peers
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.links")


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


def peering(config: Config, link: Link, announced: str | None, known: Mapping[str, str]) -> Peering:
    """Judge one link. `known` has the hosts that are known behind NTB functions, by address. Pure."""
    expected: list[str] | None = None
    if config.links is not None:
        expected = [item.peer for item in config.links if item.ntb == link.ntb]
    result = Peering(link, None, announced, "")
    if expected is not None and not expected:
        return replace(result, problem=f"NTB function {link.ntb} is not in 'links' of the configuration; add it")
    if announced == config.host:
        return replace(result, problem=f"the peer announces this host's own name {announced}; give each host its name")
    if expected is None:
        problem = _unknown(config, link, announced, known)
        return replace(result, peer=known.get(link.ntb) or (None if problem else announced), problem=problem)
    if announced is not None and announced not in expected:
        wanted = " or ".join(expected)
        problem = (
            f"cabling: expected {wanted} behind NTB function {link.ntb} but {announced} announces itself; correct the "
            "cable or 'links' of the configuration"
        )
        return replace(result, peer=wanted if len(expected) == 1 else None, problem=problem)
    return replace(result, peer=announced or (expected[0] if len(expected) == 1 else None))


def _unknown(config: Config, link: Link, announced: str | None, known: Mapping[str, str]) -> str:
    """Why a name is not taken where no links are configured, and what would have it taken; "" when it is."""
    here, taken = known.get(link.ntb), f"devlend trust {link.ntb} {announced} on {config.host}"
    if announced is None or announced == here:
        return ""
    if here is not None:
        return (
            f"cabling: {here} is known behind NTB function {link.ntb} but {announced} announces itself; correct the "
            f"cable or, if that is right, {taken}"
        )
    other = next((ntb for ntb, host in known.items() if host == announced), None)
    if other is not None:
        return (
            f"cabling: {announced} announces itself behind NTB function {link.ntb} but is known behind {other}; give "
            f"each host its name or, if the cable was moved or both lead there, {taken}"
        )
    if config.first_use == "refuse":
        where = f"NTB function {link.ntb}, where nobody is known"
        return f"{announced} announces itself behind {where}; if that is right, {taken}"
    return ""


class Announcements:
    """The names peers announced, forgotten when the peer's boot epoch changes.

    Without configured links the first name that may be served behind an NTB function is put into `peers`, for good.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._troubles = Troubles()
        self._names: dict[int, tuple[int, str]] = {}
        self._lock = threading.Lock()
        self._judging = threading.Lock()

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

    def peerings(self, config: Config, links: Iterable[Link]) -> list[Peering]:
        """Judge all links, by number."""
        ordered = sorted(links, key=lambda link: link.id)
        if config.links is not None:
            return [peering(config, link, self.name(link), {}) for link in ordered]
        with self._judging:
            known = self._peers.all()
            found = []
            for link in ordered:
                row = peering(config, link, self.name(link), known)
                found.append(row)
                if row.usable and row.peer is not None and link.ntb not in known:
                    known[link.ntb] = row.peer
                    with self._troubles.of(link.ntb, f"{row.peer} could not be noted as the host behind it"):
                        self._peers.learn(link.ntb, row.peer)
                        log.warning("NTB function %s: %s is taken to be behind it from now on", link.ntb, row.peer)
            return found


def peerings(port: KernelPort, announcements: Announcements, config: Config) -> list[Peering]:
    """The kernel's links with their peers; none when the module is not loaded. Raises KernelError."""
    try:
        links = port.links()
    except NotLoaded:
        links = []
    return announcements.peerings(config, links)


def behind(rows: Iterable[Peering], link: int | None) -> Peering | None:
    """The link of this number with its peer; None when it is not among them."""
    return next((row for row in rows if row.link.id == link), None)
