# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the policy of an attachment decides: pure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_machines import STRAY, forgotten, walk

from device_lending import policy as policies
from device_lending.borrower import attachment as borrowing
from device_lending.borrower import strays
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import (
    Ask,
    Detached,
    Ended,
    Leave,
    Look,
    Offered,
    Recall,
    Release,
    Remember,
    Seen,
    Stay,
    Unwant,
    Want,
)
from device_lending.kernel import NO_LEASE
from device_lending.policy import (
    ALWAYS,
    ATTACH,
    ATTACH_AGAIN,
    DRAIN,
    ENDS,
    LOSS,
    NEVER,
    ON_LOSS,
    ONCE,
    PERSON,
    RECALL,
    RESUME,
    WAIT,
    History,
    Policy,
)

GRACES = st.none() | st.floats(0, 3600)
POLICIES = st.builds(Policy, GRACES, st.sampled_from(ON_LOSS), st.sampled_from(ATTACH_AGAIN))
UNSEEN = ""
HISTORIES = st.just(History()) | st.builds(
    History, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.sampled_from((UNSEEN, *ENDS))
)
MOST = {ONCE: 2, NEVER: 1}


def live(policy, ends, history=None, first=1):
    """The epochs of the leases that an attachment has by itself, which end for these reasons; and its history then."""
    history, epochs = history or History(), []
    for epoch, why in enumerate(ends, first):
        if policies.following(policy, history, False) == PERSON:
            break
        history = policies.came(policy, history, epoch)
        assert policies.following(policy, history, True) == policies.STAY
        epochs.append(epoch)
        history = policies.went(history, why) if why else history
    return epochs, history


@given(POLICIES, st.lists(st.sampled_from((UNSEEN, *ENDS)), min_size=1, max_size=12))
def test_it_comes_back_by_itself_as_often_as_its_policy_says(policy, ends):
    epochs, _history = live(policy, ends)
    waited = [policy.on_loss == WAIT and why == LOSS for why in ends]
    expected, counted = [], 0
    for epoch, is_free in enumerate([True, *waited[:-1]], 1):
        counted += epoch == 1 or not is_free
        if counted > MOST.get(policy.attach_again, len(ends)):
            break
        expected.append(epoch)
    assert epochs == expected


@given(POLICIES, HISTORIES)
def test_seeing_the_same_device_again_counts_once(policy, history):
    here = policies.came(policy, history, 7)
    assert policies.came(policy, here, 7) == here
    assert policies.came(policy, policies.went(here, RECALL), 7) == here, "the daemon ended before the device went"


@given(POLICIES, POLICIES, HISTORIES)
def test_what_a_person_asks_for_comes(before, policy, history):
    asked = policies.asked(before, policy, history, False)
    assert policies.following(policy, asked, False) in (ATTACH, RESUME)
    going = policies.asked(before, policy, replace(history, ended=RECALL), True)
    assert policies.following(policy, going, False) == ATTACH


@given(POLICIES, POLICIES, HISTORIES)
def test_another_policy_counts_from_when_it_is_put(before, policy, history):
    here = policies.came(before, history, 7)
    kept = policies.asked(before, before, here, True)
    assert kept == here, "asking for what is here already changes nothing"
    changed = policies.asked(before, policy, here, True)
    assert (changed.epoch, changed.began) == (here.epoch, here.began), "who uses it notices nothing"
    if policy != before:
        epochs, _history = live(policy, [RECALL] * 5, policies.went(changed, RECALL), 8)
        assert len(epochs) == min(5, MOST.get(policy.attach_again, 6) - 1)


@given(POLICIES, st.lists(st.sampled_from(ENDS), max_size=8))
def test_only_waited_losses_leave_it_the_same_to_those_who_use_it(policy, ends):
    policy = replace(policy, attach_again=ALWAYS)
    history = policies.came(policy, History(), 1)
    for epoch, why in enumerate(ends, 2):
        before, history = history, policies.went(history, why)
        history = policies.came(policy, history, epoch)
        is_same = policy.on_loss == WAIT and why == LOSS
        assert history.began == (before.began if is_same else epoch)


@given(POLICIES, HISTORIES)
def test_a_drained_host_waits_out_no_loss(policy, history):
    drained = policies.drained(policy, history)
    assert policies.following(policy, drained, False) != RESUME
    if not (policy.on_loss == WAIT and history.ended == LOSS):
        assert drained == history, "what had ended before has"


@given(HISTORIES, st.lists(st.sampled_from(ENDS), min_size=1, max_size=4))
def test_the_first_reason_stands(history, reasons):
    ended = history
    for why in reasons:
        ended = policies.went(ended, why)
    assert ended.ended == (history.ended or (reasons[0] if history.attached else ""))


@given(POLICIES, st.floats(0, 86400))
def test_the_owner_has_the_last_word_on_the_grace(policy, owners):
    assert policies.grace(policy, owners) <= owners
    assert policies.grace(replace(policy, grace=None), owners) == owners
    assert policies.grace(policy, owners) in (owners, policy.grace)


@given(POLICIES, HISTORIES)
def test_why_it_does_not_come_says_what_to_do(policy, history):
    text = policies.why_not(policy, history, "scratch")
    assert "devlend borrow scratch" in text and policy.attach_again in text


@given(POLICIES)
def test_what_is_so_without_a_word_is_not_said(policy):
    assert Policy(**policy.given()) == policy
    assert Policy().given() == {}


