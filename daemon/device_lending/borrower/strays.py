# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Borrowed devices that no attachment knows, after a lost store for example.

The kernel says which lease each has, and nobody what it is called. An attachment that wants one of them takes it over
when the owner gives it that lease; what nobody wants is returned.
"""

from __future__ import annotations

from collections.abc import Iterable

from device_lending import found
from device_lending.borrower.attachment import STRAY, Attachment
from device_lending.kernel import Borrowed
from device_lending.links import Peering


def adopted(row: Borrowed, peering: Peering | None, now: float) -> Attachment | None:
    """The attachment that stands for a borrowed device; None while it has to wait for who is at work on it, or for the
    name of its owner. `peering` is its link's."""
    owner = peering.peer if peering is not None else None
    if row.state not in ("attached", "gone") or (owner is None and row.state != "gone"):
        return None
    return Attachment(
        name=found.name(row.address or str(row.id)),
        owner=owner or found.UNKNOWN,
        state="attached",
        wanted=False,
        link=row.link,
        handle=row.remote_id,
        epoch=row.epoch,
        remote_address=row.remote_address,
        peer_epoch=peering.link.peer_epoch if peering is not None else None,
        borrowed=row.id,
        address=row.address,
        stray_until=now + STRAY,
        message="nobody on this host wants it: it is returned soon, unless it is borrowed by its lease's name",
    )


def undecided(items: Iterable[Attachment]) -> set[str]:
    """Owners that have yet to say which of their leases are whose: attachments without a device wait for their word."""
    return {item.owner for item in items if item.wanted and item.borrowed is None and not (item.heard or item.spent)}
