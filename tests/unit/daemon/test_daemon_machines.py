# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Properties of the pure state machines."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from device_lending.borrower import attachment as borrowing
from device_lending.borrower.attachment import Attachment
from device_lending.kernel import Lent, Link
from device_lending.owner import lease as lending
from device_lending.store.owner import Lease, following_epoch

NOW = st.floats(0, 1000, allow_nan=False)
EPOCH = st.integers(1, 3)
EVENTS = st.one_of(
    st.builds(borrowing.Look, NOW, st.none() | st.integers(0, 1), st.booleans(), st.sampled_from(["", "wait"])),
    st.builds(
        borrowing.Seen,
        NOW,
        st.none() | st.integers(1, 2),
        st.booleans(),
        st.just("1ff00:00:00.0"),
        st.none() | st.just("nvme"),
        st.sampled_from([(), ("/dev/nvme0n1",)]),
    ),
    st.builds(borrowing.Given, st.integers(0, 1), st.integers(1, 2), EPOCH, st.just("0000:03:00.0")),
    st.builds(borrowing.Denied, NOW, st.just("no")),
    st.builds(borrowing.AttachFailed, NOW, st.just("no"), st.booleans()),
    st.builds(borrowing.Detached, NOW),
    st.builds(borrowing.DetachFailed, NOW, st.just("no")),
    st.builds(borrowing.Want, NOW),
    st.builds(borrowing.Unwant),
    st.builds(borrowing.Recall, NOW, EPOCH, st.floats(0, 60)),
    st.builds(borrowing.Ended, EPOCH),
)


def run(events):
    """Yield (before, event, after, actions) until the attachment is forgotten."""
    state = Attachment("scratch", "node-a")
    for event in events:
        after, actions = borrowing.step(state, event)
        yield state, event, after, actions
        if any(isinstance(action, borrowing.Forget) for action in actions):
            return
        state = after


@settings(max_examples=400)
@given(st.lists(EVENTS, max_size=40))
def test_any_sequence_keeps_the_attachment_consistent(events):
    for before, event, after, actions in run(events):
        kinds = [type(action).__name__ for action in actions]
        assert len([kind for kind in kinds if kind in ("Ask", "Attach", "Detach")]) <= 1, "one action at a time"
        assert after.state in ("waiting", "requesting", "attaching", "attached", "detaching", "failed")
        if after.state == "attached":
            assert after.borrowed is not None
        if after.state == "detaching":
            assert after.borrowed is not None
        if after.state in ("waiting", "requesting", "failed"):
            assert after.borrowed is None
        if "Ask" in kinds:
            assert before.wanted and before.state in ("waiting", "failed") and not event.blocked
        if "Forget" in kinds:
            assert not before.wanted or isinstance(event, borrowing.Unwant)
        if "Release" in kinds:
            assert before.epoch is not None or isinstance(event, borrowing.Given)
            assert after.epoch is None, "a released lease is not used again"


@settings(max_examples=400)
@given(st.lists(EVENTS, max_size=40))
def test_a_held_lease_is_never_dropped_silently(events):
    for before, event, after, actions in run(events):
        released = {action.epoch for action in actions if isinstance(action, borrowing.Release)}
        if before.epoch is not None and after.epoch is None:
            assert before.epoch in released
        replaced = before.epoch is not None and after.epoch not in (None, before.epoch)
        assert not replaced or isinstance(event, borrowing.Given), "only the owner gives another epoch"


@settings(max_examples=300)
@given(st.lists(EVENTS, max_size=30))
def test_unwanted_attachments_are_never_asked_for(events):
    unwanted = False
    for _before, event, _after, actions in run([*events, borrowing.Unwant(), *events]):
        unwanted = isinstance(event, borrowing.Unwant) or (unwanted and not isinstance(event, borrowing.Want))
        if unwanted:
            assert not any(isinstance(action, (borrowing.Ask, borrowing.Attach)) for action in actions)


@settings(max_examples=300)
@given(st.lists(EVENTS, max_size=30))
def test_a_wanted_attachment_gets_attached_when_all_goes_well_again(events):
    state = Attachment("scratch", "node-a")
    for _before, _event, after, actions in run(events):
        state = after
        if any(isinstance(action, borrowing.Forget) for action in actions):
            return
    state, _actions = borrowing.step(state, borrowing.Want(2000))
    now, number = 2000.0, 5
    for _round in range(60):
        now += 1000
        if state.state == "attached" and state.recall_by is None:
            return
        actions = ()
        if state.borrowed is not None and state.state != "detaching":
            state, actions = borrowing.step(
                state, borrowing.Seen(now, state.borrowed, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0n1",))
            )
        state, _more = borrowing.step(state, borrowing.Look(now, 0)) if not actions else (state, ())
        if state.state == "requesting":
            number += 1
            state, _more = borrowing.step(state, borrowing.Given(0, 1, number, "0000:03:00.0"))
        if state.state == "attaching" and state.borrowed is None:
            state, _more = borrowing.step(state, borrowing.Seen(now, 9, False, "1ff00:00:00.0"))
        if state.state == "detaching":
            state, _more = borrowing.step(state, borrowing.Detached(now))
    raise AssertionError(f"never attached: {state}")


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


@settings(max_examples=500)
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
    if not lending.holds(lease, lent):
        assert step.end
    if step.end and lending.holds(lease, lent) and state != "returning" and due is None:
        assert now - seen >= 30.0 and not served
    assert step.state in ("granted", "active", "returning")


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
