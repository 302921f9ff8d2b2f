# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What happens to an attachment, its events, and what is to be done about it, its actions: see attachment.py.

Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_lending.policy import Policy

# A time, of the monotonic clock, that does not come.
NEVER = float("inf")

# Link, handle on the owner, and epoch; each None without a lease.
Lease = tuple[int | None, int | None, int | None]


# Events


@dataclass(frozen=True)
class Look:
    """The regular look. `link` is a usable link to the owner, `busy` whether the device is in use here.

    `blocked` says why the owner must not be asked yet: a release on its way would end the lease it gives. `served`: the
    kernel has the device attached over a ready link to the same incarnation of the owner. `absent`: the kernel was
    asked, and has no device of the attachment's lease. `lease` is the one that all this is about, None for any.
    """

    now: float
    link: int | None
    busy: bool = False
    blocked: str = ""
    served: bool = False
    absent: bool = False
    lease: Lease | None = None


@dataclass(frozen=True)
class Seen:
    """What the kernel and sysfs show of the borrowed device; `id` is None when `missing` is not there any more.

    `complete` says that the driver has made what the device's users wait for, as far as one can tell; `awaits_disks`,
    that it has not, and that this is disks. `unanswered` is the attachment's own, as it was before the kernel was
    asked. `lease` is the one that was looked for.
    """

    now: float
    id: int | None
    gone: bool = False
    address: str | None = None
    driver: str | None = None
    nodes: tuple[str, ...] = ()
    complete: bool = False
    awaits_disks: bool = False
    missing: int | None = None
    unanswered: bool = False
    lease: Lease | None = None


@dataclass(frozen=True)
class Appeared:
    """The kernel answers to an attach that it has the device; what its driver made of it is for looks to see."""

    now: float
    id: int
    gone: bool
    address: str | None


@dataclass(frozen=True)
class Given:
    """The owner, in its incarnation `peer_epoch`, gave the lease, when asked at `seen`."""

    link: int
    handle: int
    epoch: int
    remote_address: str
    ttl: float | None = None
    peer_epoch: int | None = None
    seen: float = 0.0


@dataclass(frozen=True)
class Renewed:
    """The owner, asked at `seen`, says that the lease lives, `ttl` seconds without a sign of life if it tells."""

    epoch: int
    seen: float
    ttl: float | None = None


@dataclass(frozen=True)
class Denied:
    """The owner refused, or could not be asked. `heard` when it was the owner's word, with its `code` if it has one."""

    now: float
    message: str
    heard: bool = False
    code: str = ""


@dataclass(frozen=True)
class AttachFailed:
    """The kernel did not attach it, or with `unanswered` may have. `fatal` when trying again soon is pointless."""

    now: float
    message: str
    fatal: bool = False
    unanswered: bool = False


@dataclass(frozen=True)
class Detached:
    now: float


@dataclass(frozen=True)
class DetachFailed:
    now: float
    message: str


@dataclass(frozen=True)
class InUse:
    """Somebody uses the device that was to be detached since nobody did."""

    now: float


@dataclass(frozen=True)
class Want:
    """A person wants it (again), with another policy unless that is None: no more waiting.

    For another driver the device goes by then, also from who uses it, and once nobody does in any case.
    """

    now: float
    policy: Policy | None = None
    by: float = NEVER


@dataclass(frozen=True)
class Offered:
    """Asking again is worth while: no more waiting for what comes back by itself."""

    now: float


@dataclass(frozen=True)
class Unwant:
    """A person does not want it any more: the device goes now if that is known, and else as `Leave` says.

    Whoever returns it without force has seen that nobody uses it; what is seen later is judged again.
    """

    by: float


@dataclass(frozen=True)
class Recall:
    """The owner wants the device back within `grace` seconds."""

    now: float
    epoch: int
    grace: float


@dataclass(frozen=True)
class Leave:
    """This host is drained: the device goes as soon as nobody uses it, or at `by` all the same, infinity for never."""

    by: float


@dataclass(frozen=True)
class Stay:
    """This host is no longer drained."""

    now: float


@dataclass(frozen=True)
class Ended:
    """The owner says that the lease is over. While it is `served` the kernel knows better."""

    epoch: int
    served: bool = False


@dataclass(frozen=True)
class Claimed:
    """The owner gave the lease to an attachment that somebody wants."""


FromOwner = Given | Renewed | Denied | Recall | Ended | Offered
FromPeople = Want | Unwant | Claimed | Leave | Stay
Event = Look | Seen | Appeared | AttachFailed | Detached | DetachFailed | InUse | FromOwner | FromPeople


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
    """Have the kernel remove the borrowed device; with `idle` only if nobody uses it."""

    borrowed: int
    epoch: int
    idle: bool = False


@dataclass(frozen=True)
class Release:
    """Tell the owner that the lease is over, however long that takes."""

    epoch: int
    link: int
    handle: int
    remote_address: str


@dataclass(frozen=True)
class Forget:
    """Nothing is left of the attachment."""


@dataclass(frozen=True)
class Remember:
    """Its history is another one."""


Action = Ask | Attach | Detach | Release | Forget | Remember
