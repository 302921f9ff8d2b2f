# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a list takes away that it does not hold, and what it leaves since a person has set it by hand."""

from __future__ import annotations

import pytest

from device_lending import purging
from device_lending.store.borrower import BorrowerStore, Wanted
from device_lending.store.owner import Grant, OwnerStore

DEVICE = {"address": "0000:03:00.0"}
SPARE = {"address": "0000:04:00.0"}


class Side:
    """One of both daemons: what a list and one call put, and what there is of it."""

    def __init__(self, host, kind):
        self.host, self.kind = host, kind
        self.client = host.ownerd.client if kind == "grants" else host.borrowerd.client

    def entry(self, name):
        if self.kind == "grants":
            return {"device": DEVICE if name == "first" else SPARE, "borrower": "node-b"}
        return {"owner": "node-a"}

    def lists(self, *names, **options):
        items = [{"name": name, **self.entry(name)} for name in names]
        return self.client.call("PUT", f"/v1/{self.kind}", {self.kind: items, **options}, 30)

    def alone(self, name):
        return self.client.call("PUT", f"/v1/{self.kind}/{name}", self.entry(name), 30)

    def by_hand(self):
        return {item["name"]: item["by_hand"] for item in self.client.get(f"/v1/{self.kind}")[self.kind]}


@pytest.fixture(params=["grants", "attachments"])
def side(fabric, request):
    owner, borrower = fabric.pair()
    owner.tree.add_function(SPARE["address"])
    return Side(owner if request.param == "grants" else borrower, request.param)


def test_a_list_takes_away_what_a_list_has_declared_and_leaves_what_is_there_by_hand(side):
    assert side.alone("first")["after"][0]["by_hand"] is True
    side.lists("second")
    assert side.by_hand() == {"first": True, "second": False}
    assert side.lists(purge=False, leave_by_hand=True)["changed"] is False
    assert [action.split()[1] for action in side.lists(purge=True, leave_by_hand=True)["actions"]] == ["second"]
    assert side.by_hand() == {"first": True}
    assert side.lists(purge=True)["changed"] is True
    assert side.by_hand() == {}


def test_what_a_list_holds_is_no_longer_by_hand(side):
    side.alone("first")
    dry = side.lists("first", dry_run=True)
    assert dry["actions"] == ["take first, set by hand, into the list"] and side.by_hand() == {"first": True}
    assert side.lists("first") == dry
    assert side.lists("first")["changed"] is False
    assert side.lists(purge=True, leave_by_hand=True)["changed"] is True
    assert side.by_hand() == {}


def test_one_call_leaves_what_is_declared_declared(side):
    side.lists("first")
    assert side.alone("first")["changed"] is False
    assert side.by_hand() == {"first": False}


def test_a_list_says_of_what_it_only_repeats_that_it_stays_by_hand(side):
    side.alone("first")
    body = {side.kind: [{"name": "first", "by_hand": None, **side.entry("first")}]}
    assert side.client.call("PUT", f"/v1/{side.kind}", body, 30)["changed"] is False
    body[side.kind][0]["by_hand"] = False
    assert side.client.call("PUT", f"/v1/{side.kind}", body, 30)["changed"] is True
    body[side.kind][0]["by_hand"] = True
    assert side.client.call("PUT", f"/v1/{side.kind}", body, 30)["actions"] == ["leave first to whoever set it by hand"]
    assert side.by_hand() == {"first": True}


def test_it_survives_a_restart(tmp_path):
    paths = [str(tmp_path / "owner"), str(tmp_path / "borrower")]
    owner, borrower = OwnerStore(paths[0]), BorrowerStore(paths[1])
    owner.replace_grants([Grant("a", DEVICE, "node-b", by_hand=True), Grant("b", SPARE, "node-b")])
    borrower.replace_wanted([Wanted("a", "node-a", by_hand=True), Wanted("b", "node-a")])
    owner.close()
    borrower.close()
    assert [grant.by_hand for grant in OwnerStore(paths[0]).grants()] == [True, False]
    assert [item.by_hand for item in BorrowerStore(paths[1]).wanted()] == [True, False]


@pytest.mark.parametrize("purge", purging.PURGES)
@pytest.mark.parametrize("by_hand", [True, False])
def test_what_is_taken(purge, by_hand):
    assert purging.is_taken(purge, by_hand) is (purge == "all" or (purge == "declared" and not by_hand))
