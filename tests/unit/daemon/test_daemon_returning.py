# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A device that was returned without force goes while nobody uses it, whatever has come between the word and the deed."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from daemon_hosts import until
from test_daemon_end_to_end import BORROW, lend

from device_lending.borrower import attachment as borrowing
from device_lending.borrower.attachment import RETURNED, Attachment
from device_lending.borrower.attachment_events import (
    NEVER,
    Denied,
    Detach,
    InUse,
    Leave,
    Look,
    Recall,
    Remember,
    Seen,
    Stay,
    Unwant,
)
from device_lending.client import Failed
from device_lending.policy import History
from device_lending.store.borrower import BorrowerStore

ADDRESS = "0000:03:00.0"
RESTARTED = Attachment("scratch", "node-a", link=0, handle=1, epoch=7, remote_address=ADDRESS)
SEEN = Seen(2.0, 9, False, "1ff00:00:00.0", "nvme", ("/dev/nvme0n1",), complete=True)


@pytest.fixture
def killed(fabric):
    """Has borrowerd killed once a return is stored and before the device is detached; it is mounted meanwhile."""

    def kill(force):
        _owner, borrower = lend(fabric, lease_ttl=600)
        address = borrower.attachment("scratch")["address"]
        borrower.stop_borrower()
        store = BorrowerStore(str(borrower.base / "borrowerd.sqlite3"))
        store.replace_wanted([], store.wanted() if force else [])
        store.close()
        borrower.tree.mount(borrower.tree.disks[address][1], "/data")
        borrower.start_borrower()
        return borrower

    return kill


def delete(borrower, force):
    return borrower.borrowerd.client.call("DELETE", "/v1/attachments/scratch", {"force": force}, 30)


def is_over(borrower) -> bool:
    return borrower.attachment("scratch") is None and borrower.kernel.borrows == {}


def is_kept(borrower) -> bool:
    item = borrower.attachment("scratch")
    return item["state"] == "attached" and "in use" in item["message"]


def test_what_is_used_since_it_was_returned_is_kept_until_it_is_not(killed):
    borrower = killed(force=False)
    until(lambda: is_kept(borrower))
    assert [row.state for row in borrower.kernel.borrows.values()] == ["attached"]
    borrower.tree.unmount()
    until(lambda: is_over(borrower))


def test_what_was_returned_with_force_goes_all_the_same(killed):
    borrower = killed(force=True)
    until(lambda: is_over(borrower))


def test_what_is_kept_can_be_taken_with_force(killed):
    borrower = killed(force=False)
    until(lambda: is_kept(borrower))
    with pytest.raises(Failed) as failure:
        delete(borrower, force=False)
    assert failure.value.code == "device_busy"
    assert is_kept(borrower)
    assert delete(borrower, force=True)["changed"]
    until(lambda: is_over(borrower))


def test_a_list_with_force_takes_what_is_kept(killed):
    borrower = killed(force=False)
    until(lambda: is_kept(borrower))
    assert not borrower.put_attachments(purge=True)["changed"]
    assert is_kept(borrower)
    assert borrower.put_attachments(purge=True, force=True)["changed"]
    until(lambda: is_over(borrower))


def test_a_list_says_of_what_is_kept_alone_whether_it_is_taken(killed):
    borrower = killed(force=False)
    until(lambda: is_kept(borrower))
    assert not borrower.put_attachments(purge=True, force=True, force_of={"scratch": False})["changed"]
    assert is_kept(borrower)
    assert not borrower.put_attachments(force_of={"scratch": True})["changed"]  # without purge it takes nothing away
    assert borrower.put_attachments(purge=True, force_of={"scratch": True})["changed"]
    until(lambda: is_over(borrower))


def test_what_is_kept_can_be_wanted_again(killed):
    borrower = killed(force=False)
    until(lambda: is_kept(borrower))
    epoch = borrower.attachment("scratch")["epoch"]
    assert borrower.put_attachments(BORROW, purge=True, force=True, wait=60)["changed"]
    item = borrower.attachment("scratch")
    assert (item["state"], item["epoch"], item["leaving"], item["message"]) == ("attached", epoch, False, "")


