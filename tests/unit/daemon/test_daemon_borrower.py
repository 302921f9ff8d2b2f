# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a borrower believes of its devices when it or the owner has lost something: a store, an answer, a notice."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import threading
import time
from dataclasses import replace

import pytest
from daemon_hosts import until
from test_daemon_end_to_end import BORROW, DEVICE, GRANT, lend

from device_lending import kernel
from device_lending.borrower import looks as looking
from device_lending.borrower import owners, renewals, strays
from device_lending.client import Failed, Unreachable
from device_lending.errors import LendingError
from device_lending.mailbox.protocol import Envelope, PeerError, Status
from device_lending.owner.lending import Lending
from device_lending.owner.peer import MailboxNotifier


def lose_store(borrower):
    borrower.stop_borrower()
    for file in borrower.base.glob("borrowerd.sqlite3*"):
        file.unlink()


def strays_of(borrower):
    rows = borrower.borrowerd.client.get("/v1/attachments")["attachments"]
    return [row for row in rows if row["name"].startswith("lost-")]


def test_a_borrowed_device_that_nobody_wants_is_returned(fabric, monkeypatch):
    monkeypatch.setattr(strays, "STRAY", 0.0)
    owner, borrower = lend(fabric)
    lose_store(borrower)
    borrower.start_borrower()
    until(lambda: borrower.kernel.borrows == {})
    until(lambda: owner.leases() == [])
    assert owner.tree.driver_of("0000:03:00.0") == "nvme"
    until(lambda: strays_of(borrower) == [])


def test_a_borrowed_device_that_nobody_wants_is_kept_while_it_is_in_use(fabric, monkeypatch):
    monkeypatch.setattr(strays, "STRAY", 0.0)
    _owner, borrower = lend(fabric)
    address = borrower.attachment("scratch")["address"]
    borrower.tree.mount(borrower.tree.disks[address][1], "/data")
    lose_store(borrower)
    borrower.start_borrower()
    until(lambda: "in use" in strays_of(borrower)[0]["message"])
    (item,) = strays_of(borrower)
    assert (item["owner"], item["state"], item["address"]) == ("node-a", "attached", address)
    with pytest.raises(Failed) as failure:
        borrower.borrowerd.client.call("DELETE", f"/v1/attachments/{item['name']}", None, 30)
    assert failure.value.code == "device_busy" and "/data" in str(failure.value)
    with pytest.raises(Failed) as failure:
        borrower.put_attachments((item["name"], "node-a"))
    assert failure.value.code == "unknown_lease"
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: "in use" in strays_of(borrower)[0]["message"])
    assert [row.address for row in borrower.kernel.borrows.values()] == [address]
    borrower.tree.unmount()
    until(lambda: borrower.kernel.borrows == {})


def test_a_borrowed_device_that_nobody_wants_can_be_returned_at_once(fabric):
    _owner, borrower = lend(fabric)
    lose_store(borrower)
    borrower.start_borrower()
    until(lambda: strays_of(borrower))
    (item,) = strays_of(borrower)
    change = borrower.borrowerd.client.call("DELETE", f"/v1/attachments/{item['name']}", None, 30)
    assert change["actions"] == [f"return {item['name']} to node-a"]
    assert borrower.kernel.borrows == {} and strays_of(borrower) == []


def test_a_borrowed_device_that_is_gone_and_unknown_is_cleaned_away(fabric):
    _owner, borrower = lend(fabric)
    lose_store(borrower)
    (device,) = borrower.kernel.borrows.values()
    borrower.kernel.borrows[device.id] = replace(device, state="gone")
    borrower.start_borrower()
    until(lambda: borrower.kernel.borrows == {})


