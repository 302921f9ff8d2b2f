# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Peers that a person has cut off: nothing of theirs reaches this host until a person lets them in again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable

from device_lending import kernel
from device_lending.errors import LendingError
from device_lending.links import Peering
from device_lending.store.owner import Ban, OwnerStore
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.bans")


class Bans:
    """The store has the bans, the kernel keeps the links down. Under a lock of its own, as the kernel is told."""

    def __init__(self, store: OwnerStore, port: kernel.KernelPort, host: str, troubles: Troubles) -> None:
        self._store = store
        self._troubles = troubles
        self._kernel = port
        self._host = host
        self._lock = threading.Lock()
        self._refused: dict[int, str] = {}
        self._changes = 0

    def mark(self) -> int:
        """To be had before links are read that `enforce` is given: what a person has said since is not in them."""
        with self._lock:
            return self._changes

    def all(self) -> list[Ban]:
        """The bans, by host."""
        return self._store.bans()

    def put(self, host: str, link: int, since: float) -> None:
        """Ban a host; its link goes down at once. Raises KernelError, and `enforce` tries again."""
        with self._lock:
            self._changes += 1
            self._store.add_ban(Ban(host, since))
            log.warning("host %s is banned", host)
            self._kernel.ban(link, True)

    def lift(self, host: str, peerings: Iterable[Peering]) -> None:
        """Let a host in again, by its name or its NTB function. Raises LendingError not_banned, KernelError."""
        with self._lock:
            if all(ban.host != host for ban in self.all()):
                raise LendingError(
                    "not_banned", f"host {host} is not banned by {self._host}; see its links", status=404, name=host
                )
            self._changes += 1
            for peering in peerings:
                # Who was banned by a name that it announced is nobody now: it announces itself, and is judged then.
                if peering.link.banned and (peering.peer in (host, None) or peering.link.ntb == host):
                    self._kernel.ban(peering.link.id, False)
                    self._store.remove_ban(peering.link.ntb)
            self._store.remove_ban(host)
            log.warning("host %s is not banned any more", host)

    def enforce(self, peerings: Collection[Peering], now: float, mark: int) -> None:
        """Have the kernel keep down what is banned, once it was loaded anew or a cable changed; what it refuses, later.

        After a lost store, what the kernel keeps down is banned; `now` is seconds since 1970. `mark`: from before the
        links were read; if a person has banned somebody or let him in since, the next look enforces it.
        """
        with self._lock:
            if mark != self._changes:
                return
            for host in unexplained(peerings, {ban.host for ban in self.all()}):
                self._store.add_ban(Ban(host, now))
                log.warning("host %s is banned: found in the kernel", host)
            banned = {ban.host for ban in self.all()}
            for peering in peerings:
                with self._troubles.of(peering.link.ntb, f"link {peering.link.id} could not be banned or let up"):
                    meant = peering.peer in banned or peering.link.ntb in banned
                    if (peering.peer is not None or meant) and peering.link.banned != meant:
                        self._enforce(peering, meant)

    def _enforce(self, peering: Peering, banned: bool) -> None:
        link, refused = peering.link.id, ""
        try:
            self._kernel.ban(link, banned)
        except kernel.KernelError as error:  # the next look tries again; this one judges all leases
            refused = str(error)
            if refused != self._refused.get(link):
                log.error("link %d to %s is not %s: %s", link, peering.peer or peering.link.ntb,
                          "kept down, although that is banned" if banned else "let up again", error)  # fmt: skip
        self._refused[link] = refused


def unexplained(peerings: Collection[Peering], banned: set[str]) -> list[str]:
    """Who has to be banned, as the kernel keeps its link down and `banned` does not say why.

    Without a name it is called as the NTB function before it. A banned host that is behind no link may be the reason.
    """
    placed = {name for peering in peerings for name in (peering.peer, peering.link.ntb)}
    if not banned <= placed:
        return []
    return [
        peering.peer or peering.link.ntb
        for peering in peerings
        if peering.link.banned and not banned & {peering.peer, peering.link.ntb}
    ]
