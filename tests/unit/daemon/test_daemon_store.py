# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The stores: rules the database keeps, and what survives what."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_lending.pci.traits import Traits
from device_lending.policy import History, Policy
from device_lending.store import borrower as borrower_store
from device_lending.store import owner as owner_store
from device_lending.store.borrower import BorrowerStore, Holding, Wanted
from device_lending.store.db import Database
from device_lending.store.owner import Grant, Lease, OwnerStore

PLACE = "1b36:0010 in slot 3, function 0"


def lease(name="a", address="0000:03:00.0", epoch=1, state="granted"):
    return Lease(name, address, "node-b", 0, 2**64 - 1, epoch, state, 1.5, "why", "nvme", Traits("S1"), PLACE)


@pytest.fixture
def store(tmp_path):
    made = OwnerStore(str(tmp_path / "o.sqlite3"))
    yield made
    made.close()


def test_everything_reads_back_as_written_after_a_restart(tmp_path):
    path = str(tmp_path / "o.sqlite3")
    store = OwnerStore(path)
    other = Grant("b", {"vendor": "8086", "device": "0a54"}, "node-c", reserve=True)
    grants = [other, Grant("a", {"serial": "x"}, "node-b", "held")]
    store.replace_grants(grants)
    store.add_lease(lease())
    epoch = store.next_epoch(1000.0)
    store.close()
    again = OwnerStore(path)
    assert again.grants() == sorted(grants, key=lambda grant: grant.name)
    assert again.leases() == [lease()]
    assert again.next_epoch(0.0) > epoch
    again.close()


def test_a_device_has_one_lease(store):
    store.add_lease(lease())
    with pytest.raises(sqlite3.IntegrityError):
        store.add_lease(lease("b", epoch=2))


def test_a_name_has_one_live_lease_but_may_have_quarantined_ones(store):
    store.add_lease(lease(state="quarantined"))
    store.add_lease(lease(address="0000:04:00.0", epoch=2))
    with pytest.raises(sqlite3.IntegrityError):
        store.add_lease(lease(address="0000:05:00.0", epoch=3))


def test_an_unknown_state_is_refused(store):
    with pytest.raises(sqlite3.IntegrityError):
        store.add_lease(lease(state="odd"))


def test_a_failed_replacement_leaves_the_grants(store):
    store.replace_grants([Grant("a", {"serial": "x"}, "node-b")])
    with pytest.raises(sqlite3.IntegrityError):
        store.replace_grants([Grant("b", {"serial": "y"}, "n"), Grant("b", {"serial": "z"}, "n")])
    assert [grant.name for grant in store.grants()] == ["a"]


@settings(max_examples=25, deadline=None)
@given(times=st.lists(st.tuples(st.floats(0, 4e9), st.integers(0, 2**50), st.booleans()), max_size=8))
def test_epochs_grow_whatever_the_clock_does(tmp_path_factory, times):
    path = str(tmp_path_factory.mktemp("epochs") / "o.sqlite3")
    store, last = OwnerStore(path), 0
    for now, least, restart in times:
        epoch = store.next_epoch(now, least)
        assert epoch > last and epoch > least
        last = epoch
        if restart:
            store.close()
            store = OwnerStore(path)
    store.close()


def test_migrations_run_once_and_in_order(tmp_path):
    path = str(tmp_path / "s")
    Database(path, ["CREATE TABLE a (x)"]).close()
    database = Database(path, ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)"])
    database.close()
    database = Database(path, ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)"])
    assert [row["x"] for row in database.rows("SELECT x FROM a")] == [1, 2]
    database.close()


