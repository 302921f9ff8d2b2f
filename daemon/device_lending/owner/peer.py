# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What borrowers' daemons may ask ownerd over the mailbox, and what ownerd tells them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from device_lending import kernel
from device_lending.errors import LendingError
from device_lending.hello import versions
from device_lending.lanes import Lanes
from device_lending.links import Peering
from device_lending.mailbox import protocol
from device_lending.mailbox.endpoint import Endpoint
from device_lending.mailbox.protocol import Envelope, PeerError
from device_lending.owner.notifier import Notifier
from device_lending.owner.service import Owner
from device_lending.store.owner import Lease

log = logging.getLogger("device_lending.owner")

# Leaves room in a message for the envelope (id, host, re) around a page of offers.
_PAGE_OCTETS = kernel.MAILBOX_MAX - 512


def handler(owner: Owner) -> Callable[[int, int, Envelope], dict[str, Any] | None]:
    """The endpoint's handler for requests of borrowers."""

    def handle(link: int, _peer_epoch: int, envelope: Envelope) -> dict[str, Any] | None:
        try:
            return _serve(owner, link, envelope)
        except LendingError as error:
            raise PeerError(error.code, error.message) from error
        except kernel.KernelError as error:
            raise PeerError("kernel_error", f"the owner's kernel: {error}") from error

    return handle


def _serve(owner: Owner, link: int, envelope: Envelope) -> dict[str, Any] | None:
    body, host = envelope.body, envelope.host
    if envelope.kind == "hello":
        return versions()
    if envelope.kind == "offers.list":
        owner.lending.identify(link, host)
        cursor = protocol.integer(body, "cursor", 0, 100000) if "cursor" in body else 0
        return page(owner.views.offers(host), cursor)
    if envelope.kind == "lease.request":
        lease, lent = owner.lending.request(protocol.lease_name(body), link, host)
        return {"handle": lent.id, "epoch": lease.epoch, "address": lease.address, "ttl": owner.config.lease_ttl}
    if envelope.kind == "lease.release":
        owner.lending.release(protocol.lease_name(body), protocol.epoch(body), link, host)
        return {}
    if envelope.kind == "lease.status":
        protocol.lease_name(body)  # a label: the lease is known by its epoch
        return {**owner.lending.status(protocol.epoch(body), link, host), "ttl": owner.config.lease_ttl}
    raise PeerError("unknown_kind", f"this owner does not know {envelope.kind}")


def page(offers: list[dict[str, Any]], cursor: int) -> dict[str, Any]:
    """As many offers from `cursor` on as fit a message, at least one, and where the next page starts."""
    size, end = 0, cursor
    while end < len(offers) and end - cursor < 64:
        size += len(json.dumps(offers[end], separators=(",", ":"), ensure_ascii=False).encode()) + 1
        if size > _PAGE_OCTETS and end > cursor:
            break
        end += 1
    return {"offers": offers[cursor:end], "next": end if end < len(offers) else None}


class MailboxNotifier(Notifier):
    """Tells borrowers over the mailbox."""

    def __init__(self, endpoint: Endpoint, lanes: Lanes, peerings: Callable[[], list[Peering]]) -> None:
        self._endpoint = endpoint
        self._lanes = lanes
        self._peerings = peerings

    def recall(self, lease: Lease, grace: float) -> bool:
        body = {"name": lease.name, "epoch": lease.epoch, "grace": grace}
        return self._endpoint.notice(lease.link, "lease.recall", body)

    def offers_changed(self, borrower: str) -> None:
        # In a lane: the person who changed a grant need not wait for a peer that is slow to listen.
        self._lanes.submit(("offers", borrower), lambda: self._tell(borrower))

    def _tell(self, borrower: str) -> None:
        try:
            rows = self._peerings()
        except kernel.KernelError as error:  # borrowers ask from time to time without being told
            log.warning("%s could not be told that its offers have changed: %s", borrower, error)
            return
        for peering in rows:
            if peering.usable and peering.peer == borrower:
                self._endpoint.notice(peering.link.id, "offers.changed", {})
