# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A disk under the stores whose errors tests choose."""

from __future__ import annotations

import sqlite3


class Disk:
    """Fails as a test wants, for stores whose path has `only` in it."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.at = ""
        self.only = ""

    def fail(self, code=sqlite3.SQLITE_FULL, at="COMMIT", only=""):
        """Raise the error of SQLite's result code from each statement that starts with `at`, until `error` is None."""
        error = sqlite3.OperationalError({sqlite3.SQLITE_FULL: "database or disk is full"}.get(code, "no"))
        error.sqlite_errorcode = code
        self.at, self.only, self.error = at, only, error

    def check(self, name, statement):
        if self.error is not None and self.only in name and statement.startswith(self.at):
            raise self.error

    def connect(self, name, _patience):
        """Stands in for that of device_lending.store.db."""
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, *rest):
                if name.startswith("file:"):
                    disk.check(name, statement)
                return super().execute(statement, *rest)

            def executemany(self, statement, *rest):
                if name.startswith("file:"):
                    disk.check(name, statement)
                return super().executemany(statement, *rest)

        made = sqlite3.connect(
            name, check_same_thread=False, isolation_level=None, factory=Connection, uri=name.startswith("file:")
        )
        made.row_factory = sqlite3.Row
        return made