def test_the_store_is_for_root_only_and_synchronous(tmp_path):
    path = tmp_path / "s"
    store = OwnerStore(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    disk = store._db._disk
    assert disk.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert disk.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()


def test_holdings_and_wanted_attachments_survive(tmp_path):
    path = str(tmp_path / "b")
    store = BorrowerStore(path)
    store.replace_wanted([Wanted("a", "node-a")])
    store.add_holding(Holding("a", "node-a", 5, 1, 0, "0000:03:00.0"))
    store.add_holding(Holding("a", "node-c", 1, 1, 0, "0000:03:00.0"))
    store.add_holding(Holding("a", "node-a", 7, 1, 0, "0000:03:00.0"))
    store.release(Holding("a", "node-a", 7, 1, 0, "0000:03:00.0"))
    store.close()
    again = BorrowerStore(path)
    assert again.wanted() == [Wanted("a", "node-a")]
    assert [(row.owner, row.epoch, row.releasing) for row in again.holdings()] == [
        ("node-c", 1, False),
        ("node-a", 7, True),
    ]
    again.remove_holding("node-a", "a", 7)
    assert [row.owner for row in again.holdings()] == ["node-c"]
    again.close()


def older_store(path, migrations, statement, row=()):
    """A store of an earlier version, with a row."""
    older = Database(path, migrations)
    with older.transaction() as connection:
        connection.execute(statement, row)
    older.close()


def test_holdings_of_an_older_store_are_kept_and_renewed(tmp_path):
    path = str(tmp_path / "b")
    row = "INSERT INTO holdings VALUES ('a', 'node-a', 5, 1, 0, '0000:03:00.0', 0)"
    older_store(path, borrower_store.MIGRATIONS[:1], row)
    newer = BorrowerStore(path)
    held = Holding("a", "node-a", 5, 1, 0, "0000:03:00.0")
    assert newer.holdings() == [held]
    newer.renew("node-a", "a", 5, 1000.5, 120.0)
    newer.renew("node-a", "a", 5, 1001.5, None)
    assert newer.holdings() == [replace(held, renewed=1001.5, ttl=120.0)]
    other = Holding("b", "node-a", 6, 1, 0, "0000:03:00.0", False, 1.0, 2.0, 2**64 - 1)
    newer.add_holding(other)
    assert newer.holdings()[1] == other
    newer.close()


def test_attachments_of_an_older_store_have_the_policy_that_was_theirs(tmp_path):
    path = str(tmp_path / "b")
    older_store(path, borrower_store.MIGRATIONS[:3], "INSERT INTO attachments VALUES ('a', 'node-a')")
    newer = BorrowerStore(path)
    assert (newer.wanted(), newer.histories()) == ([Wanted("a", "node-a", Policy())], {})
    newer.close()


def test_grants_and_leases_of_an_older_store_have_the_grace_of_the_configuration(tmp_path):
    path = str(tmp_path / "o.sqlite3")
    older_store(path, owner_store.MIGRATIONS[:5], "INSERT INTO grants VALUES ('a', '{\"serial\": \"x\"}', 'node-b', '')")
    newer = OwnerStore(path)
    grant = Grant("a", {"serial": "x"}, "node-b")
    assert newer.grants() == [grant]
    newer.add_lease(lease())
    newer.replace_grants([replace(grant, grace=60.0)])
    assert [row.grace for row in newer.leases()] == [60.0]
    newer.replace_grants([replace(grant, borrower="node-c", grace=5.0)])
    newer.replace_grants([])
    newer.close()
    again = OwnerStore(path)
    assert [row.grace for row in again.leases()] == [60.0], "as long as the lease of that grant ends"
    again.close()


def test_a_copy_that_sqlite_has_made_without_a_log_is_read(tmp_path):
    store = BorrowerStore(str(tmp_path / "b"))
    store.replace_wanted([Wanted("a", "node-a")])
    store.close()
    with closing(sqlite3.connect(tmp_path / "b")) as source:
        source.execute("VACUUM INTO ?", (str(tmp_path / "backup"),))
    with closing(sqlite3.connect(tmp_path / "backup")) as copy:
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    restored = BorrowerStore(str(tmp_path / "backup"))
    assert restored.wanted() == [Wanted("a", "node-a")]
    restored.close()


def test_what_became_of_an_attachment_is_kept_as_long_as_it_is_wanted(tmp_path):
    path = str(tmp_path / "b")
    store = BorrowerStore(path)
    wanted = [Wanted("a", "node-a", Policy(5.0, "wait", "once")), Wanted("b", "node-a")]
    store.replace_wanted(wanted)
    history = History(2, 7, 5, "loss")
    for owner, name in (("node-a", "a"), ("node-a", "b"), ("node-c", "a"), ("node-a", "unwanted")):
        store.remember(owner, name, history)
    store.replace_wanted([replace(wanted[0], policy=Policy())])
    store.close()
    again = BorrowerStore(path)
    assert again.histories() == {("node-a", "a"): history}
    again.replace_wanted([Wanted("a", "node-c")])
    assert again.histories() == {}
    again.close()


def test_leases_of_an_older_store_are_kept(tmp_path):
    path = str(tmp_path / "o.sqlite3")
    row = ("0000:03:00.0", "a", "node-b", 0, str(2**64 - 1), 1, "granted", 1.5, "why", "nvme", "S1")
    older_store(path, owner_store.MIGRATIONS[:2], f"INSERT INTO leases VALUES ({', '.join('?' * len(row))})", row)
    newer = OwnerStore(path)
    assert newer.leases() == [replace(lease(), place=None)]
    newer.add_lease(lease("b", "0000:04:00.0", 2))
    assert newer.leases()[1].place == PLACE
    newer.close()
