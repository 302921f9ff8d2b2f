# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The life of an attachment as a pure function: (attachment, event) -> (attachment, actions).

waiting    -> requesting  the link to the owner is usable and the delay is over        [Ask]
requesting -> attaching   the owner gave the lease                                     [Attach]
requesting -> waiting     it refused or did not answer; growing delay
attaching  -> attached    the device appeared and its driver made its nodes, or the driver took too long
attaching  -> waiting     the kernel could not attach it                               [Release]
attaching  -> failed      it cannot work without a person; tried again rarely          [Release]
attached   -> detaching   unwanted, recalled by the owner, or gone                     [Detach]
detaching  -> waiting     detached and still wanted                                    [Release]
any        -> (forgotten) no longer wanted and nothing left to undo                    [Forget]

Times are monotonic seconds. An event that does not fit the state changes nothing, so late and repeated ones are
harmless.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

from device_lending.kernel import NO_LEASE

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
FAILED_DELAY = 300.0
SETTLE = 30.0
NODES_AFTER_DRIVER = 5.0


@dataclass(frozen=True)
class Attachment:
    """One wanted (or just now unwanted) attachment.

    `epoch`, `handle`, `link` and `remote_address` describe the lease while there is one; `borrowed` is the kernel's
    number of the borrowed device while there is one. `not_before` is None while an action is under way.
    """

    name: str
    owner: str
    state: str = "waiting"
    wanted: bool = True
    link: int | None = None
    handle: int | None = None
    epoch: int | None = None
    remote_address: str | None = None
    borrowed: int | None = None
    address: str | None = None
    driver: str | None = None
    nodes: tuple[str, ...] = ()
    attempt: int = 0
    not_before: float | None = 0.0
    settle_by: float = 0.0
    recall_by: float | None = None
    message: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.owner, self.name


# Events


@dataclass(frozen=True)
class Look:
    """The regular look. `link` is a usable link to the owner, `busy` whether the device is in use here.

    `blocked` says why the owner must not be asked yet: a release on its way would end the lease it gives.
    """

    now: float
    link: int | None
    busy: bool = False
    blocked: str = ""


@dataclass(frozen=True)
class Seen:
    """What the kernel and sysfs show of the borrowed device; `id` is None when `missing` is not there any more.

    `complete` says that the driver has made what the device's users wait for, as far as one can tell.
    """

    now: float
    id: int | None
    gone: bool = False
    address: str | None = None
    driver: str | None = None
    nodes: tuple[str, ...] = ()
    complete: bool = False
    missing: int | None = None


@dataclass(frozen=True)
class Given:
    """The owner gave the lease."""

    link: int
    handle: int
    epoch: int
    remote_address: str


@dataclass(frozen=True)
class Denied:
    """The owner refused, or could not be asked."""

    now: float
    message: str


@dataclass(frozen=True)
class AttachFailed:
    """The kernel did not attach it. `fatal` when trying again soon is pointless."""

    now: float
    message: str
    fatal: bool = False


@dataclass(frozen=True)
class Detached:
    now: float


@dataclass(frozen=True)
class DetachFailed:
    now: float
    message: str


@dataclass(frozen=True)
class Want:
    """A person wants it (again): no more waiting."""

    now: float


@dataclass(frozen=True)
class Unwant:
    """A person does not want it any more."""


@dataclass(frozen=True)
class Recall:
    """The owner wants the device back within `grace` seconds."""

    now: float
    epoch: int
    grace: float


@dataclass(frozen=True)
class Ended:
    """The owner says that the lease is over."""

    epoch: int


Event = Look | Seen | Given | Denied | AttachFailed | Detached | DetachFailed | Want | Unwant | Recall | Ended


# Actions


@dataclass(frozen=True)
class Ask:
    """Ask the owner for the lease."""

    link: int


@dataclass(frozen=True)
class Attach:
    """Have the kernel attach the lent device."""

    link: int
    handle: int
    epoch: int


@dataclass(frozen=True)
class Detach:
    """Have the kernel remove the borrowed device."""

    borrowed: int
    epoch: int


@dataclass(frozen=True)
class Release:
    """Tell the owner that the lease is over, however long that takes."""

    epoch: int


@dataclass(frozen=True)
class Forget:
    """Nothing is left of the attachment."""


Action = Ask | Attach | Detach | Release | Forget
Result = tuple[Attachment, tuple[Action, ...]]


def delay(name: str, attempt: int) -> float:
    """Seconds to wait after failed attempt `attempt`: doubling, spread by up to a quarter to either side.

    The spread depends on name and attempt alone, so that the function is pure and hosts still do not ask in step.
    """
    plain = min(LONGEST_DELAY, FIRST_DELAY * (1 << min(max(attempt - 1, 0), 16)))
    spread = zlib.crc32(f"{name}/{attempt}".encode()) / 0xFFFFFFFF - 0.5
    return plain * (1 + spread / 2)


