# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The life of an attachment as a pure function: (attachment, event) -> (attachment, actions).

waiting    -> requesting  the link to the owner is usable and the delay is over        [Ask]
requesting -> attaching   the owner gave the lease                                     [Attach]
requesting -> waiting     it refused or did not answer; growing delay
attaching  -> attached    the device appeared and its driver made its nodes, or the driver took too long
attaching  -> waiting     the kernel could not attach it, or its answer was lost and it shows no device  [Release]
attaching  -> failed      it cannot work without a person; tried again rarely          [Release]
attached   -> detaching   no sign of life of the owner for most of the lease's time    [Detach]
attached   -> detaching   unwanted and, unless it was returned with force, not in use; recalled by the owner; or
                          gone                                                 [Detach]
detaching  -> waiting     detached and still wanted                                    [Release]
detaching  -> attached    somebody uses it since it was found idle, which is why it was to go
any        -> (forgotten) no longer wanted and nothing left to undo                    [Forget]
any        -> (the same)  something happened that its policy goes by                   [Remember]

Whether a wanted attachment that waits asks its owner at all is said by its policy and its history: see policy.py.

A lease lives while the kernel has the device attached over a ready link to the same incarnation of the owner, or while
the owner answers when it is asked after it. Without either it is given up before the owner may take the device: a
sixth of its time before, counted from when the last question that was answered was sent, and at least half a second.
That allows for clocks that differ by far more than real ones (a thousandth), for a look that is late, and for a driver
that has to let go.

Times are monotonic seconds. An event that does not fit the state changes nothing, so late and repeated ones are
harmless.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

from device_lending import policy as policies
from device_lending.borrower.attachment_events import (
    NEVER,
    Action,
    Appeared,
    Ask,
    Attach,
    AttachFailed,
    Claimed,
    Denied,
    Detach,
    Detached,
    DetachFailed,
    Ended,
    Event,
    Forget,
    Given,
    InUse,
    Lease,
    Leave,
    Look,
    Offered,
    Recall,
    Release,
    Remember,
    Renewed,
    Seen,
    Stay,
    Unwant,
    Want,
)
from device_lending.kernel import NO_LEASE
from device_lending.policy import NEW, USUAL, History, Policy

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
FAILED_DELAY = 300.0
SETTLE = 30.0
NODES_AFTER_DRIVER = 5.0
STRAY = 30.0
# A driver has the requests under way time out when its device is removed, ten seconds or so each time.
HANGS_AFTER = 60.0
MARGIN = 1 / 6
MARGIN_LEAST = 0.5
DRAINED = "this host is drained"
RETURNED = "nobody on this host wants it any more"
OTHER_DRIVER = "another driver is to have it"
# What an owner refuses until one of its people changes something; all else passes, or may.
FINAL = frozenset({"not_granted", "held", "quarantined", "device_not_lendable", "device_ambiguous"})


