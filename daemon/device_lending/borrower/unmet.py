# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Recalls of leases that no attachment has: after a lost store the device may be one that no look has found yet."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import Recall

# Of one link; a peer that invents leases pushes out its own.
_MOST = 64


class Unmet:
    """Recalls by link, until their time is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recalls: dict[int, dict[int, Recall]] = {}

    def put(self, link: int, recall: Recall) -> None:
        """Keep what came over a link, in the place of what came before of the same lease."""
        with self._lock:
            kept = self._recalls.setdefault(link, {})
            kept[recall.epoch] = recall
            while len(kept) > _MOST:
                del kept[next(iter(kept))]

    def take(self, items: Sequence[Attachment], now: float) -> list[tuple[Attachment, Recall]]:
        """The attachments that are recalled, each with its recall, which is not kept any more."""
        found = []
        with self._lock:
            for item in items:
                recall = None if item.link is None else self._recalls.get(item.link, {}).pop(item.epoch or -1, None)
                if recall is not None:
                    found.append((item, recall))
            left = {link: {epoch: row for epoch, row in rows.items() if now < row.now + row.grace}
                    for link, rows in self._recalls.items()}  # fmt: skip
            self._recalls = {link: rows for link, rows in left.items() if rows}
        return found
