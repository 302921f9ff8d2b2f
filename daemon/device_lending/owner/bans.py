# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Peers that a person has cut off: nothing of theirs reaches this host until a person lets them in again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from device_lending import kernel
from device_lending.errors import LendingError
from device_lending.links import Peering
from device_lending.store.owner import Ban, OwnerStore

log = logging.getLogger("device_lending.bans")


class Bans:
    """What is banned is on disk; the kernel keeps the links down. Under a lock of its own, as the kernel is told."""

    def __init__(self, store: OwnerStore, port: kernel.KernelPort, host: str) -> None:
        self._store = store
        self._kernel = port
        self._host = host
        self._lock = threading.Lock()

    def all(self) -> list[Ban]:
        """The bans, by host."""
        return self._store.bans()

    def put(self, host: str, link: int, since: float) -> None:
        """Ban a host; its link goes down at once. Raises KernelError, with the ban on disk: `enforce` tries again."""
        with self._lock:
            self._store.add_ban(Ban(host, since))
            log.warning("host %s is banned", host)
            self._kernel.ban(link, True)

    def lift(self, host: str, peerings: Iterable[Peering]) -> None:
        """Let a host in again. Raises LendingError not_banned, KernelError."""
        with self._lock:
            if all(ban.host != host for ban in self.all()):
                raise LendingError(
                    "not_banned", f"host {host} is not banned by {self._host}; see its links", status=404, name=host
                )
            self._store.remove_ban(host)
            log.warning("host %s is not banned any more", host)
            for peering in peerings:
                # Who was banned by a name that it announced is nobody now: it announces itself, and is judged then.
                if peering.link.banned and peering.peer in (host, None):
                    self._kernel.ban(peering.link.id, False)

    def enforce(self, peerings: Iterable[Peering]) -> None:
        """Have the kernel keep down what is banned, once it was loaded anew or a cable changed. Raises KernelError."""
        with self._lock:
            banned = {ban.host for ban in self.all()}
            for peering in peerings:
                if peering.peer is not None and peering.link.banned != (peering.peer in banned):
                    self._kernel.ban(peering.link.id, peering.peer in banned)
