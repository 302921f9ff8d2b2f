# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Carrying out what the state machine decided: asking owners, attaching, detaching. Blocking; runs in workers."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from device_lending import kernel
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import (
    Action,
    Appeared,
    Ask,
    Attach,
    AttachFailed,
    Denied,
    Detach,
    Detached,
    DetachFailed,
    Given,
    InUse,
    Release,
)
from device_lending.borrower.drivers import Drivers
from device_lending.borrower.table import Table
from device_lending.clock import Clock
from device_lending.found import UNKNOWN
from device_lending.links import Peering
from device_lending.mailbox import protocol
from device_lending.mailbox.endpoint import Endpoint, NoAnswer
from device_lending.store.borrower import BorrowerStore, Holding

log = logging.getLogger("device_lending.actions")

# Seconds an owner may take for a lease: it unbinds a driver, resets the device and checks it.
REQUEST_TIMEOUT = 60.0
_FATAL = (errno.ENOSPC, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV)


class Actions:
    """Each method ends with exactly one event for the attachment it was called for."""

    def __init__(
        self,
        store: BorrowerStore,
        port: kernel.KernelPort,
        endpoint: Endpoint,
        clock: Clock,
        peer_of: Callable[[int], Peering | None],
        table: Table,
        uses: Callable[[Sequence[str]], Mapping[str, Sequence[str]]],
        drivers: Drivers,
    ) -> None:
        self._store = store
        self._kernel = port
        self._endpoint = endpoint
        self._clock = clock
        self._peer_of = peer_of
        self._table = table
        self._uses = uses
        self._drivers = drivers
        self._apply = table.apply

    def run(self, attachment: Attachment, action: Action) -> None:
        """Carry out one action and report how it went, also when it went wrong in an unforeseen way."""
        try:
            if isinstance(action, Ask):
                self._ask(attachment, action)
            elif isinstance(action, Attach):
                self._attach(attachment, action)
            elif isinstance(action, Detach):
                self._detach(attachment, action)
        except Exception as error:  # without an event the attachment would be stuck for ever
            log.exception("lease %s: %s failed", attachment.name, type(action).__name__)
            self.fail(attachment, f"internal error: {error}")

    def fail(self, attachment: Attachment, text: str) -> None:
        """Report that an action was not carried out."""
        now = self._now()
        for event in (Denied(now, text), AttachFailed(now, text, unanswered=True), DetachFailed(now, text)):
            self._apply(attachment.key, event)  # only the one that fits the state has an effect

    def _ask(self, attachment: Attachment, action: Ask) -> None:
        present = self._table.get(attachment.key)
        if present is None or not present.wanted:  # it had to wait, and its time was over before
            self._apply(attachment.key, Denied(self._now(), "nobody wants it any more"))
            return
        sent, since = self._now(), self._clock.wall()
        try:
            answer = self._endpoint.request(action.link, "lease.request", {"name": attachment.name}, REQUEST_TIMEOUT)
            granted = protocol.granted(answer)
            peering = self._peer_of(action.link)
            if peering is None or not peering.usable or peering.peer != attachment.owner:
                raise NoAnswer(f"the peer that answered is not {attachment.owner}")
        except protocol.PeerError as error:
            text = f"{attachment.owner} refused: {error}"
            self._apply(attachment.key, Denied(self._now(), text, heard=True, code=error.code))
            return
        except protocol.Malformed as error:
            self._apply(
                attachment.key, Denied(self._now(), f"the answer of {attachment.owner} makes no sense: {error}")
            )
            return
        except (NoAnswer, kernel.KernelError) as error:
            self._apply(attachment.key, Denied(self._now(), f"{attachment.owner} could not be asked: {error}"))
            return
        given = Given(
            action.link,
            granted.handle,
            granted.epoch,
            granted.address,
            granted.ttl,
            peering.link.peer_epoch,
            sent,
        )
        taken = self._taken(attachment, given)
        if taken:
            self._apply(attachment.key, Denied(self._now(), taken, heard=True))
            return
        holding = Holding(
            attachment.name,
            attachment.owner,
            given.epoch,
            given.handle,
            given.link,
            given.remote_address,
            ttl=given.ttl,
            renewed=since,
            peer_epoch=given.peer_epoch,
        )

        def note(name: str) -> None:
            self._store.add_holding(replace(holding, name=name))

        if not self._table.give(attachment.key, given, note):
            self._store.release(holding)

    def _taken(self, attachment: Attachment, given: Given) -> str:
        """Why this host cannot use the lease that it was given under this name; "" when it can."""
        holder = self._table.holder((given.link, given.handle, given.epoch))
        if holder is not None and holder.key != attachment.key and not holder.claimable:
            return f"{given.remote_address} of {attachment.owner} is {holder.state} here as {holder.name}; return that"
        held = [row for row in self._store.holdings() if (row.owner, row.epoch) == (attachment.owner, given.epoch)]
        return "the owner has not acknowledged the release before" if any(row.releasing for row in held) else ""

    def _attach(self, attachment: Attachment, action: Attach) -> None:
        driver = attachment.policy.driver_override
        try:
            missing = self._drivers.missing(driver, action.link) if driver else ""
            if missing:
                text = f"{attachment.remote_address} of {attachment.owner} was not attached: {missing}"
                self._apply(attachment.key, AttachFailed(self._now(), text, fatal=True))
                return
            found = self._present(action) or self._kernel.attach(action.link, action.handle, action.epoch, driver)
        except kernel.KernelError as error:
            fatal = error.errno in _FATAL and not isinstance(error, (kernel.NotLoaded, kernel.NotFound))
            text = f"{attachment.remote_address} of {attachment.owner} could not be attached: {error}"
            self._apply(attachment.key, AttachFailed(self._now(), text, fatal, self._may_be_present(action)))
            return
        self._apply(attachment.key, Appeared(self._now(), found.id, found.state == "gone", found.address))

    def _present(self, action: Attach) -> kernel.Borrowed | None:
        """The borrowed device when it is attached already: the request before a crash, or a lost store."""
        key = (action.link, action.handle, action.epoch)
        return next((row for row in self._kernel.borrowed() if (row.link, row.remote_id, row.epoch) == key), None)

    def _may_be_present(self, action: Attach) -> bool:
        """Whether the device may be attached, or become so, although an error says that it could not be."""
        try:
            return self._present(action) is not None
        except kernel.NotLoaded:
            return False
        except kernel.KernelError:
            return True

    def _detach(self, attachment: Attachment, action: Detach) -> None:
        # It may have waited for others.
        if action.idle and attachment.address is not None and self._uses([attachment.address])[attachment.address]:
            self._apply(attachment.key, InUse(self._now()))
            return
        try:
            self._kernel.detach(action.borrowed, action.epoch)
        except (kernel.NotFound, kernel.NotLoaded, kernel.Stale):
            pass  # gone already, and its number given again
        except kernel.KernelError as error:
            text = f"{attachment.address} could not be detached: {error}"
            log.warning("lease %s: %s", attachment.name, text)
            self._apply(attachment.key, DetachFailed(self._now(), text))
            return
        self._apply(attachment.key, Detached(self._now()))

    def record_release(self, attachment: Attachment, action: Release) -> None:
        """Remember that the owner has to be told; quick, for the caller's thread."""
        if attachment.owner != UNKNOWN:
            self._store.release(
                Holding(
                    attachment.name,
                    attachment.owner,
                    action.epoch,
                    action.handle,
                    action.link,
                    action.remote_address,
                    releasing=True,
                )
            )

    def _now(self) -> float:
        return self._clock.monotonic()
