# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Properties of the pure state machines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_lending.borrower import attachment as borrowing
from device_lending.borrower import renewals, strays
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import (
    NEVER,
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
    Forget,
    Given,
    InUse,
    Look,
    Recall,
    Release,
    Renewed,
    Seen,
    Unwant,
    Want,
)
from device_lending.kernel import Borrowed, Lent, Link
from device_lending.links import Peering
from device_lending.owner import lease as lending
from device_lending.store.owner import Lease, following_epoch

NOW = st.floats(0, 1000, allow_nan=False)
EPOCH = st.integers(1, 3)
TTL = st.none() | st.floats(0, 200)
GIVEN = st.builds(
    Given, st.integers(0, 1), st.integers(1, 2), EPOCH, st.just("0000:03:00.0"), TTL, st.just(2000), NOW
)
EVENTS = st.one_of(
    st.builds(
        Look,
        NOW,
        st.none() | st.integers(0, 1),
        st.booleans(),
        st.sampled_from(["", "wait"]),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(Renewed, EPOCH, NOW, TTL),
    st.builds(
        Seen,
        NOW,
        st.none() | st.integers(1, 2),
        st.booleans(),
        st.just("1ff00:00:00.0"),
        st.none() | st.just("nvme"),
        st.sampled_from([(), ("/dev/nvme0n1",)]),
    ),
    GIVEN,
    st.builds(Denied, NOW, st.just("no")),
    st.builds(Seen, NOW, st.none(), missing=st.none() | st.integers(1, 2), unanswered=st.booleans()),
    st.builds(AttachFailed, NOW, st.just("no"), st.booleans(), st.booleans()),
    st.builds(Detached, NOW),
    st.builds(DetachFailed, NOW, st.just("no")),
    st.builds(InUse, NOW),
    st.builds(Want, NOW),
    st.builds(Unwant, NOW | st.just(NEVER)),
    st.builds(Recall, NOW, EPOCH, st.floats(0, 60)),
    st.builds(Ended, EPOCH, st.booleans()),
    st.builds(Claimed),
)


FITTING = {
    "waiting": st.builds(Look, NOW.map(lambda now: now + 1000), st.integers(0, 1)),
    "requesting": GIVEN,
    "attaching": st.one_of(
        st.builds(Seen, NOW, st.integers(1, 2), st.just(False), st.just("1ff00:00:00.0"), st.just("nvme"),
                  st.just(("/dev/nvme0n1",))),
        st.builds(Appeared, NOW, st.integers(1, 2), st.booleans(), st.just("1ff00:00:00.0")),
        st.builds(AttachFailed, NOW, st.just("no"), st.booleans(), st.booleans()),
    ),
    "attached": st.one_of(
        st.builds(Seen, NOW, st.just(1), st.just(True)),
        st.builds(Appeared, NOW, st.integers(1, 2), st.booleans(), st.just("1ff00:00:00.0")),
        st.builds(Seen, NOW, st.none(), missing=st.integers(1, 2) | st.none()),
        st.builds(Recall, NOW, EPOCH, st.floats(0, 60)),
        st.builds(Ended, EPOCH, st.booleans()),
        st.builds(Look, NOW, served=st.booleans(), link=st.none()),
    ),
    "detaching": st.one_of(
        st.builds(Detached, NOW),
        st.builds(DetachFailed, NOW, st.just("no")),
        st.builds(InUse, NOW),
    ),
    "failed": st.builds(Want, NOW),
}  # fmt: skip


def walk(data, state=None, steps=25):
    """Yield (before, event, after, actions) until the attachment is forgotten; half of the events fit the state."""
    state = state or Attachment("scratch", "node-a")
    for _step in range(data.draw(st.integers(0, steps))):
        event = data.draw(FITTING[state.state] | EVENTS)
        after, actions = borrowing.step(state, event)
        yield state, event, after, actions
        if forgotten(actions):
            return
        state = after


def forgotten(actions) -> bool:
    return any(isinstance(action, Forget) for action in actions)


@given(st.data())
def test_any_sequence_keeps_the_attachment_consistent(data):
    for before, event, after, actions in walk(data):
        kinds = [type(action).__name__ for action in actions]
        assert len([kind for kind in kinds if kind in ("Ask", "Attach", "Detach")]) <= 1, "one action at a time"
        assert after.state in ("waiting", "requesting", "attaching", "attached", "detaching", "failed")
        assert (after.borrowed is not None) or after.state not in ("attached", "detaching")
        assert (after.borrowed is None) or after.state not in ("waiting", "requesting", "failed")
        if "Ask" in kinds:
            assert before.wanted and before.state in ("waiting", "failed") and not event.blocked
        if "Forget" in kinds:
            assert not before.wanted or isinstance(event, Unwant)
        if "Release" in kinds:
            assert before.epoch is not None or isinstance(event, Given)
            assert after.epoch is None, "a released lease is not used again"


@given(st.data())
def test_a_held_lease_is_never_dropped_silently(data):
    for before, event, after, actions in walk(data):
        released = {action.epoch for action in actions if isinstance(action, Release)}
        if before.epoch is not None and after.epoch is None:
            assert before.epoch in released
        replaced = before.epoch is not None and after.epoch not in (None, before.epoch)
        assert not replaced or isinstance(event, Given), "only the owner gives another epoch"


@given(st.data())
def test_unwanted_attachments_are_never_asked_for(data):
    state = Attachment("scratch", "node-a")
    for _before, _event, state, actions in walk(data):  # noqa: B007
        if forgotten(actions):
            return
    state, actions = borrowing.step(state, Unwant(NEVER))
    if forgotten(actions):
        return
    for _before, event, _after, actions in walk(data, state):
        if isinstance(event, Want):
            return
        assert not any(isinstance(action, (Ask, Attach)) for action in actions)


@given(st.data())
def test_a_wanted_attachment_gets_attached_when_all_goes_well_again(data):
    state = Attachment("scratch", "node-a")
    for _before, _event, state, actions in walk(data):  # noqa: B007
        if forgotten(actions):
            return
    state, _actions = borrowing.step(state, Want(2000))
    now, number = 2000.0, 5
    for _round in range(60):
        now += 1000
        if state.state == "attached" and state.recall_by is None:
            return
        if state.state in ("attaching", "attached") and state.borrowed is not None:
            seen = Seen(now, state.borrowed, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0n1",), True)
            state, _actions = borrowing.step(state, seen)
        state, _actions = borrowing.step(state, Look(now, 0, served=True))
        if state.state == "requesting":
            number += 1
            state, _actions = borrowing.step(state, Given(0, 1, number, "0000:03:00.0"))
        if state.state == "attaching" and state.borrowed is None:
            state, _actions = borrowing.step(state, Appeared(now, 9, False, "1ff00:00:00.0"))
        if state.state == "detaching":
            state, _actions = borrowing.step(state, Detached(now))
    raise AssertionError(f"never attached: {state}")


def test_a_look_that_began_before_the_device_was_attached_does_not_lose_it():
    state = Attachment("scratch", "node-a", state="attaching", epoch=7)
    attached, _actions = borrowing.step(state, Seen(1.0, 9, False, "1ff00:00:00.0"))
    assert attached.borrowed == 9
    assert borrowing.step(attached, Seen(2.0, None, missing=state.borrowed)) == (attached, ())
    gone, _actions = borrowing.step(attached, Seen(2.0, None, missing=9))
    assert (gone.state, gone.borrowed) == ("waiting", None)


BORROWED = Borrowed(9, 0, 1, 7, "attached", "1ff09:00:00.0", "0000:03:00.0")
STRAY = Attachment("lost-1", "node-a", "attached", False, 0, 1, 7, borrowed=9, stray_until=100.0)


@given(st.data())
def test_a_stray_in_use_is_kept_unless_it_goes_is_recalled_or_returned_by_a_person(data):
    state = STRAY
    for _step in range(data.draw(st.integers(0, 25))):
        event = data.draw(EVENTS)
        if isinstance(event, Look):
            event = replace(event, busy=True, served=True)
        after, actions = borrowing.step(state, event)
        if after.state != "attached":
            recalled = isinstance(event, Look) and state.recall_by is not None
            gone = isinstance(event, Seen | Appeared) and (event.gone or event.id is None)
            assert recalled or gone or isinstance(event, (Unwant, Ended))
            return
        assert not actions or isinstance(event, Claimed)
        state = after


def test_a_stray_is_detached_when_nobody_uses_or_claims_it():
    assert borrowing.step(STRAY, Look(99.0, 0))[1] == ()
    used, actions = borrowing.step(STRAY, Look(101.0, 0, busy=True))
    assert actions == () and "in use" in used.message
    free, actions = borrowing.step(used, Look(102.0, 0))
    assert actions == (Detach(9, 7, idle=True),)
    kept, actions = borrowing.step(free, InUse(102.5))
    assert (kept.state, kept.claimable, actions) == ("attached", True, ())
    assert borrowing.step(free, Claimed()) == (free, ())
    assert borrowing.step(free, Detached(103.0))[1] == (Release(7, 0, 1, ""), Forget())
    assert borrowing.step(used, Claimed())[1] == (Forget(),), "neither detached nor released"
    kept = replace(STRAY, stray_until=None, wanted=True)
    assert borrowing.step(kept, Claimed()) == (kept, ())


PEERING = Peering(Link(0), "node-a", None, "")


@pytest.mark.parametrize(
    ("row", "peering", "expected"),
    [
        (BORROWED, PEERING, ("node-a", "lost-1ff09-00-00-0")),
        (replace(BORROWED, state="gone"), PEERING, ("node-a", "lost-1ff09-00-00-0")),
        (replace(BORROWED, state="gone", address=None), None, ("unknown", "lost-9")),
        (replace(BORROWED, state="attaching"), PEERING, None),
        (replace(BORROWED, state="detaching"), PEERING, None),
        (BORROWED, replace(PEERING, peer=None), None),
    ],
)
def test_what_stands_for_a_borrowed_device_that_nobody_knows(row, peering, expected):
    stray = strays.adopted(row, peering, 70.0)
    assert stray is None if expected is None else stray.key == expected
    if stray is not None:
        assert stray.lease == (0, 1, 7) and stray.borrowed == 9 and not stray.wanted and stray.stray_until == 100.0


def test_an_owner_has_decided_when_all_who_wait_have_heard_from_it():
    waiting = Attachment("a", "node-a", epoch=3)
    assert strays.undecided([waiting, Attachment("b", "node-b", borrowed=1, heard=True), STRAY]) == {"node-a"}
    asked, _actions = borrowing.step(waiting, Look(1.0, 0))
    for word, left in ((Denied(2.0, "no answer"), {"node-a"}), (Denied(2.0, "no", True), set())):
        assert strays.undecided([borrowing.step(asked, word)[0]]) == left


def test_an_attach_whose_answer_was_lost_fails_only_when_the_kernel_shows_no_device():
    state = Attachment("scratch", "node-a", state="attaching", not_before=None, link=0, handle=1, epoch=7)
    before = Seen(1.0, None)
    assert borrowing.step(state, before) == (state, ())
    lost, actions = borrowing.step(state, AttachFailed(2.0, "no answer", unanswered=True))
    assert (lost.state, lost.epoch, actions) == ("attaching", 7, ())
    assert borrowing.step(lost, before) == (lost, ()), "this look has asked the kernel before"
    found, _actions = borrowing.step(lost, Seen(3.0, 9, False, "1ff00:00:00.0"))
    assert (found.state, found.borrowed, found.epoch, found.unanswered) == ("attaching", 9, 7, False)
    failed, actions = borrowing.step(lost, Seen(3.0, None, unanswered=True))
    assert (failed.state, failed.message, actions) == ("waiting", "no answer", (Release(7, 0, 1, ""),))


ATTACHMENT = Attachment(
    "scratch", "node-a", "attached", link=0, handle=1, epoch=7, ttl=60.0, peer_epoch=2000, seen=100.0, borrowed=9
)


@given(st.floats(1, 86400), st.lists(st.tuples(st.floats(0.05, 5), st.booleans()), max_size=60))
def test_a_lease_is_given_up_before_its_owner_may_take_it_and_not_while_it_is_served(ttl, looks):
    state, now, seen = replace(ATTACHMENT, ttl=ttl), 100.0, 100.0
    for gap, is_served in looks:
        now += gap
        before = state.gives_up_at
        state, actions = borrowing.step(state, Look(now, None, busy=True, served=is_served))
        seen = now if is_served else seen
        given_up = actions == (Detach(9, 7),)
        assert given_up == (not is_served and now >= before)
        if given_up:
            return
        assert state.gives_up_at < seen + ttl * 0.9, "also for clocks that differ"


def test_an_answer_of_the_owner_renews_a_lease_from_when_it_was_asked():
    renewed, actions = borrowing.step(ATTACHMENT, Renewed(7, 130.0, 30.0))
    assert (renewed.seen, renewed.ttl, renewed.gives_up_at, actions) == (130.0, 30.0, 155.0, ())
    assert borrowing.step(renewed, Renewed(7, 120.0))[0] == renewed, "an older answer"
    assert borrowing.step(renewed, Renewed(8, 140.0))[0] == renewed, "of another lease"
    unknown = replace(ATTACHMENT, ttl=None)
    assert borrowing.step(unknown, Look(1e9, None))[1] == ()


def test_the_kernel_knows_better_than_the_owner_whether_a_device_is_in_service():
    doubted, actions = borrowing.step(ATTACHMENT, Ended(7, served=True))
    assert actions == () and doubted.state == "attached"
    seen = Seen(101.0, 9, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0n1",))
    shown, _actions = borrowing.step(doubted, seen)
    assert "node-a says that the lease is over" in shown.message
    sure, _actions = borrowing.step(shown, Renewed(7, 102.0))
    assert borrowing.step(sure, seen)[0].message == ""
    assert borrowing.step(shown, Ended(7))[1] == (Detach(9, 7),)
    assert borrowing.step(shown, replace(seen, gone=True))[1] == (Detach(9, 7),)


@given(NOW, st.lists(st.tuples(st.floats(0, 30), st.floats(0, 60)), min_size=1, max_size=5))
def test_hearing_of_a_recall_again_does_not_postpone_it(now, recalls):
    state, ends = ATTACHMENT, []
    for gap, grace in recalls:
        now += gap
        ends.append(now + grace / 2)
        state, _actions = borrowing.step(state, Recall(now, 7, grace))
        assert state.recall_by == min(ends)


LINK = Link(0, state="ready", peer_epoch=2000)


@pytest.mark.parametrize(
    ("row", "link", "expected"),
    [
        (BORROWED, LINK, True),
        (replace(BORROWED, state="gone"), LINK, False),
        (replace(BORROWED, state="detaching"), LINK, False),
        (None, LINK, False),
        (BORROWED, replace(LINK, state="handshake"), False),
        (BORROWED, replace(LINK, peer_epoch=2001), False),
        (BORROWED, None, False),
    ],
)
def test_when_a_device_is_in_service(row, link, expected):
    assert renewals.served(ATTACHMENT, row, link) is expected


def test_renewals_follow_the_time_of_the_lease():
    assert [renewals.interval(ttl) for ttl in (0, 1, 30, 120, 86400, None)] == [0.25, 1 / 3, 10, 40, 60, 30]


def test_it_is_attached_when_its_nodes_are_complete_or_take_too_long():
    state = Attachment("scratch", "node-a", state="attaching", epoch=7)
    for now, nodes in ((1.0, ()), (2.0, ("/dev/nvme0",))):
        state, _actions = borrowing.step(state, Seen(now, 9, False, "1ff00:00:00.0", "nvme", nodes))
        assert state.state == "attaching"
    whole = Seen(3.0, 9, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0n1", "/dev/nvme0"), True)
    assert borrowing.step(state, whole)[0].state == "attached"
    late = Seen(1.0 + borrowing.NODES_AFTER_DRIVER, 9, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0",))
    assert borrowing.step(state, late)[0].state == "attached"


def test_disks_that_a_driver_takes_long_to_find_are_waited_for():
    state = Attachment("scratch", "node-a", state="attaching", epoch=7)
    for now in (1.0, 1.5 + borrowing.NODES_AFTER_DRIVER, 0.5 + borrowing.SETTLE):
        found = Seen(now, 9, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0",), awaits_disks=True)
        state, _actions = borrowing.step(state, found)
        assert state.state == "attaching"
    late = Seen(1.0 + borrowing.SETTLE, 9, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0",), awaits_disks=True)
    assert borrowing.step(state, late)[0].state == "attached"


def test_the_answer_to_an_attach_may_come_after_a_look_that_saw_its_driver():
    state = Attachment("scratch", "node-a", state="attaching", epoch=7)
    seen = Seen(1.0, 9, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0n1", "/dev/nvme0"), True)
    attached, _actions = borrowing.step(state, seen)
    assert borrowing.step(attached, Appeared(1.0, 9, False, "1ff00:00:00.0")) == (attached, ())
    lost, _actions = borrowing.step(attached, Appeared(1.0, 9, True, "1ff00:00:00.0"))
    assert lost.state == "detaching"


@given(st.text(max_size=5), st.integers(0, 10**6))
def test_delays_grow_and_stay_below_their_limit(name, attempt):
    value = borrowing.delay(name, attempt)
    assert 0.7 <= value <= borrowing.LONGEST_DELAY * 1.25
    assert borrowing.delay(name, attempt) == value
    if attempt <= 5:
        assert borrowing.delay(name, attempt + 2) > value


LEASE = Lease("scratch", "0000:03:00.0", "node-b", 0, 2000, 7, "granted", 0.0)
LENTS = st.one_of(
    st.none(),
    st.builds(
        Lent,
        st.just(1),
        st.sampled_from(["0000:03:00.0", "0000:04:00.0"]),
        st.sampled_from(["bound", "lent", "attached", "returning", "quarantined"]),
        st.sampled_from([0, None]),
        st.integers(6, 8),
    ),
)
LINKS = st.one_of(
    st.none(),
    st.builds(
        Link,
        st.just(0),
        state=st.sampled_from(["down", "ready", "handshake"]),
        peer_epoch=st.sampled_from([2000, 3000]),
    ),
)
STATES = st.sampled_from(["granted", "active", "returning"])


@given(STATES, LENTS, LINKS, NOW, NOW, st.none() | NOW)
def test_a_lease_the_kernel_serves_never_ends_by_itself(state, lent, link, now, seen, due):
    lease = replace(LEASE, state=state)
    step = lending.observe(lease, lending.Life(seen, due), now, 30.0, lent, link)
    served = (
        lending.holds(lease, lent) and lent.state == "attached" and link is not None and link.ready
        and link.peer_epoch == lease.peer_epoch
    )  # fmt: skip
    if served and state != "returning" and due is None:
        assert not step.end
        assert step.life.seen >= now
    if not served:
        assert step.life.seen == seen, "only a device in service is a sign of life"
    if not lending.holds(lease, lent):
        assert step.end
    if step.end and lending.holds(lease, lent) and state != "returning" and due is None:
        assert now - seen >= 30.0 and not served
    assert step.state in ("granted", "active", "returning")


READY = Link(0, state="ready", peer_epoch=2000)
ATTACHED = Lent(1, "0000:03:00.0", "attached", 0, 7)
UNUSED = replace(ATTACHED, state="lent")


@pytest.mark.parametrize(
    ("state", "due", "lent", "link", "expected"),
    [
        # state after, last sign of life, whether it ends; now is 10, the last sign of life was at 5
        ("granted", None, ATTACHED, READY, ("active", 10, False)),
        ("active", None, ATTACHED, replace(READY, peer_epoch=3000), ("active", 5, False)),
        ("active", None, ATTACHED, replace(READY, state="down"), ("active", 5, False)),
        ("active", None, ATTACHED, None, ("active", 5, False)),
        ("active", None, UNUSED, READY, ("granted", 5, False)),
        ("active", None, replace(ATTACHED, epoch=8), READY, ("returning", 5, True)),
        ("active", None, replace(ATTACHED, state="bound"), READY, ("returning", 5, True)),
        ("active", None, None, READY, ("returning", 5, True)),
        ("active", 11, ATTACHED, READY, ("returning", 10, False)),
        ("active", 10, ATTACHED, READY, ("returning", 10, True)),
        ("returning", None, UNUSED, READY, ("returning", 5, True)),
        ("returning", 11, UNUSED, READY, ("returning", 5, False)),
        ("active", None, replace(UNUSED, message="the borrower is lost"), None, ("returning", 5, True)),
        ("returning", 11, replace(UNUSED, message="the device has reported an error"), READY, ("returning", 5, True)),
    ],
)
def test_what_an_observation_means(state, due, lent, link, expected):
    step = lending.observe(replace(LEASE, state=state), lending.Life(5, due), 10, 30, lent, link)
    assert (step.state, step.life.seen, bool(step.end)) == expected


@given(LENTS, LINKS, st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_a_lease_without_signs_of_life_ends_after_its_ttl_and_not_before(lent, link, gaps):
    life, now = lending.Life(0.0), 0.0
    if not lending.holds(LEASE, lent) or lent.state == "attached":
        return
    for gap in gaps:
        now += gap
        step = lending.observe(LEASE, life, now, 30.0, lent, link)
        assert bool(step.end) == (now >= 30.0)
        if step.end:
            return
        life = step.life


@given(NOW, st.floats(0, 60), st.floats(0, 60))
def test_a_second_recall_does_not_postpone_the_first(now, first, second):
    life = lending.recalled(lending.recalled(lending.Life(0), now, first), now, second)
    assert life.due == now + min(first, second)


@given(st.integers(0, 2**60), st.floats(0, 4e9), st.integers(0, 2**60))
def test_the_following_epoch_is_greater_than_all_before(last, now, least):
    epoch = following_epoch(last, now, least)
    assert epoch > last and epoch > least
    assert epoch >= int(now * 1000)