def test_a_borrowed_device_waits_for_the_owner_to_say_whose_it_is(fabric, monkeypatch):
    monkeypatch.setattr(strays, "STRAY", 0.0)
    owner, borrower = lend(fabric)
    epoch = borrower.attachment("scratch")["epoch"]
    owner.stop_owner()
    borrower.stop_borrower()
    with sqlite3.connect(borrower.base / "borrowerd.sqlite3") as connection:
        connection.execute("DELETE FROM holdings")  # as if killed before it was written, or from a backup
    borrower.start_borrower()
    until(lambda: strays_of(borrower))
    until(lambda: "could not be asked" in borrower.attachment("scratch")["message"])
    owner.start_owner()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert borrower.attachment("scratch")["epoch"] == epoch
    assert strays_of(borrower) == [] and len(borrower.kernel.borrows) == 1


def test_who_has_forgotten_a_live_lease_is_told_of_it_although_it_is_on_hold(fabric, monkeypatch):
    monkeypatch.setattr(strays, "STRAY", 0.0)
    owner, borrower = lend(fabric)
    epoch = borrower.attachment("scratch")["epoch"]
    borrower.stop_borrower()
    with sqlite3.connect(borrower.base / "borrowerd.sqlite3") as connection:
        connection.execute("DELETE FROM holdings")  # as if killed while the disk was full
    owner.ownerd.client.call("PUT", "/v1/grants/scratch/hold", {"why": "its fan is replaced"}, 30)
    borrower.start_borrower()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert borrower.attachment("scratch")["epoch"] == epoch
    assert strays_of(borrower) == [] and len(borrower.kernel.borrows) == 1


def answer_status(monkeypatch, state):
    """Have owners say this of every lease; the list of epochs that they were asked for."""
    asked = []
    monkeypatch.setattr(Lending, "status", lambda owner, epoch, link, host: asked.append(epoch) or {"state": state})
    return asked


def test_a_device_in_service_is_kept_although_its_owner_calls_the_lease_over(fabric, monkeypatch):
    owner, borrower = lend(fabric)
    before = borrower.attachment("scratch")
    asked = answer_status(monkeypatch, "ended")
    until(lambda: "says that the lease is over" in borrower.attachment("scratch")["message"])
    again = len(asked) + 2
    until(lambda: len(asked) >= again)
    item = borrower.attachment("scratch")
    assert (item["state"], item["address"], item["epoch"]) == ("attached", before["address"], before["epoch"])
    monkeypatch.undo()
    until(lambda: borrower.attachment("scratch")["message"] == "")
    assert owner.lease("scratch")["epoch"] == before["epoch"]


def test_a_device_out_of_askedgoes_when_its_owner_calls_the_lease_over(fabric, monkeypatch):
    _owner, borrower = lend(fabric, lease_ttl=60)
    monkeypatch.setattr(renewals, "_MOST", 0.2)
    answer_status(monkeypatch, "ended")
    for module in (looking, owners):
        monkeypatch.setattr(module, "served", lambda item, row, link: False)
    epoch = borrower.attachment("scratch")["epoch"]
    until(lambda: borrower.attachment("scratch")["epoch"] != epoch)


def test_a_recall_whose_notice_was_lost_is_heard_of_with_the_next_renewal(fabric, monkeypatch, caplog):
    monkeypatch.setattr(MailboxNotifier, "recall", lambda notifier, lease, grace: True)
    owner, borrower = lend(fabric, recall_grace=20)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    recall = threading.Thread(target=owner.recall, args=["scratch"], daemon=True)
    recall.start()
    until(lambda: "recalled by node-a, but in use" in borrower.attachment("scratch")["message"])
    borrower.tree.unmount()
    recall.join(15)
    assert not recall.is_alive()
    until(lambda: "released by node-b" in caplog.text)


def test_a_borrower_gives_a_lease_up_by_itself_when_it_hears_nothing_of_the_owner(fabric, caplog):
    owner, borrower = lend(fabric, lease_ttl=3)
    item = borrower.attachment("scratch")
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    link = borrower.kernel.link_table[0]
    borrower.kernel.link_table[0] = replace(link, state="handshake")
    until(lambda: borrower.kernel.borrows == {})
    until(lambda: "given up: no sign of life from node-a" in caplog.text)
    borrower.kernel.link_table[0] = link
    until(lambda: borrower.attachment("scratch")["epoch"] not in (None, item["epoch"]))
    assert [row["name"] for row in owner.leases()] == ["scratch"]