def test_a_return_with_force_that_is_called_off_is_not_remembered(killed):
    borrower = killed(force=False)
    until(lambda: is_kept(borrower))
    borrower.put_attachments(BORROW, wait=60)
    borrower.stop_borrower()
    with sqlite3.connect(borrower.base / "borrowerd.sqlite3") as connection:
        connection.execute("UPDATE holdings SET forced = 1")
    store = BorrowerStore(str(borrower.base / "borrowerd.sqlite3"))
    store.replace_wanted(store.wanted())
    assert [row.forced for row in store.holdings()] == [False]
    store.close()


@pytest.fixture
def late(fabric, monkeypatch):
    """A host on which somebody uses the device when the kernel is about to detach it, and not when it was looked at."""
    _owner, borrower = lend(fabric, lease_ttl=600)
    actions = borrower.borrowerd.parts.stop.__self__._actions
    monkeypatch.setattr(actions, "_uses", lambda addresses: {key: ["mounted at /data"] for key in addresses})
    return borrower


def test_what_is_used_just_before_it_goes_is_kept(late, monkeypatch):
    body = {"force": False, "wait_returned": 0.0}
    assert late.borrowerd.client.call("DELETE", "/v1/attachments/scratch", body, 30)["changed"]
    until(lambda: late.attachment("scratch")["state"] == "attached")
    assert [row.state for row in late.kernel.borrows.values()] == ["attached"]
    monkeypatch.undo()
    until(lambda: is_over(late))


def test_force_asks_nobody(late):
    assert delete(late, force=True)["changed"]
    until(lambda: is_over(late))


@pytest.mark.parametrize("state", ["waiting", "attaching", "requesting"])
@pytest.mark.parametrize("is_forced", [False, True])
def test_what_is_found_after_the_word_is_judged_anew(state, is_forced):
    item = replace(RESTARTED, state=state)
    item, actions = borrowing.step(item, Unwant(1.0 if is_forced else NEVER))
    assert (item.recall_why, actions) == (RETURNED, ())
    if state == "requesting":
        item, _actions = borrowing.step(item, Denied(1.5, "no"))
    item, actions = borrowing.step(item, SEEN)
    assert actions == ()
    item, actions = borrowing.step(item, Look(3.0, 0, busy=True, served=True))
    assert actions == ((Detach(9, 7),) if is_forced else ())
    if not is_forced:
        assert "with force" in item.message
        assert borrowing.step(item, Look(4.0, 0, served=True))[1] == (Detach(9, 7, True),)


def test_the_end_of_a_drain_does_not_keep_what_was_returned():
    item, _actions = borrowing.step(RESTARTED, Unwant(NEVER))
    item, _actions = borrowing.step(item, SEEN)
    for event in (Leave(50.0), Look(3.0, 0, busy=True, served=True), Stay(4.0)):
        item, actions = borrowing.step(item, event)
        assert actions == ()
    assert (item.recall_by, item.recall_why) == (NEVER, RETURNED)
    assert borrowing.step(item, Look(5.0, 0, served=True))[1] == (Detach(9, 7, True),)


def test_what_stays_after_all_has_not_ended():
    item = Attachment("scratch", "node-a", "attached", True, 0, 1, 7, borrowed=9, history=History(1, 7, 7))
    for event in (Recall(1.0, 7, 30.0), Look(2.0, 0, served=True)):
        item, actions = borrowing.step(item, event)
    assert (item.state, actions) == ("detaching", (Detach(9, 7, idle=True), Remember()))
    item, actions = borrowing.step(item, InUse(3.0))
    assert (item.state, item.history, actions) == ("attached", History(1, 7, 7), (Remember(),))
    item, actions = borrowing.step(item, Look(16.0, 0, busy=True, served=True))
    assert actions[0] == Detach(9, 7), "its time is over"
    assert borrowing.step(item, InUse(17.0)) == (item, ())
