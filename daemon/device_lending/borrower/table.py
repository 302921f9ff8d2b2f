# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The attachments of this host in memory: events in, actions out, one at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from device_lending.borrower import attachment as machine
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import Action, Claimed, Event, Forget, Given, Lease
from device_lending.borrower.telling import Telling
from device_lending.pending import Signal
from device_lending.troubles import Troubles

log = logging.getLogger("device_lending.attachments")

Key = tuple[str, str]


def item_of(key: Key) -> str:
    """What an attachment is called where its troubles are said."""
    owner, name = key
    return f"lease {name} of {owner}"


class Table:
    """Applies events to attachments and hands the resulting actions to `carry_out`, which must not block.

    `changed` is fired after each change, under the table's lock.
    """

    def __init__(self, carry_out: Callable[[Attachment, Action], None], telling: Telling, troubles: Troubles) -> None:
        self._carry_out = carry_out
        self._troubles = troubles
        self._telling = telling
        self._attachments: dict[Key, Attachment] = {}
        self._renamed: dict[Key, Key] = {}
        self._lock = threading.RLock()
        self.changed = Signal()

    def put(self, attachment: Attachment) -> bool:
        """Add an attachment, or do nothing when it or its lease is there; whether it was added."""
        with self._lock:
            if attachment.key in self._attachments or self.holder(attachment.lease):
                return False
            self._attachments[attachment.key] = attachment
            self.changed.fire()
            return True

    def all(self) -> list[Attachment]:
        """All attachments by name, the same instant for all."""
        with self._lock:
            return sorted(self._attachments.values(), key=lambda item: (item.name, item.owner))

    def get(self, key: Key) -> Attachment | None:
        """The attachment of a key, which may be an old one."""
        with self._lock:
            return self._attachments.get(self._current(key))

    def _current(self, key: Key) -> Key:
        while key not in self._attachments and key in self._renamed:
            key = self._renamed[key]
        return key

    def rename(self, renamed: Mapping[Key, str], write: Callable[[], None]) -> None:
        """Have `write` note new names of attachments, and give these to them.

        What is under way for one, and knows its old key, reaches it still.
        """
        if not renamed:
            write()
            return
        with self._lock:
            write()
            for key, name in renamed.items():
                old = self._attachments.pop(key, None)
                if old is None:
                    continue
                new, actions = machine.renamed(old, name)
                self._attachments[new.key] = new
                self._renamed.pop(new.key, None)
                self._renamed[key] = new.key
                log.info("lease %s: called %s from now on, owner %s, epoch %s", old.name, name, new.owner, new.epoch)
                self._telling.renamed(old, new)
                self._carry_out_all(new, actions)
            self.changed.fire()

    def holder(self, lease: Lease) -> Attachment | None:
        """The attachment that has a lease, whatever it is called."""
        with self._lock:
            items = self._attachments.values()
            return next((item for item in items if item.epoch is not None and item.lease == lease), None)

    def give(self, key: Key, event: Given, write: Callable[[str], None]) -> bool:
        """Have `write` note the lease by its name and apply it, once a stray that has this lease has made way.

        False when there is no such attachment; nothing is noted then.
        """
        with self._lock:
            key = self._current(key)
            if key not in self._attachments:
                return False
            write(key[1])
            holder = self.holder((event.link, event.handle, event.epoch))
            if holder is not None and holder.key != key:
                self.apply(holder.key, Claimed())
            return self.apply(key, event)

    def apply(self, key: Key, event: Event) -> bool:
        """Apply an event; False when there is no such attachment (any more)."""
        with self._lock:
            key = self._current(key)
            old = self._attachments.get(key)
            if old is None:
                return False
            new, actions = machine.step(old, event)
            if any(isinstance(action, Forget) for action in actions):
                del self._attachments[key]
            else:
                self._attachments[key] = new
            _tell(old, new, actions)
            self._telling.step(old, event, new)
            self._carry_out_all(new, actions)
            if new != old or actions:
                self.changed.fire()
            return True

    def _carry_out_all(self, attachment: Attachment, actions: tuple[Action, ...]) -> None:
        """Under the lock, so that two events' actions keep their order."""
        for action in actions:
            if not isinstance(action, Forget):
                what = f"{type(action).__name__.lower()} could not be carried out"
                with self._troubles.of(item_of(attachment.key), what):
                    # A release names the lease that the new state no longer has.
                    self._carry_out(attachment, action)

    def ask(self, question: Callable[[], bool]) -> bool:
        """The answer to a question about what is here and what has been carried out, the same instant for all."""
        with self._lock:
            return question()


def _tell(old: Attachment, new: Attachment, actions: tuple[Action, ...]) -> None:
    """One line per change of state; repeated attempts only tell when they fail for a new reason."""
    if new.hangs and not old.hangs:
        log.error("lease %s: owner %s, epoch %s: %s", new.name, new.owner, new.epoch, new.message)
    forgotten = any(isinstance(action, Forget) for action in actions)
    state = "forgotten" if forgotten else new.state
    routine = {old.state, new.state} <= {"waiting", "requesting"} and old.message == new.message and not forgotten
    if state == old.state or routine:
        return
    epoch = new.epoch or old.epoch
    log.info(
        "lease %s: %s, owner %s, device %s, remote %s, epoch %s%s",
        new.name,
        state,
        new.owner,
        new.address or old.address or "-",
        new.remote_address or old.remote_address or "-",
        epoch if epoch is not None else "-",
        f": {new.message}" if new.message else "",
    )
