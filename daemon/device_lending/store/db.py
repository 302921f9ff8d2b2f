# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A SQLite file that survives power loss: WAL, synchronous=FULL, versioned schema."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import Any


class StoreError(Exception):
    """The store cannot be used; the text names the file and what to do."""


class Database:
    """One connection, shared by threads under a lock.

    `migrations[n]` takes the schema from version n to n + 1; the file's version is PRAGMA user_version.
    """

    def __init__(self, path: str, migrations: Sequence[str]) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._connection = self._open(path)
            self._migrate(migrations)
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"store {path} cannot be used: {error}. Move it away and restart: live leases are found again in the "
                "kernel, grants and attachments must be put again"
            ) from error

    @staticmethod
    def _open(path: str) -> sqlite3.Connection:
        if path != ":memory:":
            # Only root may read what is lent to whom; SQLite gives -wal and -shm the same mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _migrate(self, migrations: Sequence[str]) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(migrations):
            raise StoreError(
                f"store {self.path} has schema version {version}, this daemon knows up to {len(migrations)}; "
                "install the newer daemon again or move the file away"
            )
        for number in range(version, len(migrations)):
            with self.transaction():
                for statement in migrations[number].split(";"):
                    if statement.strip():
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version={number + 1}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when the block is left."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()
