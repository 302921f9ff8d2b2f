# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Daemons whose store is damaged or cannot be written: what is live goes on, and a device can always be taken back."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from daemon_hosts import until
from test_daemon_cli import devlend
from test_daemon_end_to_end import BORROW, DEVICE, GRANT, lend
from test_daemon_leasing import Bench

from device_lending.client import Failed
from device_lending.errors import LendingError
from device_lending.store import db
from device_lending.store.borrower import BorrowerStore

ADDRESS = DEVICE["address"]


def damage(host, daemon):
    (host.base / f"{daemon}.sqlite3").write_bytes(b"not a database" * 400)


def troubles(host):
    return [daemon.client.get("/v1/status")["store"] for daemon in (host.ownerd, host.borrowerd)]


def refused(call, *args, **options):
    with pytest.raises(Failed) as failure:
        call(*args, **options)
    return failure.value


def test_a_live_lease_outlives_the_owners_damaged_store(fabric, capsys):
    owner, borrower = lend(fabric)
    before = borrower.attachment("scratch")
    epoch = before["epoch"]
    owner.stop_owner()
    damage(owner, "ownerd")
    owner.start_owner()
    until(lambda: owner.leases()[0]["name"] == "lost-0000-03-00-0")
    assert owner.leases()[0]["epoch"] == epoch
    # Nobody else noticed, or not for long: who asks before the owner has looked hears of no such lease.
    until(lambda: borrower.attachment("scratch") == before)
    mine, other = troubles(owner)
    assert "put again" in mine and other == "" and troubles(borrower) == ["", ""]
    assert not list(borrower.base.glob("*.damaged-*")) and not list(owner.base.glob("borrowerd*.damaged-*"))
    _code, out, _err = devlend(capsys, owner, "status")
    assert "ownerd's store:" in out and str(next(owner.base.glob("*.damaged-*"))) in out
    assert "borrowerd's store" not in out
    owner.put_grants(GRANT)
    until(lambda: owner.lease("scratch")["epoch"] == epoch)


def test_a_live_attachment_outlives_the_borrowers_damaged_store(fabric):
    owner, borrower = lend(fabric)
    before = borrower.attachment("scratch")
    borrower.stop_borrower()
    damage(borrower, "borrowerd")
    borrower.start_borrower()
    assert "put again" in troubles(borrower)[1] and troubles(owner) == ["", ""]
    borrower.put_attachments(BORROW, wait=60)
    after = borrower.attachment("scratch")
    assert (after["address"], after["epoch"]) == (before["address"], before["epoch"])
    until(lambda: owner.lease("scratch")["state"] == "active")


def test_a_recall_works_with_no_byte_to_write(fabric, disk, capsys):
    owner, borrower = lend(fabric)
    disk.fail(only="ownerd")
    code, out, _err = devlend(capsys, owner, "recall", "scratch", "--force")
    assert code == 0
    done = f"scratch: {ADDRESS} is back on node-a; its grant is on hold until devlend release scratch"
    assert out.startswith(f"{done}\nKept in ")
    assert "cannot be written: database or disk is full; make room on its file system" in out
    assert (owner.leases(), owner.kernel.lents, owner.tree.driver_of(ADDRESS)) == ([], {}, "nvme")
    # What is kept in memory counts: it is not lent again.
    until(lambda: borrower.attachment("scratch")["state"] == "waiting")
    until(lambda: "recalled at" in borrower.attachment("scratch")["message"])
    disk.error = None
    until(lambda: troubles(owner) == ["", ""])
    owner.stop_owner()
    owner.start_owner()
    assert (owner.leases(), owner.grant("scratch")["state"]) == ([], "held")


def test_a_full_disk_gives_nothing_and_takes_nothing_away(fabric, disk):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    disk.fail(only="ownerd")
    error = refused(borrower.put_attachments, BORROW, wait=2)
    assert "nothing has changed" in str(error) and "database or disk is full" in str(error)
    assert (owner.leases(), owner.kernel.lents, owner.tree.driver_of(ADDRESS)) == ([], {}, "nvme")
    error = refused(owner.put_grants, ("other", DEVICE, "node-c"), purge=True)
    assert (error.status, error.code) == (507, "store_unwritable")
    assert owner.grant("scratch")["state"] == "offered"
    disk.error = None
    borrower.put_attachments(BORROW, wait=60)
    assert borrower.attachment("scratch")["state"] == "attached"


