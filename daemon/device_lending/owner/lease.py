# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The life of a lease as a pure function of what is stored and what the kernel shows.

granted  -> active      the borrower attached the device
active   -> granted     it detached, the lease goes on
any live -> returning   somebody wants the device back and the borrower has time to hand it over
any live -> (ended)     the kernel has no such lease any more or has fenced it, the lease expired, or the time to return
                        is over
returning-> quarantined the device did not come back healthy (decided where it is reset, in leasing)

A lease lives while the kernel says "attached" over a ready link to the same incarnation of the peer, or while the
borrower's daemon renews it; without either it ends `ttl` seconds after the last sign of life.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from device_lending.kernel import Lent, Link
from device_lending.mailbox.protocol import RENEWED_EVERY
from device_lending.store.owner import Lease

# How often the last sign of life is written down, as a part of the time to live.
WRITTEN_EVERY = 1 / 8


@dataclass(frozen=True)
class Life:
    """What is not on disk: `seen` is the last sign of life, `due` when a recall turns to force (monotonic)."""

    seen: float
    due: float | None = None


@dataclass(frozen=True)
class Step:
    """The outcome of one observation. `end` is why the lease ends now, "" when it goes on; `cause` is lost or expired
    where it ends by itself.

    `attached` tells whether the borrower may be using the device, so that force is needed.
    """

    state: str
    life: Life
    end: str = ""
    cause: str = ""


def born(lease: Lease, now: float, wall: float, grace: float, ttl: float) -> Life:
    """The in-memory half of a lease at its start or at a start of the daemon.

    The time to live goes on from the last sign of life by the clock on the wall (`wall`, seconds since 1970), but
    leaves the borrower the time for one more: nobody could see it while the daemon was away. A recall under way goes
    on: what is left of its time by that clock, and no more than `grace` whatever it has done.
    """
    silent = 0.0 if lease.seen is None else min(max(wall - lease.seen, 0.0), ttl * (1 - RENEWED_EVERY))
    if lease.state != "returning":
        return Life(seen=now - silent)
    left = grace if lease.due is None else min(max(lease.due - wall, 0.0), grace)
    return Life(seen=now - silent, due=now + left)


def renewed(life: Life, now: float) -> Life:
    """The borrower's daemon asked after its lease."""
    return replace(life, seen=max(life.seen, now))


def recalled(life: Life, now: float, grace: float) -> Life:
    """Somebody wants the device back within `grace` seconds; an earlier time stands."""
    due = now + grace
    return replace(life, due=due if life.due is None else min(due, life.due))


def holds(lease: Lease, lent: Lent | None) -> bool:
    """True when the kernel has this very lease: same device, same epoch, still leased."""
    return lent is not None and lent.address == lease.address and lent.epoch == lease.epoch and lent.leased


def observe(lease: Lease, life: Life, now: float, ttl: float, lent: Lent | None, link: Link | None) -> Step:
    """Judge a live lease by the kernel's view of its device and of its link."""
    if not holds(lease, lent):
        return Step("returning", life, "the kernel has no such lease any more", "lost")
    assert lent is not None
    if lent.over:
        return Step("returning", life, lent.message, "lost")
    same_peer = link is not None and link.ready and link.peer_epoch == lease.peer_epoch
    if lent.state == "attached" and same_peer:
        life = replace(life, seen=max(life.seen, now))
    state = "active" if lent.state == "attached" else "granted"
    if lease.state == "returning" or life.due is not None:
        if life.due is None or now >= life.due:
            return Step("returning", life, "the borrower did not hand it back in time")
        return Step("returning", life)
    if now - life.seen >= ttl:
        why = "the borrower's daemon was silent" if same_peer else "its link was not ready, or the peer started anew,"
        return Step(state, life, f"{why} for {ttl:g} s", "expired")
    return Step(state, life)
