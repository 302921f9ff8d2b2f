# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A device that is granted under another name: refused, or the other grant goes for it."""

from __future__ import annotations

import pytest
from test_daemon_choosing import ADDRESSES, DRIVES, chosen, lease, pool

from device_lending.errors import LendingError
from device_lending.owner import grants
from device_lending.purging import NONE
from device_lending.store.owner import Grant

FIRST = {"address": ADDRESSES[0]}
OLD = Grant("old", {"serial": "S1"}, "node-c")
NEW = Grant("new", FIRST, "node-b")
AWAY = Grant("away", {"serial": "S99"}, "node-c")
BESIDE = Grant("beside", {"serial": "S2"}, "node-c")


def plan(wanted, current, leases=(), **options):
    options = {"purge": NONE, "replace_others": True, "force": False, "holds": {}, **options}
    return grants.plan(current, leases, wanted, DRIVES, lambda _function: ([], []), "node-a", **options)


def test_the_other_one_goes_and_nothing_else():
    planned = plan([NEW], [OLD, AWAY, BESIDE])
    assert [grant.name for grant in planned.after] == ["away", "beside", "new"]
    assert planned.actions == (f"grant new: {ADDRESSES[0]} to node-b", "revoke old")
    with pytest.raises(LendingError, match="grants new and old both mean") as refused:
        plan([NEW], [OLD], replace_others=False)
    assert (refused.value.name, refused.value.other) == ("new", "old")


def test_nothing_goes_where_nothing_is_in_the_way():
    assert [grant.name for grant in plan([NEW], [AWAY, BESIDE]).after] == ["away", "beside", "new"]
    assert plan([BESIDE], [OLD, BESIDE]).actions == ()


def test_two_that_are_wanted_are_still_two():
    with pytest.raises(LendingError, match="grants new and old both mean"):
        plan([NEW, OLD], [OLD])


def test_a_live_lease_of_the_other_one_takes_force():
    live = lease(ADDRESSES[0], "old", "node-c")
    with pytest.raises(LendingError, match="lease old: node-c is borrowing") as refused:
        plan([NEW], [OLD], [live])
    assert refused.value.name == "old"
    planned = plan([NEW], [OLD], [live], force=True)
    assert planned.ending == (live,)
    assert planned.actions[-1] == f"recall old: {ADDRESSES[0]} from node-c"


def test_what_any_of_several_has_taken_goes_as_well():
    taken = pool("old", chosen=FIRST)
    assert chosen(plan([NEW], [taken])) == {"new": ADDRESSES[0]}


def test_any_of_several_takes_what_is_free_and_replaces_nothing():
    assert chosen(plan([pool("new")], [OLD])) == {"new": ADDRESSES[1], "old": ADDRESSES[0]}