@dataclass(frozen=True)
class Attachment:
    """One wanted (or just now unwanted) attachment.

    `epoch`, `handle`, `link`, `remote_address`, `ttl` (seconds), and `peer_epoch`, the incarnation of the owner,
    describe the lease while there is one; `seen` is its last sign of life, `doubt` says what speaks against it.
    `borrowed` is the kernel's number of the borrowed device while there is one. `not_before` is None while an action is
    under way. `unanswered`: the kernel's answer to an attach was lost, so that only its list tells whether there is a
    device. `heard`: the owner has answered since it is wanted; `refusal` is the code of its last answer, if a no.
    `overtaken`: something made the request that is under way an old one, so that a no to it counts for nothing.
    `stray_until` is set for a device that was found in the kernel, see strays.py, and says how long it is kept for who
    may want it. `recall_by` is set when its device goes as soon as nobody uses it, and is when it goes all the same,
    infinity for never; `recall_why` says what for. `busy_since` is when the kernel was first seen at work on its
    device, and `hangs` says that this has taken too long. `idle`: it is being detached since nobody uses it. `policy`
    and `history` say whether it comes back by itself; `not_before` is None while it does not.
    """

    name: str
    owner: str
    state: str = "waiting"
    wanted: bool = True
    link: int | None = None
    handle: int | None = None
    epoch: int | None = None
    remote_address: str | None = None
    ttl: float | None = None
    peer_epoch: int | None = None
    seen: float = 0.0
    doubt: str = ""
    borrowed: int | None = None
    address: str | None = None
    driver: str | None = None
    nodes: tuple[str, ...] = ()
    attempt: int = 0
    not_before: float | None = 0.0
    settle_by: float = 0.0
    recall_by: float | None = None
    recall_why: str = ""
    unanswered: bool = False
    heard: bool = False
    refusal: str = ""
    overtaken: bool = False
    stray_until: float | None = None
    busy_since: float | None = None
    hangs: bool = False
    idle: bool = False
    message: str = ""
    policy: Policy = USUAL
    history: History = NEW

    @property
    def key(self) -> tuple[str, str]:
        return self.owner, self.name

    @property
    def lease(self) -> Lease:
        """What the lease is known by, whatever its name."""
        return self.link, self.handle, self.epoch

    @property
    def is_in_the_kernel(self) -> bool:
        """Whether the kernel is at work on its device: a driver takes it, or lets it go."""
        is_attaching = self.state == "attaching" and self.borrowed is None and not self.unanswered
        return self.not_before is None and (is_attaching or self.state == "detaching")

    @property
    def claimable(self) -> bool:
        """Whether an attachment that somebody wants may take it over."""
        return self.stray_until is not None and self.state == "attached"

    @property
    def following(self) -> str:
        """What its policy says comes next."""
        return policies.following(self.policy, self.history, self.borrowed is not None)

    @property
    def spent(self) -> bool:
        """Whether it is attached again at a person's word only."""
        return self.wanted and self.state in ("waiting", "failed") and self.following == policies.PERSON

    @property
    def final(self) -> bool:
        """Whether waiting does not help: a person has to change something, here or at the owner."""
        return self.state == "failed" or self.refusal in FINAL or self.spent

    @property
    def gives_up_at(self) -> float | None:
        """When its device is detached without a sign of life until then; None without a device or a known time."""
        if self.ttl is None or self.borrowed is None or self.state not in ("attaching", "attached"):
            return None
        return self.seen + self.ttl - max(MARGIN_LEAST, self.ttl * MARGIN)

    def may_go(self, now: float) -> bool:
        """Whether its device is detached as soon as nobody uses it."""
        unclaimed = self.claimable and self.stray_until is not None and now >= self.stray_until
        return self.recall_by is not None or unclaimed


Result = tuple[Attachment, tuple[Action, ...]]


def delay(name: str, attempt: int) -> float:
    """Seconds to wait after failed attempt `attempt`: doubling, spread by up to a quarter to either side.

    The spread depends on name and attempt alone, so that the function is pure and hosts still do not ask in step.
    """
    plain = min(LONGEST_DELAY, FIRST_DELAY * (1 << min(max(attempt - 1, 0), 16)))
    spread = zlib.crc32(f"{name}/{attempt}".encode()) / 0xFFFFFFFF - 0.5
    return plain * (1 + spread / 2)


def renamed(old: Attachment, name: str) -> Result:
    """The same by another name."""
    history = policies.renamed(old.history, old.name, old.borrowed is not None)
    new = _overtaken(replace(old, name=name, history=history))
    return new, (Remember(),) if history != old.history else ()


def step(old: Attachment, event: Event) -> Result:
    """The state after an event, and what to do now."""
    new, actions = _step(old, event)
    if not new.is_in_the_kernel or (new.state, new.borrowed) != (old.state, old.borrowed):
        is_old_news = old.hangs and new.message == old.message
        new = replace(new, busy_since=None, hangs=False, message="" if is_old_news else new.message)
    if new.wanted and new.history != old.history:
        actions = (*actions, Remember())
    return new, actions


