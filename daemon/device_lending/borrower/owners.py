# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What owners tell: recalls, new offers, and how it is with the leases they gave."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from device_lending import kernel
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import Ended, Event, Offered, Recall, Renewed
from device_lending.borrower.ground import Ground
from device_lending.borrower.renewals import served
from device_lending.borrower.unmet import Unmet
from device_lending.hello import versions
from device_lending.mailbox import protocol
from device_lending.mailbox.protocol import Envelope, PeerError

log = logging.getLogger("device_lending.borrower")


class Owners:
    """Notes what they say, and takes no look."""

    def __init__(self, ground: Ground, unmet: Unmet) -> None:
        self._ground = ground
        self._unmet = unmet

    def answered(self, key: tuple[str, str], epoch: int, asked: float, status: protocol.Status) -> None:
        """An owner has answered for a lease."""
        now = self._ground.clock.monotonic()
        if status.state in ("ended", "quarantined"):
            self._doubt(key, epoch)
            return
        self._ground.store.renew(*key, epoch, self._ground.clock.wall_at(asked), status.ttl)
        self._ground.table.apply(key, Renewed(epoch, asked, status.ttl))
        if status.state == "returning":  # its notice did not arrive, or this daemon was restarted
            grace = self._ground.config.recall_grace if status.grace is None else status.grace
            self._ground.table.apply(key, Recall(now, epoch, grace))
            self._ground.wake()  # its time may be over before the look that is due

    def _doubt(self, key: tuple[str, str], epoch: int) -> None:
        """An owner calls a lease over: believed unless the kernel has its device in service, or cannot be asked."""
        item = self._ground.table.get(key)
        if item is None or item.epoch != epoch:
            return
        try:
            peering = self._ground.peering(item.link)
            rows = self._ground.present()
        except kernel.KernelError:
            return
        ended = Ended(epoch, served(item, rows.get(item.lease), peering.link if peering else None))
        if ended.served and not item.doubt:
            log.warning("lease %s: %s calls it over, but device %s is in service: kept, epoch %d", item.name,
                        item.owner, item.address, epoch)  # fmt: skip
        self._ground.table.apply(key, ended)

    def _of_link(self, link: int, epoch: int) -> list[Attachment]:
        """The attachment of a lease that its owner names."""
        return [item for item in self._ground.table.all() if (item.link, item.epoch) == (link, epoch)]

    def serve(self, link: int, _peer_epoch: int, envelope: Envelope) -> dict[str, Any] | None:
        try:
            return self._take(link, envelope)
        except kernel.KernelError as error:
            raise PeerError("kernel_error", f"the borrower's kernel: {error}") from error

    def _take(self, link: int, envelope: Envelope) -> dict[str, Any] | None:
        """Take in what an owner says. Raises PeerError and KernelError."""
        if envelope.kind == "hello":
            return versions()
        if envelope.kind not in ("lease.recall", "offers.changed"):
            raise PeerError("unknown_kind", f"this borrower does not know {envelope.kind}")
        peering = self._ground.peering(link)
        if peering is None or not peering.usable or peering.peer != envelope.host:
            return None
        now = self._ground.clock.monotonic()
        if envelope.kind == "lease.recall":
            recall = Recall(now, protocol.epoch(envelope.body), protocol.seconds(envelope.body, "grace"))
            meant = self._of_link(link, recall.epoch)
            if not meant:
                self._unmet.put(link, recall)
            is_news = self._note(meant, recall) or not meant
        else:
            waiting = [item for item in self._ground.table.all() if item.state == "waiting" and item.wanted]
            is_news = self._note([item for item in waiting if item.owner == envelope.host], Offered(now))
        if is_news:
            self._ground.wake()
        return None

    def _note(self, items: Iterable[Attachment], event: Event) -> bool:
        """Tell attachments of what was heard; whether that is news, which the next look goes by. It takes no look:
        however often a peer says something, there are no more of them than the one thread takes that looks."""
        is_news = False
        for item in items:
            self._ground.apply(item.key, event)
            is_news |= self._ground.table.get(item.key) != item
        return is_news
