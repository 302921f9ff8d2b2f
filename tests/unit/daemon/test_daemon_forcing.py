# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A list says of single leases whether they are taken from who uses them, in the place of what it says of all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_daemon_choosing import ADDRESSES, lease
from test_daemon_end_to_end import BORROW, GRANT, lend
from test_daemon_renaming import grant
from test_daemon_replacing import plan

from device_lending import renaming
from device_lending.client import Failed
from device_lending.errors import LendingError
from device_lending.purging import ALL
from device_lending.store.borrower import BorrowerStore
from device_lending.store.owner import Grant

OTHER = ("other", {"address": "0000:04:00.0"}, "node-b")
FIRST, SECOND = (Grant(name, {"address": ADDRESSES[n]}, "node-b") for n, name in enumerate(("first", "second")))
LIVE = [lease(ADDRESSES[0], "first"), lease(ADDRESSES[1], "second")]


@pytest.fixture(name="two")
def two_fixture(fabric):
    """An owner, and a borrower with two drives of it, both mounted."""
    owner, borrower = fabric.pair(lease_ttl=600, recall_grace=0.5)
    owner.tree.add_nvme("0000:04:00.0", "SER-4", "nvme1n1", "259:1")
    owner.put_grants(GRANT, OTHER)
    borrower.put_attachments(BORROW, ("other", "node-a"), wait=60)
    for name in ("scratch", "other"):
        use(borrower, name)
    return owner, borrower


def use(borrower, name):
    borrower.tree.mount(borrower.tree.disks[borrower.attachment(name)["address"]][1], f"/mnt/{name}")


def wanted(borrower):
    found = borrower.borrowerd.client.get("/v1/attachments")["attachments"]
    return [row["name"] for row in found if not row["leaving"]]


# -- what is decided ---------------------------------------------------------------------------------------------------


def test_one_that_is_forced_ends_and_all_others_do_not():
    planned = plan([FIRST], [FIRST, SECOND], LIVE, purge=ALL, force_of={"second": True})
    assert [row.name for row in planned.ending] == ["second"]
    with pytest.raises(LendingError) as refused:
        plan([], [FIRST, SECOND], LIVE, purge=ALL, force_of={"second": True})
    assert (refused.value.code, refused.value.name) == ("lease_live", "first")


def test_one_that_is_protected_does_not_end_and_others_do():
    with pytest.raises(LendingError) as refused:
        plan([], [FIRST, SECOND], LIVE, purge=ALL, force=True, force_of={"second": False})
    assert (refused.value.code, refused.value.name) == ("lease_live", "second")
    assert len(plan([SECOND], [FIRST, SECOND], LIVE, purge=ALL, force=True, force_of={"second": False}).ending) == 1


@pytest.mark.parametrize("change", [{"borrower": "node-c"}, {"device": {"address": ADDRESSES[2]}}])
def test_it_counts_for_what_changes_as_well(change):
    changed = replace(FIRST, **change)
    assert plan([changed], [FIRST], LIVE[:1], force_of={"first": True}).ending == (LIVE[0],)
    with pytest.raises(LendingError, match="lease first: node-b is borrowing"):
        plan([changed], [FIRST], LIVE[:1], force=True, force_of={"first": False})


def test_names_that_nobody_has_mean_nothing():
    assert plan([FIRST], [FIRST], LIVE[:1], force_of={"nobody": True}).actions == ()


# -- what is done ------------------------------------------------------------------------------------------------------


def test_an_owner_takes_the_one_that_is_forced(two):
    owner, _borrower = two
    with pytest.raises(Failed, match="lease other"):
        owner.put_grants(purge=True, force_of={"scratch": True})
    assert len(owner.leases()) == 2
    assert owner.put_grants(OTHER, purge=True, force_of={"scratch": True})["changed"]
    assert [row["name"] for row in owner.leases()] == ["other"]


def test_an_owner_leaves_the_one_that_is_protected(two):
    owner, _borrower = two
    with pytest.raises(Failed, match="lease scratch"):
        owner.put_grants(purge=True, force=True, force_of={"scratch": False})
    assert len(owner.leases()) == 2
    owner.put_grants(GRANT, purge=True, force=True, force_of={"scratch": False})
    assert [row["name"] for row in owner.leases()] == ["scratch"]


def test_an_owner_knows_a_grant_that_is_renamed_and_moved_by_its_new_name(fabric):
    owner, _borrower = lend(fabric, lease_ttl=600, recall_grace=0.5)
    body = {"grants": [grant(borrower="node-c")], "purge": True}
    with pytest.raises(Failed, match="lease results"):
        owner.ownerd.client.call("PUT", "/v1/grants", {**body, "force_of": {"results": False}, "force": True}, 30)
    assert owner.ownerd.client.call("PUT", "/v1/grants", {**body, "force_of": {"results": True}}, 30)["changed"]
    assert owner.leases() == []


def test_a_borrower_gives_back_the_one_that_is_forced(two):
    _owner, borrower = two
    with pytest.raises(Failed) as refused:
        borrower.put_attachments(purge=True, force_of={"scratch": True})
    assert (refused.value.code, "attachment other" in str(refused.value)) == ("device_busy", True)
    assert wanted(borrower) == ["other", "scratch"]
    borrower.put_attachments(("other", "node-a"), purge=True, force_of={"scratch": True}, wait_returned=20)
    assert wanted(borrower) == ["other"]
    assert borrower.attachment("scratch") is None


def test_a_borrower_keeps_the_one_that_is_protected(two):
    _owner, borrower = two
    with pytest.raises(Failed, match="attachment scratch"):
        borrower.put_attachments(purge=True, force=True, force_of={"scratch": False})
    assert wanted(borrower) == ["other", "scratch"]
    borrower.put_attachments(BORROW, purge=True, force=True, force_of={"scratch": False}, wait_returned=20)
    assert wanted(borrower) == ["scratch"]


def test_only_what_is_forced_is_remembered_as_such(two, monkeypatch):
    """A restart may come between the word and the deed."""
    _owner, borrower = two
    borrower.tree.unmount()
    remembered = []
    store = BorrowerStore.replace_wanted

    def replace_wanted(self, wanted, forced=(), renamed=renaming.NONE):
        remembered.extend(item.name for item in forced)
        store(self, wanted, forced, renamed)

    monkeypatch.setattr(BorrowerStore, "replace_wanted", replace_wanted)
    borrower.put_attachments(purge=True, force_of={"scratch": True})
    assert remembered == ["scratch"]


@pytest.mark.parametrize("wrong", [{"scratch": "yes"}, {"scratch": 1}, {"scratch": None}, ["scratch"], None])
def test_it_is_by_name_and_true_or_false(fabric, wrong):
    owner, borrower = fabric.pair()
    for put in (owner.put_grants, borrower.put_attachments):
        with pytest.raises(Failed) as refused:
            put(force_of=wrong)
        assert refused.value.code.startswith("invalid_") and "force_of" in str(refused.value)
