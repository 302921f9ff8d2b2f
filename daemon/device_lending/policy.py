# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What people want of an attachment when its owner wants the device back, or the device is lost. Pure.

Nothing here keeps a device: when a link or an owner is lost, the kernel has removed the device's driver before anybody
is asked. What is decided is what follows: whether those who use the device are told that it is gone or wait for it,
and whether it is attached again by itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

OnLoss = Literal["detach", "wait"]
AttachAgain = Literal["always", "once", "never"]
ON_LOSS = DETACH, WAIT = get_args(OnLoss)
ATTACH_AGAIN = ALWAYS, ONCE, NEVER = get_args(AttachAgain)

# The most seconds that anybody can be given to hand a device over.
GRACE_MAX = 3600

# Why a device went.
LOSS, RECALL, DRAIN = "loss", "recall", "drain"
ENDS = (LOSS, RECALL, DRAIN)

# What comes next: nothing, while it is here; waiting for what was lost; attaching; or what only a person can say.
STAY, RESUME, ATTACH, PERSON = "stay", "resume", "attach", "person"

# How often a device may come, the first time included.
_TIMES = {ALWAYS: float("inf"), ONCE: 2, NEVER: 1}
_WENT = {
    LOSS: "its device was lost",
    RECALL: "its owner wanted its device back",
    DRAIN: "this host was drained",
    "": "its device went while borrowerd did not run",
}


@dataclass(frozen=True)
class Policy:
    """What is wanted of one attachment.

    `grace`: the seconds that this host takes at most to hand a recalled device over; the owner's, where those are
    fewer, or with None. `on_loss`: whether a loss is the end, or is waited out. `attach_again`: how often the
    attachment comes back by itself after an end. `driver_override`: the only driver that may have the device; any
    with None.
    """

    grace: float | None = None
    on_loss: str = DETACH
    attach_again: str = ALWAYS
    driver_override: str | None = None

    def document(self) -> dict[str, Any]:
        """All of it, in the form of the HTTP contract."""
        return asdict(self)

    def given(self) -> dict[str, Any]:
        """What of it differs from what is so without a word."""
        usual = USUAL.document()
        return {key: value for key, value in self.document().items() if value != usual[key]}


USUAL = Policy()


@dataclass(frozen=True)
class History:
    """What has become of an attachment since a person asked for it.

    `attached` is how often its device has come, without those times it came back after a loss that was waited out.
    `epoch` is that of its last lease, `began` that of the first one since which it was only lost and waited for; None
    before there is one. `ended` says why its device went last; "" while it is here, or when nobody saw it go.
    `formerly` are the names that it had since the first one, oldest first.
    """

    attached: int = 0
    epoch: int | None = None
    began: int | None = None
    ended: str = ""
    formerly: tuple[str, ...] = ()


NEW = History()


def following(policy: Policy, history: History, is_here: bool) -> str:
    """What comes next for a wanted attachment: STAY, RESUME, ATTACH or PERSON. `is_here`: its device is."""
    if is_here:
        return STAY
    if policy.on_loss == WAIT and history.ended == LOSS:
        return RESUME
    return ATTACH if history.attached < _TIMES[policy.attach_again] else PERSON


def came(policy: Policy, history: History, epoch: int) -> History:
    """The device of a lease is here; seen again, as after a restart of the daemon, it counts once."""
    if epoch == history.epoch:
        return replace(history, ended="")
    if following(policy, history, False) == RESUME:
        return replace(history, epoch=epoch, ended="")
    return History(history.attached + 1, epoch, epoch)


def renamed(history: History, old: str, is_here: bool) -> History:
    """It has another name now: who knows the device that is here by the old one goes on doing so."""
    return replace(history, formerly=(*history.formerly, old)) if is_here else history


def went(history: History, why: str) -> History:
    """The device goes; the first reason stands."""
    return replace(history, ended=history.ended or why) if history.attached else history


def drained(policy: Policy, history: History) -> History:
    """This host is drained while a device is not here: a loss is waited out no longer."""
    waits = following(policy, history, False) == RESUME
    return replace(history, ended=DRAIN) if waits else history


def undrained(history: History) -> History:
    """This host is no longer drained: what the drain has taken begins anew."""
    return NEW if history.ended == DRAIN else history


def asked(before: Policy, policy: Policy, history: History, is_here: bool) -> History:
    """A person asks for it, perhaps with another policy: what would not come by itself begins anew.

    While its device is here, and stays, another policy counts from now on.
    """
    if is_here and not history.ended:
        return history if policy == before else replace(history, attached=min(1, history.attached))
    return NEW if following(policy, history, False) == PERSON else history


def grace(policy: Policy, owners: float) -> float:
    """Seconds until a recalled device is handed over. The owner takes it after its own in any case."""
    return owners if policy.grace is None else min(policy.grace, owners)


def why_not(policy: Policy, history: History, name: str) -> str:
    """Why an attachment that only a person can attach again is not attached, in words."""
    return f"{_WENT[history.ended]}, and attach_again is {policy.attach_again}: devlend borrow {name} attaches it again"