def test_the_time_without_the_owner_goes_on_while_borrowerd_is_stopped(fabric):
    _owner, borrower = lend(fabric, lease_ttl=1000)
    borrower.stop_borrower()
    with sqlite3.connect(borrower.base / "borrowerd.sqlite3") as connection:
        ((ttl, renewed, peer),) = connection.execute("SELECT ttl, renewed, peer_epoch FROM holdings").fetchall()
        assert (ttl, peer) == (1000, "1000") and time.time() - 60 < renewed <= time.time()
        connection.execute("UPDATE holdings SET renewed = renewed - 1000")
    borrower.kernel.link_table[0] = replace(borrower.kernel.link_table[0], state="handshake")
    borrower.start_borrower()
    until(lambda: borrower.kernel.borrows == {})


def test_a_lease_in_askedoutlives_a_restart_of_borrowerd_however_long_that_took(fabric):
    _owner, borrower = lend(fabric, lease_ttl=1000)
    before = borrower.attachment("scratch")["address"]
    borrower.stop_borrower()
    with sqlite3.connect(borrower.base / "borrowerd.sqlite3") as connection:
        connection.execute("UPDATE holdings SET renewed = renewed - 5000")
    borrower.start_borrower()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert borrower.attachment("scratch")["address"] == before


@pytest.mark.parametrize("ttl", [3, 60, 1000])
def test_borrowerd_looks_again_when_a_renewal_is_due(fabric, ttl):
    _owner, borrower = lend(fabric, lease_ttl=ttl)
    looks = borrower.borrowerd.parts.stop.__self__.looks

    def due_in_time():
        left = looks.next_due() - time.monotonic()
        return 0 < left <= renewals.interval(ttl)

    until(due_in_time)


def test_a_device_is_not_attached_under_two_names(fabric):
    owner, borrower = lend(fabric)
    owner.stop_owner()
    for file in owner.base.glob("ownerd.sqlite3*"):
        file.unlink()
    owner.start_owner()
    until(lambda: owner.leases()[0]["name"] == "lost-0000-03-00-0")
    owner.put_grants(("other", DEVICE, "node-b"))
    borrower.put_attachments(("other", "node-a"))
    until(lambda: "is attached here as scratch; return that" in borrower.attachment("other")["message"])
    (device,) = borrower.kernel.borrows.values()
    assert borrower.attachment("scratch")["address"] == device.address
    borrower.put_attachments(("other", "node-a"), purge=True)
    until(lambda: borrower.attachment("other")["state"] == "attached")
    assert len(borrower.kernel.borrows) == 1


def test_a_recall_means_the_lease_of_its_epoch_whatever_its_name(fabric):
    owner, borrower = lend(fabric, recall_grace=20)
    owner.stop_owner()
    for file in owner.base.glob("ownerd.sqlite3*"):
        file.unlink()
    owner.start_owner()
    until(lambda: owner.leases()[0]["name"] == "lost-0000-03-00-0")

    def recall():
        with contextlib.suppress(Failed, Unreachable):  # the end of the test may come first
            owner.recall("lost-0000-03-00-0")

    threading.Thread(target=recall, daemon=True).start()
    until(lambda: borrower.kernel.borrows == {})


