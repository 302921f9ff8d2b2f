# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Stores that are damaged, locked, or cannot be written: what is kept, what is set aside, and what is said."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_lending.errors import LendingError
from device_lending.pci.traits import Traits
from device_lending.store import db, files
from device_lending.store.borrower import BorrowerStore, Holding, Wanted
from device_lending.store.owner import MIGRATIONS, Ban, Grant, Lease, OwnerStore

GRANTS = [Grant(f"grant-{number:03}", {"serial": f"SER-{number}"}, "node-b") for number in range(200)]
HELD = Lease("a", "0000:03:00.0", "node-b", 0, 2**64 - 1, 7, "active", 1.5, "", "nvme", Traits("S1"))
PAGE = 4096


@pytest.fixture
def path(tmp_path):
    """Where a store is, closed, with grants on several pages and a lease."""
    made = tmp_path / "store" / "o.sqlite3"
    made.parent.mkdir()
    store = OwnerStore(str(made))
    store.replace_grants(GRANTS)
    store.add_lease(HELD)
    store.close()
    return made


def killed(path):
    """The store as a daemon leaves it that is killed after two more changes: they are in its log."""
    store = OwnerStore(str(path))
    store.hold("grant-000", "first")
    store.hold("grant-001", "second")
    copied = path.with_name("killed")
    for part in ("", "-wal"):
        shutil.copy(f"{path}{part}", f"{copied}{part}")
    store.close()
    for part in ("", "-wal"):
        Path(f"{copied}{part}").rename(f"{path}{part}")


def aside(path):
    return sorted(path.parent.glob("*.damaged-*"))


@contextlib.contextmanager
def opened(path, kind=OwnerStore):
    store = kind(str(path))
    try:
        yield store
    finally:
        store.close()


def cut(length):
    def damage(path):
        with path.open("r+b") as file:
            file.truncate(length)

    return damage


def overwritten(start, length):
    def damage(path):
        with path.open("r+b") as file:
            file.seek(start)
            file.write(random.Random(start).randbytes(length))

    return damage


def changed(*statements):
    def damage(path):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return damage


def replaced(make):
    def damage(path):
        path.unlink()
        make(path)

    return damage


def rows_out_of_reach(path):
    """One reference less in a page of references: all that is left can be read."""
    octets = bytearray(path.read_bytes())
    page = next(start for start in range(PAGE, len(octets), PAGE) if octets[start] == 2)
    count = int.from_bytes(octets[page + 3 : page + 5], "big")
    octets[page + 3 : page + 5] = (count - 1).to_bytes(2, "big")
    path.write_bytes(octets)