def _step(old: Attachment, event: Event) -> Result:
    match event:
        case Look() | Seen() if event.lease is not None and event.lease != old.lease:
            return old, ()  # a look that took long: it is about a lease that is over
        case Look():
            return _look(old, event)
        case Seen():
            return _seen(old, event)
        case Appeared():
            # A look may have been quicker, and has seen its driver, too.
            known = old.borrowed == event.id and not event.gone
            return (old, ()) if known else _seen(old, Seen(event.now, event.id, event.gone, event.address))
        case Given() if old.state == "requesting":
            given = replace(
                old,
                link=event.link,
                handle=event.handle,
                epoch=event.epoch,
                remote_address=event.remote_address,
                ttl=event.ttl,
                peer_epoch=event.peer_epoch,
                seen=event.seen,
                heard=True,
                refusal="",
            )
            if not old.wanted:
                return (replace(given, state="waiting"), ()) if given.lease == old.lease else _over(given)
            attaching = replace(given, state="attaching", not_before=None, message="")
            return attaching, (Attach(event.link, event.handle, event.epoch),)
        case Denied() if old.state == "requesting" and old.overtaken and old.wanted and event.heard:
            return replace(old, state="waiting", not_before=event.now, attempt=0), ()
        case Denied() if old.state == "requesting":
            denied = replace(old, heard=old.heard or event.heard, refusal=event.code)
            may_go_on = old.wanted or old.epoch is not None
            return _again(denied, event.now, event.message) if may_go_on else _over(old)
        case AttachFailed() if old.state == "attaching" and old.borrowed is None:
            return _attach_failed(old, event)
        case Detached() if old.state == "detaching":
            return _detached(old, event.now)
        case DetachFailed() if old.state == "detaching":
            attempt = old.attempt + 1
            later = event.now + delay(old.name, attempt)
            return replace(old, attempt=attempt, not_before=later, message=event.message), ()
        case InUse() if old.state == "detaching" and old.idle:
            return _stays(old, event.now), ()
        case Want():
            return _wanted(old, event), ()
        case Offered() if old.wanted and not old.spent:
            return _hastened(old, event.now), ()
        case Unwant():
            return _unwant(old, event.by)
        case Recall() if old.epoch == event.epoch and old.state in ("attaching", "attached"):
            grace = policies.grace(old.policy, max(0.0, event.grace))
            return _leaves(old, event.now + grace / 2, f"recalled by {old.owner}"), ()
        case Leave() if old.state in ("attaching", "attached"):
            return _leaves(old, event.by, DRAINED), ()
        case Leave() if old.borrowed is None:
            return replace(old, history=policies.drained(old.policy, old.history)), ()
        case Stay() if old.recall_why == DRAINED:
            return _called_off(old), ()
        case Stay() if old.wanted:
            return _step(replace(old, history=policies.undrained(old.history)), Offered(event.now))
        case Ended() if (
            old.epoch == event.epoch and old.borrowed is not None and old.state in ("attaching", "attached")
        ):
            if event.served:
                doubt = f"{old.owner} says that the lease is over, but its device is in service: kept, and asked again"
                return replace(old, doubt=doubt), ()
            return _detach(old, f"{old.owner} ended the lease")
        case Renewed() if old.epoch == event.epoch:
            ttl = old.ttl if event.ttl is None else event.ttl
            return replace(old, seen=max(old.seen, event.seen), ttl=ttl, doubt=""), ()
        case Claimed() if old.claimable:
            return old, (Forget(),)
    return old, ()


def _wanted(old: Attachment, event: Want) -> Attachment:
    policy = old.policy if event.policy is None else event.policy
    history = policies.asked(old.policy, policy, old.history, old.borrowed is not None)
    again = replace(old, wanted=True, policy=policy, history=history)
    if old.recall_why in (RETURNED, OTHER_DRIVER):
        again = _called_off(again)
    if policy.driver_override != old.policy.driver_override and old.state in ("attaching", "attached"):
        again = _leaves(again, event.by, OTHER_DRIVER)
    return _hastened(again, event.now)


def _hastened(old: Attachment, now: float) -> Attachment:
    fresh = _overtaken(replace(old, heard=False, refusal=""))
    if old.state in ("waiting", "failed"):
        fresh = replace(fresh, state="waiting", attempt=0, not_before=now)
    return fresh


def _overtaken(old: Attachment) -> Attachment:
    return replace(old, overtaken=True) if old.state == "requesting" else old


