# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Which host is known behind which NTB function; the same table in the stores of both daemons."""

from __future__ import annotations

import sqlite3

from device_lending.store import values
from device_lending.store.db import Database

SCHEMA = "CREATE TABLE peers (ntb TEXT PRIMARY KEY, host TEXT NOT NULL) WITHOUT ROWID"


class Peers:
    """Names of hosts by the PCI addresses of NTB functions."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> dict[str, str]:
        """The host behind each NTB function where one is known, by address."""
        return {row["ntb"]: row["host"] for row in self._db.rows("SELECT * FROM peers ORDER BY ntb")}

    def learn(self, ntb: str, host: str) -> None:
        """Know the first host; one that is known already stays."""
        with self._db.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO peers VALUES (?, ?)", (ntb, host))

    def put(self, ntb: str, host: str) -> None:
        """Know this host, whoever was known before. It must be written (LendingError store_unwritable)."""
        with self._db.transaction(durable=True) as connection:
            connection.execute("INSERT OR REPLACE INTO peers VALUES (?, ?)", (ntb, host))

    def remove(self, ntb: str) -> None:
        """Know nobody there."""
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM peers WHERE ntb = ?", (ntb,))


def check(connection: sqlite3.Connection) -> None:
    """Raises ValueError for what cannot be."""
    for row in connection.execute("SELECT * FROM peers"):
        values.host(f"the host behind {row['ntb']}", row["host"])