def test_a_borrower_with_a_full_disk_keeps_and_returns_what_it_has(fabric, disk):
    owner, borrower = lend(fabric)
    disk.fail(only="borrowerd")
    error = refused(borrower.put_attachments, ("other", "node-a"))
    assert (error.status, error.code) == (507, "store_unwritable")
    assert borrower.attachment("scratch")["state"] == "attached" and borrower.attachment("other") is None
    borrower.put_attachments(purge=True)
    until(lambda: owner.leases() == [])
    assert owner.tree.driver_of(ADDRESS) == "nvme"


def test_what_a_borrower_was_given_on_a_full_disk_is_written_when_there_is_room(fabric, disk):
    owner, borrower = fabric.pair()
    borrower.put_attachments(BORROW)
    disk.fail(only="borrowerd")
    owner.put_grants(GRANT)
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    epoch = borrower.attachment("scratch")["epoch"]
    assert "make room" in troubles(borrower)[1]
    disk.error = None
    until(lambda: troubles(borrower)[1] == "")
    borrower.stop_borrower()
    with contextlib.closing(BorrowerStore(str(borrower.base / "borrowerd.sqlite3"))) as store:
        assert [holding.epoch for holding in store.holdings()] == [epoch]
    borrower.start_borrower()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert owner.lease("scratch")["epoch"] == epoch


def test_a_change_says_when_it_is_in_memory_only(fabric, disk, capsys):
    owner, borrower = lend(fabric)
    disk.fail(only=".sqlite3")
    code, out, _err = devlend(capsys, borrower, "return", "scratch")
    assert code == 0 and "Kept in memory only: store " in out
    until(lambda: owner.leases() == [])
    assert "make room" in owner.put_grants(purge=True)["unwritten"]
    # What is gone already, in memory, as well.
    assert "make room" in owner.put_grants(purge=True)["unwritten"]
    disk.error = None
    assert owner.put_grants(purge=True)["changed"] is False
    until(lambda: owner.put_grants(purge=True)["unwritten"] == "")
    until(lambda: troubles(borrower) == ["", ""])


@pytest.mark.parametrize("daemon", ["ownerd", "borrowerd"])
def test_a_store_that_is_locked_at_the_start_is_gone_by_and_written_later(fabric, daemon, monkeypatch):
    monkeypatch.setattr(db, "_PATIENCE", 10)
    owner, borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    host, which = (owner, 0) if daemon == "ownerd" else (borrower, 1)
    host.stop_owner() if daemon == "ownerd" else host.stop_borrower()
    with contextlib.closing(sqlite3.connect(host.base / f"{daemon}.sqlite3", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        host.start_owner() if daemon == "ownerd" else host.start_borrower()
        assert "another program has locked it: end that program" in troubles(host)[which]
        assert owner.lease("scratch")["epoch"] == borrower.attachment("scratch")["epoch"] == epoch
        owner.recall("scratch", force=True)
        assert owner.tree.driver_of(ADDRESS) == "nvme"
    until(lambda: troubles(host)[which] == "")
    assert not list(host.base.glob("*.damaged-*"))


def test_a_live_lease_is_found_with_the_store_damaged_and_the_disk_full(fabric, disk, caplog):
    owner, borrower = lend(fabric)
    epoch = borrower.attachment("scratch")["epoch"]
    owner.stop_owner()
    damage(owner, "ownerd")
    disk.fail(only="ownerd", at="PRAGMA")
    owner.start_owner()
    until(lambda: owner.leases()[0]["epoch"] == epoch)
    name = owner.leases()[0]["name"]
    owner.recall(name, force=True)
    assert (owner.leases(), owner.tree.driver_of(ADDRESS)) == ([], "nvme")
    assert "the regular look failed" not in caplog.text


def test_no_device_is_touched_for_a_lease_that_cannot_be_written(disk, tmp_path):
    bench = Bench(tmp_path)
    epoch = bench.store.next_epoch(0.0)
    disk.fail()
    bench.store.next_epoch = lambda now, least: epoch  # the disk is full from here on
    bound = []
    bench.binder.bind = bound.append
    with pytest.raises(LendingError, match="nothing has changed"):
        bench.give()
    assert (bound, bench.state()) == ([], ([], "nvme"))
    bench.store.close()