# In the life of an attachment


@given(st.data(), POLICIES)
def test_an_attachment_asks_as_its_policy_says(data, policy):
    state = Attachment("scratch", "node-a", policy=policy)
    for before, event, after, actions in walk(data, state):
        if any(isinstance(action, Ask) for action in actions):
            assert not before.spent and before.following in (ATTACH, RESUME)
        if before.spent and not isinstance(event, (Want, Unwant)):
            found = isinstance(event, Seen) and event.id is not None
            assert after.spent or found
        if before.history != after.history and after.wanted and not forgotten(actions):
            assert Remember() in actions, "a restart would forget it"
        if after.state == "attached" and after.wanted:
            assert after.history.attached >= 1 and after.history.epoch == (after.epoch or NO_LEASE)


HERE = Attachment("scratch", "node-a", "attached", link=0, handle=1, epoch=7, borrowed=9, history=History(1, 7, 7))


def going(policy, *events):
    """The attachment after events that take its device, and after it has gone."""
    state = replace(HERE, policy=policy)
    for event in (*events, Detached(20.0)):
        state, _actions = borrowing.step(state, event)
    return borrowing.step(state, Look(30.0, 0))[0]


GONE = Seen(10.0, 9, gone=True)
RECALLED = (Recall(10.0, 7, 20.0), Look(19.0, 0))
LEFT = (Leave(10.0), Look(19.0, 0))


@pytest.mark.parametrize(
    ("events", "ended"),
    [
        ((GONE,), LOSS),
        (RECALLED, RECALL),
        ((Recall(10.0, 7, 20.0), GONE), RECALL),
        (LEFT, DRAIN),
        ((Ended(7),), LOSS),
        ((Seen(10.0, None, missing=9),), LOSS),
    ],
    ids=["gone", "recalled", "taken in the midst of a recall", "drained", "over for its owner", "vanished"],
)
@pytest.mark.parametrize("policy", [Policy(), Policy(attach_again=NEVER), Policy(on_loss=WAIT, attach_again=NEVER)])
def test_why_it_went_decides_whether_it_comes_back(policy, events, ended):
    state = going(policy, *events)
    comes = policy.attach_again == ALWAYS or (policy.on_loss == WAIT and ended == LOSS)
    assert (state.history.ended, state.spent, state.state) == (ended, not comes, "requesting" if comes else "waiting")


def test_what_does_not_come_back_waits_for_nothing_but_a_person():
    spent = going(Policy(attach_again=NEVER), GONE)
    assert spent.final and spent.not_before is None and "attach_again is never" in spent.message
    assert borrowing.step(spent, Offered(40.0)) == (spent, ())
    assert borrowing.step(spent, Stay(40.0)) == (spent, ())
    fresh, actions = borrowing.step(spent, Want(40.0))
    assert (fresh.spent, fresh.history, actions) == (False, History(), (Remember(),))
    assert borrowing.step(fresh, Look(41.0, 0))[0].state == "requesting"


@pytest.mark.parametrize("times", ATTACH_AGAIN)
def test_the_end_of_a_drain_brings_back_what_the_drain_has_taken(times):
    state = replace(HERE, policy=Policy(attach_again=times))
    for event in (*LEFT, Detached(20.0)):
        state, _actions = borrowing.step(state, event)
    assert state.spent == (times == NEVER)
    drained, actions = borrowing.step(state, Look(31.0, 0, blocked=borrowing.DRAINED))
    assert not actions and drained.message == borrowing.DRAINED, "undrain is what helps"
    back, _actions = borrowing.step(drained, Stay(40.0))
    assert back.history == History(), "as when a person borrows it"
    assert borrowing.step(back, Look(41.0, 0))[0].state == "requesting"


def test_what_was_returned_and_is_wanted_again_begins_anew():
    state = replace(HERE, policy=Policy(on_loss=WAIT, attach_again=ALWAYS))
    for event in (Unwant(borrowing.NEVER), Want(11.0, Policy(on_loss=WAIT)), Detached(12.0)):
        state, _actions = borrowing.step(state, event)
    assert (state.wanted, state.history, state.following) == (True, History(), ATTACH), "it was not lost"


def test_a_device_that_went_unseen_is_given_back_when_it_is_not_attached_again():
    state = replace(HERE, state="waiting", borrowed=None, policy=Policy(attach_again=NEVER))
    assert borrowing.step(state, Look(29.0, None)) == (state, ()), "it may be about to come"
    after, actions = borrowing.step(state, Look(30.0, None, absent=True))
    assert actions == (Release(7, 0, 1, ""),)
    assert after.epoch is None and "while borrowerd did not run" in after.message
    assert borrowing.step(after, Look(31.0, 0)) == (after, ())


@given(st.floats(0, 60), st.floats(0, 3600), st.none() | st.floats(0, 3600))
def test_a_borrower_may_ask_for_less_grace_and_not_for_more(now, owners, mine):
    state = replace(HERE, policy=Policy(grace=mine))
    recalled, _actions = borrowing.step(state, Recall(now, 7, owners))
    assert recalled.recall_by == now + min(owners, owners if mine is None else mine) / 2


def test_nobody_waits_for_the_word_of_an_owner_that_is_not_asked():
    spent = replace(HERE, state="waiting", borrowed=None, epoch=None, policy=Policy(attach_again=NEVER))
    assert strays.undecided([spent, STRAY]) == set()
