# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What others hear of attachments: each change as an event, and how long it took to come to it."""

from __future__ import annotations

from device_lending.borrower import attachment_events as machine
from device_lending.borrower.attachment import Attachment
from device_lending.clock import Clock
from device_lending.events.event import Event
from device_lending.events.journal import Journal
from device_lending.latency import Latencies

# What is done to devices, in which stages: until the owner has given the lease, the kernel has attached the device, its
# driver has made its nodes; until the driver has let go of it, the owner has it.
STAGES = {"attach": ("owner", "kernel", "driver"), "detach": ("kernel", "owner")}

# Kind and reason.
Change = tuple[str, str]


def changes(old: Attachment, event: machine.Event, new: Attachment) -> list[Change]:
    """What is to be heard of the step from `old` to `new` at an event of the state machine, in order. Pure."""
    found: list[Change] = []
    held = ("attaching", "attached")
    is_going = new.state == "detaching" and old.state in held
    is_away = old.borrowed is not None and new.borrowed is None
    if is_going or is_away:
        found += _cause(old, event, new)
    if is_away:
        found.append(("detached", new.message))
    if new.recall_by is not None and old.recall_by is None:
        found.append(("recall_begun", new.recall_why))
    elif old.recall_by is not None and new.recall_by is None:
        found.append(("recall_called_off", "") if new.epoch == old.epoch else ("recall_done", old.recall_why))
    if new.state == "attached" and old.state != "attached":
        found.append(("attached", new.message))
    is_news = bool(new.message) and new.message != old.message
    if isinstance(event, machine.Denied) and event.heard and is_news:
        found.append(("refused", new.message))
    if isinstance(event, machine.AttachFailed | machine.DetachFailed) and is_news:
        found.append(("failed", new.message))
    return found


def _cause(old: Attachment, event: machine.Event, new: Attachment) -> list[Change]:
    """Why a device goes by itself, if it does."""
    if isinstance(event, machine.Seen | machine.Appeared | machine.Ended):
        return [("lost", new.message)] if new.message and old.state != "detaching" else []
    if isinstance(event, machine.Look) and old.gives_up_at is not None and new.state == "detaching":
        is_expired = not event.served and event.now >= old.gives_up_at
        return [("expired", new.message)] if is_expired else []
    return []


class Telling:
    """To be called under the table's lock."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self.journal = journal
        self.latencies = Latencies(STAGES, clock)
        self._clock = clock
        self._since: dict[tuple[str, str], tuple[str, str, float]] = {}

    def step(self, old: Attachment, event: machine.Event, new: Attachment) -> None:
        """An attachment has come from one state to another."""
        for kind, reason in changes(old, event, new):
            self._tell(kind, old, new, reason)
        self._time(old, new)

    def renamed(self, old: Attachment, new: Attachment) -> None:
        """An attachment has another name."""
        self._since = {new.key if key == old.key else key: value for key, value in self._since.items()}
        self._tell("renamed", old, new, f"it was called {old.name}")

    def _tell(self, kind: str, old: Attachment, new: Attachment, reason: str) -> None:
        self.journal.tell(
            Event(
                kind,
                name=new.name,
                epoch=old.epoch if new.epoch is None else new.epoch,
                link=old.link if new.link is None else new.link,
                peer=new.owner,
                device=new.address or old.address,
                nodes=new.nodes or old.nodes,
                reason=reason,
            )
        )

    def _time(self, old: Attachment, new: Attachment) -> None:
        now = self._clock.monotonic()
        before, after = stage(old), stage(new)
        if before == after:
            return
        begun = self._since.pop(new.key, None)
        if begun is not None and begun[:2] == before and is_done(old, new):
            self.latencies.took(*begun[:2], now - begun[2])
        # A device that was there when the daemon started is not waited for.
        if after is not None and (before is not None or after != ("attach", "driver")):
            self._since[new.key] = (*after, now)


def stage(item: Attachment) -> tuple[str, str] | None:
    """The operation and stage that an attachment is in, if any. Pure."""
    if item.state == "requesting":
        return "attach", "owner"
    if item.state == "attaching":
        return "attach", "kernel" if item.borrowed is None else "driver"
    return ("detach", "kernel") if item.state == "detaching" else None


def is_done(old: Attachment, new: Attachment) -> bool:
    """Whether a stage of `old` came to a good end, and not to another one. Pure."""
    if old.state == "requesting":
        return new.state == "attaching"
    if old.state == "attaching":
        return new.state == "attached" or (new.state == "attaching" and old.borrowed is None)
    return new.borrowed is None