@pytest.mark.parametrize(
    "error",
    [
        kernel.TimedOut("the kernel did not answer in time", errno.ETIMEDOUT),
        kernel.KernelError("No buffer space available", errno.ENOBUFS),
        kernel.NoSpace("odd, as it is there", errno.ENOSPC),
        RuntimeError("a fault of the daemon"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_device_that_was_attached_although_the_answer_was_lost_is_found_again(fabric, error):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    borrower.kernel.lose_answers["attach"] = [error]
    borrower.put_attachments(BORROW, wait=60)
    (device,) = borrower.kernel.borrows.values()
    item = borrower.attachment("scratch")
    assert (item["state"], item["address"], item["epoch"]) == ("attached", device.address, device.epoch)
    assert [row["epoch"] for row in owner.leases()] == [device.epoch]


def test_what_may_have_been_attached_is_looked_for_until_the_kernel_can_tell(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    lost = kernel.KernelError("No buffer space available", errno.ENOBUFS)
    borrower.kernel.lose_answers["attach"] = [lost]
    listing, deaf = borrower.kernel.borrowed, threading.Event()

    def borrowed():
        if borrower.kernel.borrows and not deaf.is_set():
            raise lost
        return listing()

    borrower.kernel.borrowed = borrowed
    borrower.put_attachments(BORROW)
    until(lambda: borrower.kernel.borrows and not borrower.kernel.lose_answers["attach"])
    deaf.set()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert len(borrower.kernel.borrows) == 1 and len(owner.leases()) == 1


def test_what_was_not_attached_although_the_kernel_could_not_tell_is_tried_again(fabric):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    lost = kernel.KernelError("No buffer space available", errno.ENOBUFS)
    attach, listing, failing = borrower.kernel.attach, borrower.kernel.borrowed, []

    def failing_attach(*args):
        failing.append(args)
        raise lost

    def failing_once():
        if failing:
            failing.clear()
            borrower.kernel.attach = attach
            raise lost
        return listing()

    borrower.kernel.attach, borrower.kernel.borrowed = failing_attach, failing_once
    borrower.put_attachments(BORROW, wait=60)
    assert len(borrower.kernel.borrows) == 1 and len(owner.leases()) == 1


def unseen(borrower):
    """borrowerd just after a start, before its first look; what serves its API and peers."""
    borrower.stop_borrower()
    borrower.start_borrower(looks=False)
    return borrower.borrowerd.parts.stop.__self__


@pytest.mark.parametrize("is_used", [True, False])
def test_a_return_before_the_first_look_takes_nothing_that_is_in_use(fabric, is_used):
    owner, borrower = lend(fabric)
    item = borrower.attachment("scratch")
    if is_used:
        borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    asked = unseen(borrower)
    what = {"purge": "none", "force": False, "wait_returned": 0.0, "wait": 0.0, "dry_run": False}
    if is_used:
        with pytest.raises(LendingError, match="/data"):
            asked.changes.put([], removed=["scratch"], **what)
        assert len(borrower.kernel.borrows) == 1
    else:
        asked.changes.put([], removed=["scratch"], **what)
        until(lambda: (asked.looks.look(), owner.leases())[1] == [])
    assert all(row.state == "attached" for row in borrower.kernel.borrows.values())


def test_what_is_unwanted_before_the_first_look_is_detached_before_it_is_released(fabric, caplog):
    owner, borrower = lend(fabric)
    asked = unseen(borrower)
    asked.changes.put([], removed=["scratch"], purge="none", force=True, wait_returned=0.0, wait=0.0, dry_run=False)
    until(lambda: (asked.looks.look(), owner.leases())[1] == [])
    assert borrower.kernel.borrows == {} and "cut off" not in caplog.text


def unknown(fabric):
    """borrowerd has lost its store and not looked yet; (its service, what takes a recall of its device over a link)."""
    _owner, borrower = lend(fabric)
    epoch = borrower.attachment("scratch")["epoch"]
    lose_store(borrower)
    borrower.start_borrower(looks=False)
    served = borrower.borrowerd.parts.stop.__self__

    def recall(epoch=epoch, grace=600.0):
        body = {"name": "scratch", "epoch": epoch, "grace": grace}
        envelope = Envelope("1", "lease.recall", "node-a", None, body)
        served.owners.serve(0, borrower.kernel.link_table[0].peer_epoch, envelope)

    return served, recall


def test_a_recall_finds_a_device_that_no_look_has_found_yet(fabric, monkeypatch):
    served, recall = unknown(fabric)
    recall()
    assert served.ground.table.all() == []  # it is the next look that finds it
    woken = []
    monkeypatch.setattr(served.looks, "_ground", replace(served.ground, wake=lambda: woken.append(True)))
    with monkeypatch.context() as patch:
        patch.setattr(served.ground.kernel, "borrowed", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            served.looks.look()
    served.looks.look()
    (item,) = served.ground.table.all()
    assert item.recall_why == "recalled by node-a" and woken


def test_recalls_of_what_is_not_here_are_kept_for_their_time_and_not_without_end(fabric):
    served, recall = unknown(fabric)
    for epoch in range(1, 1000):
        recall(epoch, grace=0.0)
    assert sum(len(rows) for rows in served.owners._unmet._recalls.values()) == 64
    recall()
    served.looks.look()
    (item,) = served.ground.table.all()
    assert item.recall_why == "recalled by node-a" and served.owners._unmet._recalls == {}


@pytest.mark.parametrize("kind", ["lease.recall", "offers.changed", "of nothing here"])
def test_notices_have_a_look_taken_and_take_none_however_many_they_are(fabric, kind, monkeypatch):
    _owner, borrower = lend(fabric, lease_ttl=600, recall_grace=600)
    borrower.put_attachments(("other", "node-a"))
    served, epoch = borrower.borrowerd.parts.stop.__self__, borrower.attachment("scratch")["epoch"]
    borrower.borrowerd.parts.ticker.stop()
    until(lambda: served.ground.table.get(("node-a", "other")).state == "waiting")
    looks, woken = [], []
    monkeypatch.setattr(served.looks, "_look", lambda in_use: looks.append(1))
    monkeypatch.setattr(borrower.borrowerd.parts.ticker, "wake", lambda: woken.append(1))
    name = "offers.changed" if kind == "offers.changed" else "lease.recall"
    for number in range(400):
        body = {"name": "scratch", "epoch": epoch + (1 + number if kind == "of nothing here" else 0), "grace": 600.0}
        envelope = Envelope(f"n{number}", name, "node-a", None, body)
        served.owners.serve(0, borrower.kernel.link_table[0].peer_epoch, envelope)
    assert looks == [] and woken
    assert kind != "lease.recall" or len(woken) == 1  # what is known already is no news
    served.owners.answered(("node-a", "scratch"), epoch, time.monotonic(), Status("returning", 60.0, 600.0))
    assert looks == []


def test_a_recall_has_the_next_look_taken_at_once(fabric, monkeypatch):
    """The one that is due may come when the time is over."""
    _owner, borrower = lend(fabric)
    item = borrower.attachment("scratch")
    epoch = item["epoch"]
    borrower.tree.mount(borrower.tree.disks[item["address"]][1], "/data")
    served, woken = borrower.borrowerd.parts.stop.__self__, []
    monkeypatch.setattr(borrower.borrowerd.parts.ticker, "wake", lambda: woken.append(True))
    body = {"name": "scratch", "epoch": epoch, "grace": 600.0}
    envelope = Envelope("1", "lease.recall", "node-a", None, body)
    served.owners.serve(0, borrower.kernel.link_table[0].peer_epoch, envelope)
    assert woken
    woken.clear()
    served.owners.answered(("node-a", "scratch"), epoch, time.monotonic(), Status("returning", 60.0, 600.0))
    assert woken


def test_a_notice_that_comes_when_the_kernel_cannot_be_asked_is_answered_so(fabric, monkeypatch):
    _owner, borrower = lend(fabric)
    served, asked = borrower.borrowerd.parts.stop.__self__, borrower.kernel
    body = {"name": "scratch", "epoch": borrower.attachment("scratch")["epoch"], "grace": 600.0}
    envelope = Envelope("1", "lease.recall", "node-a", None, body)

    def fails():
        raise kernel.KernelError("the dump was interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(asked, "links", fails)
        with pytest.raises(PeerError, match="the dump was interrupted"):
            served.owners.serve(0, asked.link_table[0].peer_epoch, envelope)
    # What the kernel has of devices is for the look that follows, which may be the next one.
    with monkeypatch.context() as patch:
        patch.setattr(asked, "borrowed", fails)
        served.owners.serve(0, asked.link_table[0].peer_epoch, envelope)
        (item,) = served.ground.table.all()
        assert item.recall_why == "recalled by node-a"
