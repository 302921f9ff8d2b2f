# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The attachments that the store knows; a look finds their devices in the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from device_lending.borrower.attachment import RETURNED, Attachment
from device_lending.borrower.attachment_events import NEVER
from device_lending.clock import Clock
from device_lending.policy import NEW, USUAL
from device_lending.store.borrower import BorrowerStore


def remembered(store: BorrowerStore, clock: Clock) -> Iterator[Attachment]:
    """What is wanted or held, by owner and name. Raises StoreError."""
    holdings = {(row.owner, row.name): row for row in store.holdings() if not row.releasing}
    policies = {(row.owner, row.name): row.policy for row in store.wanted()}
    histories = store.histories()
    for key in sorted(policies.keys() | holdings.keys()):
        owner, name = key
        held = holdings.get(key)
        fresh = Attachment(
            name,
            owner,
            wanted=key in policies,
            not_before=clock.monotonic(),
            policy=policies.get(key, USUAL),
            history=histories.get(key, NEW),
        )
        if held is not None and not fresh.wanted:
            # It was returned, and somebody may use it since.
            by = clock.monotonic() if held.forced else NEVER
            fresh = replace(fresh, recall_by=by, recall_why=RETURNED, message=RETURNED)
        if held is not None:
            fresh = replace(
                fresh,
                link=held.link,
                handle=held.handle,
                epoch=held.epoch,
                remote_address=held.remote_address,
                ttl=held.ttl,
                peer_epoch=held.peer_epoch,
                seen=clock.monotonic() - _since(held.renewed, clock),
            )
        yield fresh


def _since(renewed: float | None, clock: Clock) -> float:
    """Seconds since a time of the wall clock; none when it is not known, or the clock was set back."""
    return 0.0 if renewed is None else max(0.0, clock.wall() - renewed)
