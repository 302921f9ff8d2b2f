# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A store that no trouble with its disk stops: SQLite in memory, which is what the daemon goes by, and on disk.

On disk it survives power loss: WAL, synchronous=FULL, versioned schema. Each change makes the rows there those of
memory; so what could not be written once is written with the next change that can be.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from device_lending.errors import LendingError
from device_lending.store import files, wal
from device_lending.store.examine import Damaged, examine, migrate, version
from device_lending.store.lock import Lock
from device_lending.store.rows import bring

log = logging.getLogger("device_lending.store")

# Octets of the log that stay once all of it is in the database: it may have grown while another program read the store.
_LOG_KEPT = 1 << 20
# Milliseconds for another program that has locked the file.
_PATIENCE = 2000
_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another program has locked it: end that program",
    sqlite3.SQLITE_READONLY: "make its file system writable",
    sqlite3.SQLITE_FULL: "make room on its file system",
}
_LOST = "live leases are found again in the kernel, grants and attachments must be put again"
_KEPT = "all that was in it is in a new one"

Check = Callable[[sqlite3.Connection], None]


class StoreError(Exception):
    """The store cannot be used by this daemon; the text names the file and what to do."""


class StoreBusy(StoreError):
    """Another daemon of this kind uses the store."""


class Database:
    """One store, shared by threads under a lock.

    `migrations[n]` takes the schema from version n to n + 1; the file's version is PRAGMA user_version. `check` raises
    ValueError for rows that make no sense. A damaged file is set aside, and a new one made. Raises StoreBusy, and
    StoreError when there is no room in memory to read the store.
    """

    def __init__(self, path: str, migrations: Sequence[str], check: Check = lambda _connection: None) -> None:
        self.path = path
        self._migrations = migrations
        self._check = check
        self._lock = threading.RLock()
        self._claim = Lock(path)
        self._memory = _connect(":memory:", 0)
        self._disk: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._unusable = ""
        self._set_aside: list[str] = []
        self._unwritten = ""
        self._closed = False
        self._alone()
        try:
            self._load()
        except BaseException:
            self._claim.release()
            raise
        migrate(self._memory, migrations)
        self._write()

    @property
    def unwritten(self) -> str:
        """Why the disk lacks what the daemon knows, and what would mend it; "" when it has all."""
        return self._unwritten

    @property
    def trouble(self) -> str:
        """What a person should know of this store: what was set aside since the start, what is not written."""
        return "; ".join([*self._set_aside, self._unwritten] if self._unwritten else self._set_aside)

    @contextlib.contextmanager
    def transaction(self, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when the block is left, or `unwritten` says why not.

        With `durable` a change that cannot be written is undone. Raises LendingError store_unwritable then.
        """
        with self._lock:
            self._memory.execute("BEGIN")
            try:
                yield self._memory
                if not self._write() and durable:
                    raise unwritable(self._unwritten)
            except BaseException:
                self._memory.execute("ROLLBACK")
                raise
            self._memory.execute("COMMIT")

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._memory.execute(query, parameters).fetchall()

    def save(self) -> None:
        """Write what could not be written before, if it can be now."""
        with self._lock:
            if self._unwritten:
                self._write()

    def close(self) -> None:
        """Let go of it; again, it does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.save()
            self._close_disk()
            self._memory.close()
            self._claim.release()

    def _alone(self) -> None:
        """Raises StoreBusy."""
        if self.path == ":memory:":
            return
        try:
            self._claim.take()
        except BlockingIOError as error:
            text = f"store {self.path} is in use: another process holds {self._claim.name}; end that daemon first"
            raise StoreBusy(text) from error

    def _load(self) -> None:
        """Take what is on disk into memory. Raises StoreError.

        It is read from a copy, so that neither another program's lock nor a full disk matters.
        """
        if self.path == ":memory:":
            return
        try:
            with files.reading(self.path):
                files.check(self.path)
                wal.check(self.path + files.LOG)
            if files.present(self.path):
                with files.copy(self.path) as copied, contextlib.closing(_connect(copied, 0)) as found:
                    self._take(found, copied)
        except (Damaged, sqlite3.Error, ValueError, RecursionError) as error:
            self._unusable = str(error)
            self._memory.close()
            self._memory = _connect(":memory:", 0)
        except OSError as error:
            raise StoreError(f"store {self.path} cannot be read for now: {error}") from error

    def _take(self, found: sqlite3.Connection, copied: str) -> None:
        size = os.stat(copied).st_size
        examine(found, self._migrations)
        _busy, frames, _moved = found.execute("PRAGMA wal_checkpoint").fetchone()
        wal.check_rest(copied + files.LOG, max(frames, 0))
        if frames <= 0 and size % found.execute("PRAGMA page_size").fetchone()[0]:
            raise Damaged("its last page is cut short")
        migrate(self._memory, self._migrations[: version(found)])
        bring(found, self._memory)
        migrate(self._memory, self._migrations)
        self._check(self._memory)

    def _put_aside(self, why: str, consequence: str) -> None:
        """Let a file that cannot be used make room for a new one, and say so. Raises Damaged when it must stay."""
        try:
            aside = files.set_aside(self.path)
        except OSError as error:
            raise Damaged(f"{why}; it cannot be set aside: {error}") from error
        text = f"store {self.path} could not be used: {why}. It is {aside} now; {consequence}"
        self._set_aside.append(text)
        log.error("%s", text)

    def _write(self) -> bool:
        """Make the disk hold what memory holds, a transaction under way included; whether that went well."""
        if self.path == ":memory:":
            return True
        try:
            self._alone()
            if self._unusable:
                self._put_aside(self._unusable, _LOST)
                self._unusable = ""
            try:
                self._write_disk()
            except (Damaged, sqlite3.DatabaseError) as error:
                # What may pass, such as a lock or a full disk, is an OperationalError.
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._close_disk()
                self._put_aside(str(error), _KEPT)
                self._write_disk()
        except (StoreBusy, Damaged, sqlite3.Error, OSError) as error:
            self._close_disk()
            self._tell(f"store {self.path} cannot be written: {error}{_remedy(error)}")
            return False
        self._tell("")
        return True

    def _write_disk(self) -> None:
        if self._opened != files.identity(self.path):
            self._close_disk()  # somebody has moved or removed it
        if self._disk is None:
            if not files.present(self.path):
                self._create()
            self._disk = self._open()
            self._opened = files.identity(self.path)
        self._disk.execute(f"PRAGMA busy_timeout={self._patience}")
        self._disk.execute("BEGIN IMMEDIATE")
        self._disk.execute("COMMIT" if bring(self._memory, self._disk) else "ROLLBACK")

    def _create(self) -> None:
        """A new file with all that is in memory. It has no log yet that a crash could part it from."""
        with files.fresh(self.path) as name, contextlib.closing(_connect(name, 0)) as made:
            made.execute("PRAGMA journal_mode=MEMORY")  # what a crash leaves of it is no store
            migrate(made, self._migrations)
            made.execute("BEGIN")
            bring(self._memory, made)
            made.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        files.check(self.path)
        connection = _connect(f"{Path(self.path).absolute().as_uri()}?mode=rw", self._patience)  # never made here
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={_LOG_KEPT}")
            examine(connection, self._migrations)
            migrate(connection, self._migrations)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def _patience(self) -> int:
        """Milliseconds. Only once: a recall must not wait for each thing that it would write."""
        return 0 if self._unwritten else _PATIENCE

    def _close_disk(self) -> None:
        """What was not committed is rolled back."""
        if self._disk is not None:
            with contextlib.suppress(sqlite3.Error):
                self._disk.close()
            self._disk = None

    def _tell(self, unwritten: str) -> None:
        if unwritten and unwritten != self._unwritten:
            log.error("%s; until then changes are kept in memory, and lost with the daemon", unwritten)
        elif self._unwritten and not unwritten:
            log.warning("store %s is written again", self.path)
        self._unwritten = unwritten


def unwritable(why: str) -> LendingError:
    """The refusal of what must be on disk before it counts."""
    return LendingError("store_unwritable", f"{why}; nothing has changed", status=507)


def _connect(path: str, patience: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, check_same_thread=False, isolation_level=None, timeout=patience / 1000, uri=path.startswith("file:")
    )
    connection.row_factory = sqlite3.Row
    return connection


def _remedy(error: Exception) -> str:
    # The low octet says what failed, the others where.
    text = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return f"; {text}" if text else ""
