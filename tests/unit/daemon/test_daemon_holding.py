# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a hold when grants are put."""

from __future__ import annotations

import pytest

DEVICE = {"address": "0000:03:00.0"}


@pytest.fixture
def owner(fabric):
    """An owner alone."""
    host = fabric.pair(start=False)[0]
    host.start_owner()
    return host


def put(owner, **said):
    """Put the one grant; what that did, in words, and its state then."""
    body = {"grants": [{"name": "scratch", "device": DEVICE, "borrower": "node-b", **said}]}
    change = owner.ownerd.client.call("PUT", "/v1/grants", body, 30)
    return change["actions"], owner.grant("scratch")["state"]


def hold(owner):
    """Put the grant on hold as a person does."""
    owner.ownerd.client.call("PUT", "/v1/grants/scratch/hold", {"why": "its fan"}, 30)


def test_a_grant_is_made_on_hold(owner):
    assert put(owner, hold=True) == (["grant scratch: 0000:03:00.0 to node-b, on hold"], "held")


@pytest.mark.parametrize(
    ("said", "actions", "state"),
    [
        ({"hold": None}, [], "held"),
        ({"hold": True}, [], "held"),
        ({"hold": False}, ["offer scratch again"], "offered"),
        ({}, ["offer scratch again"], "offered"),
    ],
)
def test_what_a_person_holds_is_offered_again_at_a_word_only(owner, said, actions, state):
    put(owner)
    hold(owner)
    assert put(owner, **said) == (actions, state)
    assert ("its fan" in owner.grant("scratch")["message"]) is (state == "held")


def test_a_grant_is_put_on_hold_and_stays_offered_where_nothing_is_said(owner):
    put(owner)
    assert put(owner, hold=None) == ([], "offered")
    assert put(owner, hold=True) == (["put scratch on hold"], "held")
    assert put(owner, hold=None, borrower="node-c")[1] == "held"


def test_a_new_grant_is_offered_where_its_hold_is_to_stay_as_it_is(owner):
    assert put(owner, hold=None)[1] == "offered"