def step(old: Attachment, event: Event) -> Result:
    """The state after an event, and what to do now."""
    match event:
        case Look():
            return _look(old, event)
        case Seen():
            return _seen(old, event)
        case Given() if old.state == "requesting":
            given = replace(
                old, link=event.link, handle=event.handle, epoch=event.epoch, remote_address=event.remote_address
            )
            if not old.wanted:
                return _over(given)
            attaching = replace(given, state="attaching", not_before=None, message="")
            return attaching, (Attach(event.link, event.handle, event.epoch),)
        case Denied() if old.state == "requesting":
            return _again(old, event.now, event.message) if old.wanted else _over(old)
        case AttachFailed() if old.state == "attaching" and old.borrowed is None:
            return _attach_failed(old, event)
        case Detached() if old.state == "detaching":
            return _detached(old, event.now)
        case DetachFailed() if old.state == "detaching":
            attempt = old.attempt + 1
            later = event.now + delay(old.name, attempt)
            return replace(old, attempt=attempt, not_before=later, message=event.message), ()
        case Want():
            fresh = replace(old, wanted=True)
            if old.state in ("waiting", "failed"):
                fresh = replace(fresh, state="waiting", attempt=0, not_before=event.now)
            return fresh, ()
        case Unwant():
            return _unwant(old)
        case Recall() if old.epoch == event.epoch and old.state in ("attaching", "attached"):
            by = event.now + max(0.0, event.grace) / 2
            return replace(old, recall_by=by, message=f"recalled by {old.owner}"), ()
        case Ended() if (
            old.epoch == event.epoch and old.borrowed is not None and old.state in ("attaching", "attached")
        ):
            return _detach(old, f"{old.owner} ended the lease")
    return old, ()


def _look(old: Attachment, event: Look) -> Result:
    due = old.not_before is not None and event.now >= old.not_before
    if old.recall_by is not None and old.borrowed is not None and old.state in ("attaching", "attached"):
        # The owner cuts the device off at the end of its grace. Removing it here in time, even in use, lets its
        # driver flush; until then whoever uses it may stop.
        if not event.busy or event.now >= old.recall_by:
            return _detach(old, f"recalled by {old.owner}")
        return replace(old, message=f"recalled by {old.owner}, but in use: stop using it"), ()
    if old.state in ("waiting", "failed"):
        if not old.wanted:
            return _over(old)
        if event.link is None:
            return replace(old, message=f"no ready link to {old.owner}") if due else old, ()
        if event.blocked:
            return replace(old, message=event.blocked) if due else old, ()
        if due:
            asking = replace(old, state="requesting", attempt=old.attempt + 1, not_before=None, link=event.link)
            return asking, (Ask(event.link),)
    if old.state == "detaching" and due and old.borrowed is not None:
        return replace(old, not_before=None), (Detach(old.borrowed, old.epoch or NO_LEASE),)
    return old, ()


def _seen(old: Attachment, event: Seen) -> Result:
    if event.id is None:
        # An attach under way has no borrowed device yet, and one that has just ended has another than was looked for.
        if old.borrowed is None or old.borrowed != event.missing or old.state == "detaching":
            return old, ()
        return _detached(replace(old, message="the borrowed device went away"), event.now)
    if old.state in ("waiting", "requesting", "failed") or (old.state == "attaching" and old.borrowed is None):
        if old.state == "requesting":
            return old, ()  # the answer under way brings the same lease; then it is found again
        old = replace(
            old,
            state="attaching",
            borrowed=event.id,
            settle_by=event.now + SETTLE,
            not_before=event.now,
            message="waiting for its driver",
        )
        if not old.wanted:
            return _detach(old, "")
    if old.state not in ("attaching", "attached"):
        return old, ()
    if event.gone:
        return _detach(old, f"the link to {old.owner} or its device is lost")
    first_driver = event.driver is not None and old.driver is None
    seen = replace(old, address=event.address, driver=event.driver, nodes=event.nodes)
    if old.state == "attaching":
        if first_driver:
            seen = replace(seen, settle_by=min(old.settle_by, event.now + NODES_AFTER_DRIVER))
        if (event.driver and event.complete) or event.now >= seen.settle_by:
            seen = replace(seen, state="attached", attempt=0)
    if seen.state == "attached" and seen.recall_by is None:
        seen = replace(seen, message="" if event.driver else "no driver took the device: dmesg says why, if one tried")
    return seen, ()


def _attach_failed(old: Attachment, event: AttachFailed) -> Result:
    released: tuple[Action, ...] = (Release(old.epoch),) if old.epoch is not None else ()
    if not old.wanted:
        return _over(old)
    if event.fatal:
        bare = _without_lease(old)
        return replace(bare, state="failed", not_before=event.now + FAILED_DELAY, message=event.message), released
    waiting, _none = _again(_without_lease(old), event.now, event.message)
    return waiting, released


def _unwant(old: Attachment) -> Result:
    unwanted = replace(old, wanted=False)
    if old.state in ("waiting", "failed"):
        return _over(unwanted)
    if old.state in ("attaching", "attached") and old.borrowed is not None:
        return _detach(unwanted, "")
    return unwanted, ()


def _detach(old: Attachment, message: str) -> Result:
    assert old.borrowed is not None
    detaching = replace(old, state="detaching", not_before=None, attempt=0, message=message)
    return detaching, (Detach(old.borrowed, old.epoch or NO_LEASE),)


def _detached(old: Attachment, now: float) -> Result:
    if not old.wanted:
        return _over(old)
    released: tuple[Action, ...] = (Release(old.epoch),) if old.epoch is not None else ()
    return replace(_without_lease(old), state="waiting", attempt=0, not_before=now + FIRST_DELAY), released


def _over(old: Attachment) -> Result:
    """Nothing is attached and nobody wants it: give back what is held, if anything, and forget."""
    release: tuple[Action, ...] = (Release(old.epoch),) if old.epoch is not None else ()
    return replace(_without_lease(old), state="waiting"), (*release, Forget())


def _again(old: Attachment, now: float, message: str) -> Result:
    later = now + delay(old.name, old.attempt)
    return replace(old, state="waiting", not_before=later, message=message), ()


def _without_lease(old: Attachment) -> Attachment:
    return replace(
        old,
        link=None,
        handle=None,
        epoch=None,
        remote_address=None,
        borrowed=None,
        address=None,
        driver=None,
        nodes=(),
        recall_by=None,
    )
