# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What borrowerd tells of its attachments, releases and offers."""

from __future__ import annotations

from typing import Any

from device_lending import kernel
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import NEVER
from device_lending.borrower.ground import Ground
from device_lending.borrower.offers import Offers
from device_lending.borrower.releases import Releases
from device_lending.borrower.table import item_of
from device_lending.config_space import ConfigSpaces
from device_lending.errors import LendingError
from device_lending.pending import Pending


class Views:
    """Asks, and changes nothing. Raises KernelError; LendingError where it says so."""

    def __init__(self, ground: Ground, releases: Releases, offers: Offers, config_spaces: ConfigSpaces) -> None:
        self._ground = ground
        self._releases = releases
        self._offers = offers
        self._config_spaces = config_spaces

    def attachments(self) -> list[dict[str, Any]]:
        try:
            borrowed: dict[int | None, kernel.Borrowed] = {item.id: item for item in self._ground.kernel.borrowed()}
        except kernel.NotLoaded:
            borrowed = {}
        by_hand = {(item.owner, item.name) for item in self._ground.store.wanted() if item.by_hand}
        return [
            self._document(item, borrowed.get(item.borrowed), item.key in by_hand) for item in self._ground.table.all()
        ]

    def _document(self, item: Attachment, borrowed: kernel.Borrowed | None, by_hand: bool) -> dict[str, Any]:
        waiting = item.state in ("waiting", "failed") and item.not_before is not None and item.attempt > 0
        return {
            "name": item.name,
            "owner": item.owner,
            "state": item.state,
            "address": item.address,
            "remote_address": item.remote_address,
            "driver": item.driver,
            "nodes": list(item.nodes),
            "epoch": item.epoch,
            "attempt": item.attempt,
            "next_attempt": self._ground.clock.at(item.not_before) if waiting and item.not_before is not None else None,
            "leaving": item.recall_by is not None,
            "recall_deadline": self._ground.clock.at(item.recall_by) if item.recall_by not in (None, NEVER) else None,
            **item.policy.document(),
            "by_hand": by_hand,
            "spent": item.spent,
            "ended": item.history.ended,
            "began": item.history.began,
            "formerly": list(item.history.formerly),
            "message": self._ground.troubles.said(item_of(item.key)) or item.message,
            "interrupts": borrowed.interrupts if borrowed else None,
            "mappings": dict(borrowed.mappings) if borrowed else {},
        }

    def pending_releases(self) -> int:
        """How many leases are over whose owner has not acknowledged it."""
        return len(self._releases.pending())

    def config_space(self, name: str) -> Pending:
        """The configuration space of a borrowed device, as this host sees it. Raises LendingError."""
        found = next((item for item in self._ground.table.all() if item.name == name and item.address), None)
        if found is None or found.address is None:
            text = f"host {self._ground.config.host} has no device of an attachment {name}; see devlend list"
            raise LendingError("no_device", text, status=404, name=name)
        return self._config_spaces.ask(found.address)

    def releases(self) -> list[dict[str, Any]]:
        """Leases that are over whose owner has not acknowledged it."""
        return self._releases.documents()

    def offers(self) -> Pending:
        """What the owners behind all usable links offer to this host; a silent owner is left out and logged."""
        return self._offers.ask([peering for peering in self._ground.peerings() if peering.usable])
