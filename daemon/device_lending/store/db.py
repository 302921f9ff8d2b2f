# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A SQLite file that survives power loss: WAL, synchronous=FULL, versioned schema. One that is damaged is set aside."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec

from device_lending.store import keeping

log = logging.getLogger("device_lending.store")
P = ParamSpec("P")


class StoreError(Exception):
    """The store cannot be used, or not written just now; the text names the file and what to do."""


class StoreBusy(StoreError):
    """Another daemon of this kind uses the store."""


def note(write: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> None:
    """Write down what is true already. A store that cannot be written holds up nothing that follows."""
    try:
        write(*arguments, **named)
    except StoreError as error:
        log.error("%s", error)


class _Damaged(Exception):
    """What is wrong with a file that cannot be used as it is."""


class Database:
    """One connection, shared by threads under a lock.

    `migrations[n]` takes the schema from version n to n + 1; the file's version is PRAGMA user_version. A file that is
    damaged, or not of this daemon's making, is renamed and a new one begun. Raises StoreError.
    """

    def __init__(self, path: str, migrations: Sequence[str]) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._claim: int | None = keeping.claim(path)
        except BlockingIOError as error:
            raise StoreBusy(f"store {path} is in use: another daemon of this kind runs; end it first") from error
        except OSError as error:
            raise StoreError(f"store {path} cannot be used: {error}") from error
        try:
            self._connection = self._usable(path, migrations)
        except BaseException:
            os.close(self._claim)
            raise

    @staticmethod
    def _usable(path: str, migrations: Sequence[str]) -> sqlite3.Connection:
        try:
            return _opened(path, migrations)
        except _Damaged as damage:
            name = keeping.set_aside(path)
            log.error(
                "store %s cannot be used: %s. It is kept as %s, and a new one begun: live leases are found again in "
                "the kernel, grants and attachments must be put again",
                path,
                damage,
                name,
            )
        return _opened(path, migrations)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when the block is left. Raises StoreError when it cannot be written."""
        with self._lock:
            try:
                with _whole(self._connection):
                    yield self._connection
            except sqlite3.OperationalError as error:
                text = f"store {self.path} cannot be written: {error}; see that there is room for it"
                raise StoreError(text) from error

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    def close(self) -> None:
        """Let go of it; again, it does nothing."""
        with self._lock:
            self._connection.close()
            claim, self._claim = self._claim, None
        if claim is not None:
            os.close(claim)


@contextlib.contextmanager
def _whole(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has undone it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _opened(path: str, migrations: Sequence[str]) -> sqlite3.Connection:
    """A connection to a sound file of this daemon's schema. Raises _Damaged, StoreError."""
    try:
        # Only root may read what is lent to whom; SQLite gives -wal and -shm the same mode.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"store {path} cannot be used: {error}") from error
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        _migrate(connection, migrations)
        _check(connection, migrations)
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:  # such as a table that is not there
            raise _Damaged(str(error)) from error
        raise StoreError(f"store {path} cannot be used: {error}; see who uses it, and that there is room") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _Damaged(str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise _Damaged(f"it has schema version {version}, this daemon knows up to {len(migrations)}")
    for number in range(version, len(migrations)):
        with _whole(connection):
            for statement in migrations[number].split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number + 1}")


def _check(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    found = connection.execute("PRAGMA quick_check").fetchone()[0]
    if found != "ok":
        raise _Damaged(str(found))
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        _migrate(model, migrations)
        if _tables(connection) != _tables(model):
            raise _Damaged("its tables are not those of this daemon")


def _tables(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    return {tuple(map(str, row)) for row in rows}