def _leaves(old: Attachment, by: float, why: str) -> Attachment:
    """The device goes by then; what takes it earlier counts, and says why."""
    if old.recall_by is not None and old.recall_by <= by:
        return old
    return replace(old, recall_by=by, recall_why=why, message=why)


def _called_off(old: Attachment) -> Attachment:
    """Whatever wanted the device to leave does so no more, but who has returned it."""
    return _if_returned(replace(old, recall_by=None, recall_why="", message=""))


def _if_returned(old: Attachment) -> Attachment:
    """What a person has returned goes as soon as nobody uses it."""
    return old if old.wanted or old.stray_until is not None else _leaves(old, NEVER, RETURNED)


def _look(old: Attachment, event: Look) -> Result:
    if event.served:
        old = replace(old, seen=max(old.seen, event.now))
    elif old.gives_up_at is not None and event.now >= old.gives_up_at:
        return _detach(old, f"given up: no sign of life from {old.owner} for {event.now - old.seen:.3g} s")
    if old.is_in_the_kernel:
        return _watched(old, event.now), ()
    due = old.not_before is not None and event.now >= old.not_before
    if old.recall_by is not None and old.borrowed is not None and old.state in ("attaching", "attached"):
        # The owner cuts the device off at the end of its grace. Removing it here in time, even in use, lets its
        # driver flush; until then whoever uses it may stop.
        if not event.busy or event.now >= old.recall_by:
            return _detach(old, old.recall_why, idle=event.now < old.recall_by)
        otherwise = ", or return it with force" if old.recall_why == RETURNED else ""
        return replace(old, message=f"{old.recall_why}, but in use: stop using it{otherwise}"), ()
    if old.may_go(event.now) and old.claimable:
        if not event.busy:
            return _detach(old, "nobody on this host wants it", idle=True)
        text = "nobody on this host wants it, but it is in use: stop using it, or borrow it by its lease's name"
        return replace(old, message=text), ()
    if old.state in ("waiting", "failed"):
        if not old.wanted:
            # A lease from before a start: its device may be here, or about to come.
            return _over(old) if old.epoch is None or event.absent else (old, ())
        if old.spent and event.blocked != DRAINED:
            if old.epoch is not None and not event.absent:
                return old, ()
            why_not = policies.why_not(old.policy, old.history, old.name)
            # The device may have gone unseen, in a reboot: then its owner does not know yet.
            return replace(_without_lease(old), state="waiting", not_before=None, message=why_not), _released(old)
        if event.link is None:
            return replace(old, message=f"no ready link to {old.owner}") if due else old, ()
        if event.blocked:
            return replace(old, message=event.blocked) if due else old, ()
        if due:
            asking = replace(
                old, state="requesting", overtaken=False, attempt=old.attempt + 1, not_before=None, link=event.link
            )
            return asking, (Ask(event.link),)
    if old.state == "detaching" and due and old.borrowed is not None:
        return replace(old, not_before=None), (Detach(old.borrowed, old.epoch or NO_LEASE, old.idle),)
    return old, ()


def _watched(old: Attachment, now: float) -> Attachment:
    if old.busy_since is None:
        return replace(old, busy_since=now)
    if old.hangs or now - old.busy_since < HANGS_AFTER:
        return old
    doing = "removed from this host" if old.state == "detaching" else "attached"
    whose = f"its driver {old.driver}" if old.driver else "its driver"
    text = (
        f"{old.address or old.remote_address} is being {doing} for more than {HANGS_AFTER:g} s: {whose} does not let "
        "the kernel end that; what it waits for, the kernel log may tell"
    )
    return replace(old, hangs=True, message=text)