def deep(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE grants SET device = ?", ("[" * 100000,))
        connection.commit()


def log_only(path):
    killed(path)
    path.unlink()


def log_overwritten(start, length):
    def damage(path):
        killed(path)
        overwritten(start, length)(Path(f"{path}-wal"))

    return damage


DAMAGES = {
    "cut to nothing": cut(0),
    "cut in the header": cut(50),
    "cut to a page": cut(PAGE),
    "cut in a page": cut(2 * PAGE + 100),
    "cut by an octet": lambda path: cut(path.stat().st_size - 1)(path),
    "cut by a page": lambda path: cut(path.stat().st_size - PAGE)(path),
    "another header": overwritten(0, 100),
    "another start": overwritten(0, 16),
    "another schema page": overwritten(100, PAGE - 100),
    "another page in the middle": overwritten(3 * PAGE, PAGE),
    "another head of a page": overwritten(2 * PAGE, 32),
    "rows out of reach": rows_out_of_reach,
    "all random": overwritten(0, 20 * PAGE),
    "text": replaced(lambda path: path.write_bytes(b"not a database, but long enough to be looked at" * 400)),
    "a directory": replaced(Path.mkdir),
    "a log without its database": log_only,
    "shared memory without its database": lambda path: path.rename(f"{path}-shm"),
    "a log with another header": log_overwritten(0, 32),
    "a log of nothing it knows": lambda path: Path(f"{path}-wal").write_bytes(b"x" * 5000),
    "a log that is too short": lambda path: Path(f"{path}-wal").write_bytes(b"x"),
    "a log with a change that is not the last": log_overwritten(32 + 24 + 100, 500),
    "a directory as its log": lambda path: Path(f"{path}-wal").mkdir(),
    "a directory as its shared memory": lambda path: Path(f"{path}-shm").mkdir(),
    "a later version": changed("PRAGMA user_version=99"),
    "no version": changed("PRAGMA user_version=0"),
    "an earlier version": changed("PRAGMA user_version=1"),
    "a table less": changed("DROP TABLE leases"),
    "a table more": changed("CREATE TABLE more (x)"),
    "a column less": changed("ALTER TABLE grants DROP COLUMN held"),
    "a column more": changed("ALTER TABLE grants ADD COLUMN more TEXT"),
    "a column of another kind": changed(
        "DROP TABLE bans", "CREATE TABLE bans (host TEXT PRIMARY KEY, since BLOB NOT NULL) WITHOUT ROWID"
    ),
    "an index less": changed("DROP INDEX one_live_lease_per_name"),
    "a trigger": changed("CREATE TRIGGER t AFTER INSERT ON leases BEGIN SELECT RAISE(ABORT, 'no'); END"),
    "a number that is text": changed("UPDATE leases SET since = 'then'"),
    "text that is not UTF-8": changed("UPDATE grants SET held = CAST(x'ff' AS TEXT)"),
    "an epoch that is no number": changed("UPDATE leases SET peer_epoch = 'x'"),
    "an epoch that is too great": changed("UPDATE leases SET peer_epoch = '18446744073709551616'"),
    "an epoch below zero": changed("UPDATE leases SET epoch = -1"),
    "a link that is too great": changed("UPDATE leases SET link = 1 << 40"),
    "a time after all years": changed("UPDATE leases SET since = 1e300"),
    "a time without end": changed("UPDATE leases SET seen = 9e999"),
    "an address that is none": changed("UPDATE leases SET address = '../../../etc'"),
    "a borrower that is none": changed("UPDATE grants SET borrower = '' WHERE name = 'grant-000'"),
    "a state that is none": changed("PRAGMA ignore_check_constraints=ON", "UPDATE leases SET state = 'odd'"),
    "a last epoch below zero": changed("INSERT OR REPLACE INTO meta VALUES ('epoch', -5)"),
    "a ban after all years": changed("INSERT INTO bans VALUES ('node-c', 1e300)"),
    "a host behind a bridge that is none": changed("INSERT INTO peers VALUES ('0000:01:00.0', '')"),
    "a device that is nested too deep": deep,
    "a device that is not JSON": changed("UPDATE grants SET device = '{'"),
    "a device that is no selector": changed("""UPDATE grants SET device = '{"addrexs": "x"}'"""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_set_aside_and_a_new_one_made(path, damage, caplog):
    DAMAGES[damage](path)
    with opened(path) as store:
        assert (store.grants(), store.leases()) == ([], [])
        kept = aside(path)[0]
        name = str(kept).removesuffix("-wal").removesuffix("-shm")
        (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert said == store.trouble
        for part in (f"store {path} could not be used: ", f"It is {name} now", "put again"):
            assert part in said
        assert store.unwritten == ""
        store.replace_grants(GRANTS[:2])
    with opened(path) as store:
        assert (store.grants(), store.trouble) == (GRANTS[:2], "")
    assert aside(path)[0] == kept


@pytest.mark.parametrize("damage", ["another header", "a later version", "a log with another header"])
def test_what_is_set_aside_is_as_it_was(path, damage):
    DAMAGES[damage](path)
    before = [Path(name).read_bytes() for name in files.present(str(path)) if not name.endswith("-shm")]
    opened_once = OwnerStore(str(path))
    opened_once.close()
    assert [file.read_bytes() for file in aside(path) if not file.name.endswith("-shm")] == before


def test_what_was_set_aside_before_stays(path):
    for count in range(1, 4):
        cut(50 + count)(path)
        OwnerStore(str(path)).close()
        assert sorted(file.stat().st_size for file in aside(path)) == [51 + number for number in range(count)]
        with opened(path) as store:
            store.replace_grants(GRANTS)


BORROWERS_DAMAGES = {
    "another header": overwritten(0, 100),
    "half of it": cut(6000),
    "a later version": changed("PRAGMA user_version=99"),
    "a table less": changed("DROP TABLE holdings"),
    "an owner that is none": changed("UPDATE attachments SET owner = ''"),
    "an epoch that is no number": changed("UPDATE holdings SET peer_epoch = 'x'"),
    "a host behind a bridge that is none": changed("INSERT INTO peers VALUES ('0000:01:00.0', '')"),
    "a handle below zero": changed("UPDATE holdings SET handle = -1"),
    "a link that is too great": changed("UPDATE holdings SET link = 1 << 40"),
    "a time that is text": changed("UPDATE holdings SET ttl = 'long'"),
    "a time without end": changed("UPDATE holdings SET ttl = 9e999"),
    "a time after all years": changed("UPDATE holdings SET renewed = 1e300"),
    "a grace below zero": changed("UPDATE attachments SET grace = -1"),
    "a loss that means nothing known": changed("UPDATE attachments SET on_loss = 'hope'"),
    "a number of times that is not known": changed("UPDATE attachments SET attach_again = 'twice'"),
    "an end that is not known": changed("INSERT INTO histories VALUES ('node-a', 'a', 1, 5, 5, 'fire', '[]')"),
    "a former name that is a number": changed("INSERT INTO histories VALUES ('node-a', 'a', 1, 5, 5, '', '[7]')"),
    "an epoch below zero": changed("INSERT INTO histories VALUES ('node-a', 'a', 1, -5, 5, '', '[]')"),
}


@pytest.mark.parametrize("damage", BORROWERS_DAMAGES)
def test_a_borrowers_store_is_set_aside_as_well(tmp_path, damage):
    path = tmp_path / "b.sqlite3"
    with opened(path, BorrowerStore) as store:
        store.replace_wanted([Wanted("a", "node-a")])
        store.add_holding(Holding("a", "node-a", 5, 1, 0, "0000:03:00.0"))
    BORROWERS_DAMAGES[damage](path)
    with opened(path, BorrowerStore) as store:
        assert store.wanted() == [] and "could not be used" in store.trouble
        store.replace_wanted([Wanted("b", "node-a")])
    with opened(path, BorrowerStore) as store:
        assert store.wanted() == [Wanted("b", "node-a")]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), start=st.integers(0, 40000), length=st.integers(1, 9000), log=st.booleans())
def test_no_damage_stops_it(tmp_path_factory, seed, start, length, log):
    path = tmp_path_factory.mktemp("damage") / "o.sqlite3"
    with opened(path) as store:
        store.replace_grants(GRANTS)
        store.add_lease(HELD)
    killed(path)
    damaged = Path(f"{path}-wal") if log else path
    start %= damaged.stat().st_size
    with damaged.open("r+b") as file:
        file.seek(start)
        file.write(random.Random(seed).randbytes(length))
    with opened(path) as store:
        assert bool(aside(path)) == bool(store.trouble)
        assert len(store.grants()) == len(GRANTS) or store.trouble
        store.leases()
        store.replace_grants(GRANTS[:2])
    with opened(path) as store:
        assert store.grants() == GRANTS[:2]


@pytest.mark.parametrize(
    "harmless",
    [
        lambda path: None,
        lambda path: Path(f"{path}-wal").write_bytes(bytes(4096)),  # made, and never written
        lambda path: Path(f"{path}-shm").write_bytes(b"x" * 40000),
        # A crash while the last change was written.
        lambda path: cut(Path(f"{path}-wal").stat().st_size - 1)(Path(f"{path}-wal")),
    ],
)
def test_what_a_crash_leaves_is_no_damage(path, harmless):
    killed(path)
    harmless(path)
    with opened(path) as store:
        assert (len(store.grants()), store.leases(), store.trouble) == (len(GRANTS), [HELD], "")
        store.replace_grants(GRANTS[:2])
    with opened(path) as store:
        assert store.grants() == GRANTS[:2]
    assert not aside(path)


def test_what_is_in_the_log_is_read(path):
    killed(path)
    with opened(path) as store:
        assert [grant.held for grant in store.grants()[:3]] == ["first", "second", ""]


def with_a_long_log(path, long=80):
    """The store as it is found while another program reads it: in its log is all that was ever written meanwhile."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        for text in ("x" * (long << 20), "at last"):
            connection.execute("UPDATE grants SET held = ? WHERE name = 'grant-000'", (text,))
        copied = path.with_name("copied")
        for part in ("", "-wal"):
            shutil.copy(f"{path}{part}", f"{copied}{part}")
    for part in ("", "-wal"):
        Path(f"{copied}{part}").rename(f"{path}{part}")
    assert Path(f"{path}-wal").stat().st_size > long << 20


def test_a_long_log_is_no_damage_and_takes_no_memory(path, monkeypatch):
    with_a_long_log(path)
    places, copy = set(), files._copy

    def copied(name, target):
        places.add(Path(target).parent.parent)
        copy(name, target)

    monkeypatch.setattr(files, "_copy", copied)
    monkeypatch.setattr(files, "_PLACES_FOR_MUCH", (str(path.parent),))
    tracemalloc.start()
    try:
        store = OwnerStore(str(path))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(store.grants()), store.grants()[0].held, store.trouble) == (len(GRANTS), "at last", "")
    assert places == {path.parent} and peak < 16 << 20
    store.close()
    assert not aside(path)


def test_a_long_log_with_a_change_that_is_not_sound_is_damage(path):
    with_a_long_log(path)
    overwritten(1 << 20, 5000)(Path(f"{path}-wal"))
    with opened(path) as store:
        assert "its log is not sound after" in store.trouble and "2 changes follow" in store.trouble


def test_what_is_no_log_is_not_copied_however_long_it_is(path, monkeypatch):
    with Path(f"{path}-wal").open("wb") as file:
        file.write(random.Random(1).randbytes(4096))
        file.truncate(1 << 40)
    monkeypatch.setattr(files, "copy", None)
    with opened(path) as store:
        assert "the header of its log is not SQLite's" in store.trouble
    assert len(aside(path)) == 2


def test_a_database_that_is_longer_than_any_store_is_damage(path):
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with opened(path) as store:
        assert "more than any store" in store.trouble


def test_the_log_is_short_again_once_no_other_program_reads_the_store(path):
    store = OwnerStore(str(path))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM grants").fetchall()
        for turn in range(40):
            store.hold("grant-000", str(turn) * 200_000)
        assert Path(f"{path}-wal").stat().st_size > 4 << 20
    for turn in range(3):
        store.hold("grant-000", str(turn))
    assert Path(f"{path}-wal").stat().st_size <= 1 << 20
    store.close()


@pytest.mark.parametrize("damage", [overwritten(0, 100), cut(0), Path.unlink, replaced(Path.mkdir)])
def test_damage_under_a_running_daemon_loses_nothing(path, damage):
    store = OwnerStore(str(path))
    damage(path)
    store._db._close_disk()  # it is not read again before: SQLite has its pages in memory
    store.hold("grant-000", "held")
    store.close()
    with opened(path) as again:
        assert (len(again.grants()), again.grants()[0].held, again.leases()) == (len(GRANTS), "held", [HELD])


def test_a_store_that_was_removed_under_the_daemon_is_written_anew(path):
    store = OwnerStore(str(path))
    for name in files.present(str(path)):
        Path(name).unlink()
    store.hold("grant-000", "held")
    store.close()
    with opened(path) as again:
        assert again.grants()[0].held == "held"


FAULTS = [
    (sqlite3.SQLITE_FULL, "COMMIT"),
    (sqlite3.SQLITE_FULL, ("DELETE", "INSERT")),
    (sqlite3.SQLITE_IOERR_WRITE, "COMMIT"),
    (sqlite3.SQLITE_READONLY, "BEGIN"),
    (sqlite3.SQLITE_CANTOPEN, "PRAGMA"),
]


@pytest.mark.parametrize(("code", "at"), FAULTS)
def test_what_takes_back_goes_on_in_memory_and_is_written_later(path, disk, caplog, code, at):
    store = OwnerStore(str(path))
    disk.fail(code, at)
    store.hold("grant-000", "recalled")
    store.set_lease(HELD.address, "returning", "recalled")
    store.remove_lease(HELD.address)
    store.replace_grants(store.grants()[:100])
    store.add_ban(Ban("node-c", 1.0))
    assert (len(store.grants()), store.grants()[0].held, store.leases()) == (100, "recalled", [])
    assert store.unwritten.startswith(f"store {path} cannot be written: ")
    assert caplog.text.count("cannot be written") == 1
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM leases").fetchone() == (1,)
    disk.error = None
    store.save()
    assert store.unwritten == store.trouble == "" and "is written again" in caplog.text
    # As if killed now: nothing is left to be written at its end.
    store._db._close_disk()
    store._db._claim.release()
    with opened(path) as again:
        assert (len(again.grants()), again.grants()[0].held, again.leases()) == (100, "recalled", [])
        assert [ban.host for ban in again.bans()] == ["node-c"]


@pytest.mark.parametrize(("code", "at"), FAULTS)
def test_what_gives_is_refused_and_changes_nothing(path, disk, code, at):
    store = OwnerStore(str(path))
    epoch = store.next_epoch(0.0)
    disk.fail(code, at)
    gives = [
        lambda: store.next_epoch(0.0),
        lambda: store.replace_grants([*GRANTS, Grant("new", {"serial": "x"}, "node-b")]),
        lambda: store.replace_grants([Grant("grant-000", {"serial": "SER-0"}, "node-c")]),
        lambda: store.add_lease(Lease("b", "0000:04:00.0", "node-b", 0, 1, 8, "granted", 1.0), durable=True),
    ]
    for give in gives:
        with pytest.raises(LendingError) as failure:
            give()
        assert (failure.value.code, failure.value.status) == ("store_unwritable", 507)
        assert failure.value.message.endswith("nothing has changed")
    assert (store.grants(), store.leases()) == (GRANTS, [HELD])
    disk.error = None
    assert store.next_epoch(0.0) > epoch
    store.close()


def test_a_full_disk_says_what_to_do(path, disk):
    store = OwnerStore(str(path))
    disk.fail(sqlite3.SQLITE_FULL, "COMMIT")
    store.hold("grant-000", "x")
    assert store.trouble.endswith("database or disk is full; make room on its file system")
    store.close()


def test_borrowed_devices_go_on_without_the_disk(tmp_path, disk):
    path = tmp_path / "b.sqlite3"
    store = BorrowerStore(str(path))
    store.replace_wanted([Wanted("a", "node-a"), Wanted("b", "node-a")])
    disk.fail(sqlite3.SQLITE_FULL, "COMMIT")
    store.add_holding(Holding("a", "node-a", 5, 1, 0, "0000:03:00.0"))
    store.release(Holding("a", "node-a", 5, 1, 0, "0000:03:00.0"))
    with pytest.raises(LendingError, match="nothing has changed"):
        store.replace_wanted([Wanted("a", "node-a"), Wanted("c", "node-a")])
    store.replace_wanted([Wanted("b", "node-a")])
    assert [holding.releasing for holding in store.holdings()] == [True]
    assert store.wanted() == [Wanted("b", "node-a")]
    disk.error = None
    store.close()
    with opened(path, BorrowerStore) as again:
        assert (again.wanted(), len(again.holdings())) == ([Wanted("b", "node-a")], 1)


def test_a_start_on_a_disk_that_cannot_be_written_knows_all(path, disk):
    killed(path)
    disk.fail(sqlite3.SQLITE_CANTOPEN, "PRAGMA")
    store = OwnerStore(str(path))
    assert (len(store.grants()), store.leases()) == (len(GRANTS), [HELD])
    assert "cannot be written" in store.trouble
    store.close()
    assert not aside(path)


def test_a_damaged_store_that_cannot_be_moved_is_not_written_over(path, monkeypatch):
    changed("UPDATE grants SET device = '{'")(path)
    before = path.read_bytes()

    def fail(_path):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as stuck:
        stuck.setattr(files, "set_aside", fail)
        store = OwnerStore(str(path))
        store.add_lease(HELD)
        assert "cannot be set aside: [Errno 30] Read-only file system" in store.trouble
        assert path.read_bytes() == before
    store.save()
    assert [file.read_bytes() for file in aside(path)] == [before]
    store.close()
    with opened(path) as again:
        assert again.leases() == [HELD]


def test_a_missing_directory_does_not_stop_it(tmp_path):
    path = tmp_path / "none" / "o.sqlite3"
    with opened(path) as store:
        store.add_lease(HELD)
        assert "No such file or directory" in store.trouble
        path.parent.mkdir()
    with opened(path) as store:
        assert store.leases() == [HELD]


@pytest.fixture
def locked(path, monkeypatch):
    """A store that another program has locked, at the start of a daemon and as long as the test wants."""
    monkeypatch.setattr(db, "_PATIENCE", 50)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield other


def test_a_store_locked_by_another_program_is_read_and_written_later(path, locked):
    store = OwnerStore(str(path))
    assert (store.grants(), store.leases()) == (GRANTS, [HELD])
    assert store.trouble.endswith("another program has locked it: end that program")
    store.remove_lease(HELD.address)
    with pytest.raises(LendingError, match="another program has locked it"):
        store.next_epoch(0.0)
    locked.close()
    store.save()
    assert store.trouble == ""
    store.next_epoch(0.0)
    store.close()
    with opened(path) as again:
        assert again.leases() == []
    assert not aside(path)


def test_a_locked_store_is_waited_for_once(path, locked, monkeypatch):
    waits = []
    connect = db._connect
    monkeypatch.setattr(db, "_connect", lambda name, patience: waits.append(patience) or connect(name, patience))
    store = OwnerStore(str(path))
    for address in (HELD.address, "0000:04:00.0"):
        store.remove_lease(address)
    assert [wait for wait in waits if wait] == [50] and len(waits) > 3
    store.close()


def test_a_full_file_system(tmp_path):
    """The real thing, where it can be had."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        path = small / "o.sqlite3"
        with opened(path) as store:
            store.replace_grants(GRANTS[:10])
            store.add_lease(HELD)
        ballast = small / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
        store = OwnerStore(str(path))
        assert (store.grants(), store.leases()) == (GRANTS[:10], [HELD])
        store.remove_lease(HELD.address)
        assert store.leases() == [] and store.unwritten
        with pytest.raises(LendingError, match="nothing has changed"):
            store.next_epoch(0.0)
        ballast.unlink()
        store.save()
        assert store.trouble == ""
        store.close()
        with opened(path) as again:
            assert (again.grants(), again.leases()) == (GRANTS[:10], [])
    finally:
        subprocess.run(["umount", small], check=True)


def test_older_stores_become_those_of_today(path):
    old = path.with_name("old")
    db.Database(str(old), MIGRATIONS[:1]).close()
    with opened(old) as store:
        store.add_ban(Ban("node-c", 1.0))
    with opened(old) as store:
        assert (store.bans(), store.trouble) == ([Ban("node-c", 1.0)], "")
