# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Asking owners after the leases held here: it renews them, and tells when one is recalled or over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from device_lending.borrower.attachment import Attachment
from device_lending.clock import Clock
from device_lending.kernel import Borrowed, Link
from device_lending.lanes import Lanes
from device_lending.mailbox.endpoint import Endpoint, NoAnswer
from device_lending.mailbox.protocol import RENEWED_EVERY, Malformed, PeerError, Status, lease_status

log = logging.getLogger("device_lending.renewals")

# Seconds. Two questions after a lease are not so far apart that a recall goes unnoticed, whatever its time.
_LEAST = 0.25
_MOST = 60.0
_UNKNOWN_TTL = 90.0
_TIMEOUT = 10.0

Key = tuple[str, str, int]
OnAnswer = Callable[[tuple[str, str], int, float, Status], None]


def interval(ttl: float | None) -> float:
    """Seconds between two questions after a lease that lives `ttl` seconds without a sign of life; None: unknown."""
    return min(_MOST, max(_LEAST, (_UNKNOWN_TTL if ttl is None else ttl) * RENEWED_EVERY))


def served(item: Attachment, row: Borrowed | None, link: Link | None) -> bool:
    """Whether the kernel has the device attached over a ready link to the same incarnation of the owner.

    The owner's kernel sees the same then, and the lease lives (owner/lease.py).
    """
    if row is None or row.state != "attached" or link is None or not link.ready:
        return False
    return item.peer_epoch in (None, link.peer_epoch)


class Renewals:
    """`on_answer` gets (attachment's key, epoch, when it was asked, status) of each answer, in a lane of its link."""

    def __init__(self, endpoint: Endpoint, lanes: Lanes, clock: Clock, on_answer: OnAnswer) -> None:
        self._endpoint = endpoint
        self._lanes = lanes
        self._clock = clock
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self._asked: dict[Key, float] = {}
        self._busy: set[Key] = set()

    def look(self, item: Attachment, link: int) -> None:
        """Ask after an attachment's lease, if it is time."""
        if item.epoch is None:
            return
        key, now = (item.owner, item.name, item.epoch), self._clock.monotonic()
        with self._lock:
            self._asked = {known: at for known, at in self._asked.items() if now - at < 10 * _MOST}
            if key in self._busy or now - self._asked.get(key, float("-inf")) < interval(item.ttl):
                return
            self._asked[key] = now
            self._busy.add(key)
        if not self._lanes.submit(("renewal", link), lambda: self._ask(key, link)):
            with self._lock:
                self._busy.discard(key)

    def due(self, item: Attachment) -> float | None:
        """When it is asked after again (monotonic); None when that is not known or waits for something else."""
        if item.epoch is None:
            return None
        with self._lock:
            asked = self._asked.get((item.owner, item.name, item.epoch))
        at = None if asked is None else asked + interval(item.ttl)
        return at if at is not None and at > self._clock.monotonic() else None

    def _ask(self, key: Key, link: int) -> None:
        owner, name, epoch = key
        sent = self._clock.monotonic()
        try:
            status = lease_status(
                self._endpoint.request(link, "lease.status", {"name": name, "epoch": epoch}, _TIMEOUT)
            )
        except (NoAnswer, PeerError, Malformed) as error:
            log.debug("lease %s: status: %s", name, error)
            return
        finally:
            with self._lock:
                self._busy.discard(key)
        self._on_answer((owner, name), epoch, sent, status)
