# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Stores that are damaged, in use, or cannot be written: none stops a daemon, nor the taking back of a device."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from daemon_hosts import until
from test_daemon_end_to_end import BORROW, DEVICE, GRANT, lend

from device_lending.client import Failed
from device_lending.errors import LendingError
from device_lending.store import db, files
from device_lending.store.borrower import BorrowerStore
from device_lending.store.db import Database, StoreBusy, StoreError
from device_lending.store.owner import Grant, OwnerStore

MANY = [Grant(f"grant-{number}", {"serial": "x" * 60}, "node-b") for number in range(200)]


def filled(path):
    store = OwnerStore(str(path))
    store.replace_grants(MANY)
    store.close()


def change(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def overwrite(path, start, count):
    with open(path, "r+b") as handle:
        handle.seek(start)
        handle.write(random.Random(start).randbytes(count))


DAMAGE = {
    "no database": lambda path: path.write_bytes(b"not a database, but long enough to be looked at" * 40),
    "header": lambda path: overwrite(path, 0, 100),
    "first page": lambda path: overwrite(path, 100, 3900),
    "middle": lambda path: overwrite(path, 8192, 4096),
    "end": lambda path: overwrite(path, path.stat().st_size - 4096, 4096),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "all but a page": lambda path: path.write_bytes(path.read_bytes()[:-4096]),
    "a page and a half": lambda path: path.write_bytes(path.read_bytes()[:6000]),
    "later version": lambda path: change(path, "PRAGMA user_version=99"),
    "earlier version than it is": lambda path: change(path, "PRAGMA user_version=1"),
    "no table of leases": lambda path: change(path, "DROP TABLE leases"),
    "another column": lambda path: change(path, "ALTER TABLE grants ADD COLUMN odd TEXT"),
    "no index": lambda path: change(path, "DROP INDEX one_live_lease_per_name"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_store_is_set_aside_and_a_new_one_begun(tmp_path, caplog, damage):
    path = tmp_path / "o.sqlite3"
    filled(path)
    DAMAGE[damage](path)
    content = path.read_bytes()
    store = OwnerStore(str(path))
    assert store.grants() == []
    store.replace_grants(MANY[:1])
    store.close()
    (aside,) = (file for file in tmp_path.glob("o.sqlite3.damaged-*") if not file.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes()[:100] == content[:100] or damage == "no database"
    assert str(aside) in caplog.text
    assert OwnerStore(str(path)).grants() == MANY[:1]


def test_what_is_sound_stays(tmp_path):
    path = tmp_path / "o.sqlite3"
    filled(path)
    store = OwnerStore(str(path))
    assert len(store.grants()) == len(MANY)
    store.close()
    assert not list(tmp_path.glob("*.damaged-*"))


def test_nothing_that_was_set_aside_is_overwritten(tmp_path):
    path = tmp_path / "s"
    names = set()
    for content in (b"one", b"two", b"three"):
        path.write_bytes(content)
        names.add(files.set_aside(str(path)))
    assert len(names) == 3


@pytest.mark.parametrize("kind", [OwnerStore, BorrowerStore])
def test_a_store_has_one_daemon(tmp_path, kind):
    path = str(tmp_path / "s")
    first = kind(path)
    with pytest.raises(StoreBusy, match="end that daemon first"):
        kind(path)
    first.close()
    kind(path).close()


def test_a_second_daemon_leaves_the_first_ones_socket_alone(fabric):
    owner, _borrower = lend(fabric)
    with pytest.raises(StoreError):
        owner.start_owner()
    until(lambda: owner.lease("scratch")["state"] == "active")


@pytest.mark.parametrize("damage", ["header", "half of it", "later version"])
def test_the_owner_goes_on_with_what_is_live(fabric, damage):
    owner, borrower = lend(fabric)
    epoch = owner.lease("scratch")["epoch"]
    owner.stop_owner()
    DAMAGE[damage](owner.base / "ownerd.sqlite3")
    owner.start_owner()
    until(lambda: [lease["epoch"] for lease in owner.leases()] == [epoch])
    owner.put_grants(GRANT)
    assert owner.lease("scratch")["epoch"] == epoch
    assert borrower.attachment("scratch")["state"] == "attached"


def test_no_lease_is_given_that_cannot_be_remembered(fabric, disk):
    owner, borrower = fabric.pair()
    owner.put_grants(GRANT)
    disk.fail(only="ownerd")
    with pytest.raises(Failed) as failure:
        borrower.put_attachments(BORROW, wait=1)
    assert "none is given by host node-a" in str(failure.value)
    assert not owner.kernel.lents
    with pytest.raises(Failed) as failure:
        owner.put_grants(("scratch", DEVICE, "node-c"))
    assert failure.value.status == 507
    disk.error = None
    until(lambda: borrower.attachment("scratch")["state"] == "attached")


def test_a_store_that_somebody_locks_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(db, "_PATIENCE", 10)
    path = tmp_path / "s"
    database = Database(str(path), ["CREATE TABLE a (x)"])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LendingError, match="locked"), database.transaction(durable=True) as connection:
            connection.execute("INSERT INTO a VALUES (1)")
        other.execute("ROLLBACK")
    with database.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (2)")
    assert [row["x"] for row in database.rows("SELECT x FROM a")] == [2]
    database.close()