def _seen(old: Attachment, event: Seen) -> Result:
    if event.id is None:
        if old.state == "attaching" and old.unanswered and event.unanswered:
            return _attach_failed(old, AttachFailed(event.now, old.message))
        # An attach under way has no borrowed device yet, and one that has just ended has another than was looked for.
        if old.borrowed is None or old.borrowed != event.missing or old.state == "detaching":
            return old, ()
        return _detached(replace(_leaving(old), message="the borrowed device went away"), event.now)
    if old.state in ("waiting", "requesting", "failed") or (old.state == "attaching" and old.borrowed is None):
        if old.state == "requesting":
            return old, ()  # the answer under way brings the same lease; then it is found again
        old = replace(
            old,
            state="attaching",
            borrowed=event.id,
            settle_by=event.now + SETTLE,
            not_before=event.now,
            unanswered=False,
            message="waiting for its driver",
            history=policies.came(old.policy, old.history, old.epoch or NO_LEASE),
        )
    if old.state not in ("attaching", "attached"):
        return old, ()
    if event.gone:
        return _detach(old, f"the link to {old.owner} or its device is lost")
    first_driver = event.driver is not None and old.driver is None
    seen = replace(old, address=event.address, driver=event.driver, nodes=event.nodes)
    if event.driver and old.policy.driver_override not in (None, event.driver):
        return _leaves(replace(seen, state="attached", attempt=0), NEVER, OTHER_DRIVER), ()
    if old.state == "attaching":
        if first_driver and not event.awaits_disks:
            seen = replace(seen, settle_by=min(old.settle_by, event.now + NODES_AFTER_DRIVER))
        if (event.driver and event.complete) or event.now >= seen.settle_by:
            seen = replace(seen, state="attached", attempt=0)
    if seen.state == "attached" and seen.recall_by is None and seen.stray_until is None:
        trouble = "" if event.driver else "no driver took the device: dmesg says why, if one tried"
        seen = replace(seen, message=old.doubt or trouble)
    return seen, ()


def _attach_failed(old: Attachment, event: AttachFailed) -> Result:
    if event.unanswered:
        return replace(old, unanswered=True, message=event.message), ()
    if not old.wanted:
        return _over(old)
    if event.fatal:
        bare = _without_lease(old)
        return replace(bare, state="failed", not_before=event.now + FAILED_DELAY, message=event.message), _released(old)
    waiting, _none = _again(_without_lease(old), event.now, event.message)
    return waiting, _released(old)


def _unwant(old: Attachment, by: float) -> Result:
    unwanted = replace(old, wanted=False, history=NEW)
    if old.state in ("waiting", "failed") and old.epoch is None:
        return _over(unwanted)
    if old.state in ("attaching", "attached") and old.borrowed is not None:
        return _detach(unwanted, "", idle=by == NEVER)
    may_come = old.epoch is not None and old.state != "detaching"
    return _leaves(unwanted, by, RETURNED) if may_come else unwanted, ()


def _detach(old: Attachment, message: str, idle: bool = False) -> Result:
    assert old.borrowed is not None
    detaching = replace(_leaving(old), state="detaching", not_before=None, attempt=0, idle=idle, message=message)
    return detaching, (Detach(old.borrowed, old.epoch or NO_LEASE, idle),)


def _stays(old: Attachment, now: float) -> Attachment:
    """Its device is not detached after all; the next look judges anew."""
    history = policies.came(old.policy, old.history, old.epoch or NO_LEASE)
    return _if_returned(replace(old, state="attached", not_before=now, history=history))


def _leaving(old: Attachment) -> Attachment:
    """With the reason why its device goes. What comes back with another driver begins anew."""
    if old.recall_why == OTHER_DRIVER:
        return replace(old, history=NEW)
    why = policies.DRAIN if old.recall_why == DRAINED else policies.RECALL
    return replace(old, history=policies.went(old.history, policies.LOSS if old.recall_by is None else why))


def _detached(old: Attachment, now: float) -> Result:
    if not old.wanted:
        return _over(old)
    return replace(_without_lease(old), state="waiting", attempt=0, not_before=now + FIRST_DELAY), _released(old)


def _over(old: Attachment) -> Result:
    """Nothing is attached and nobody wants it: give back what is held, if anything, and forget."""
    return replace(_without_lease(old), state="waiting"), (*_released(old), Forget())


def _released(old: Attachment) -> tuple[Action, ...]:
    if old.epoch is None:
        return ()
    return (Release(old.epoch, old.link or 0, old.handle or 0, old.remote_address or ""),)


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
        ttl=None,
        peer_epoch=None,
        doubt="",
        borrowed=None,
        address=None,
        driver=None,
        nodes=(),
        recall_by=None,
        recall_why="",
        unanswered=False,
    )
