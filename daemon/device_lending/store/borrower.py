# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The borrower's store: attachments are what people want, holdings the leases this host was given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from device_lending.store.db import Database

_SCHEMA_1 = """
CREATE TABLE attachments (name TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE holdings (
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    handle INTEGER NOT NULL,
    link INTEGER NOT NULL,
    remote_address TEXT NOT NULL,
    releasing INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, name, epoch)
) WITHOUT ROWID
"""
MIGRATIONS = (_SCHEMA_1,)


@dataclass(frozen=True)
class Wanted:
    """A person wants the lease `name` of `owner` attached here."""

    name: str
    owner: str

    def document(self) -> dict[str, object]:
        """What `before` and `after` of the API hold."""
        return {"name": self.name, "owner": self.owner}


@dataclass(frozen=True)
class Holding:
    """A lease the owner gave: `handle` is the lent device's number there, `link` the link's number here.

    While `releasing`, the owner has to be told that it is over.
    """

    name: str
    owner: str
    epoch: int
    handle: int
    link: int
    remote_address: str
    releasing: bool = False


class BorrowerStore:
    """Wanted attachments and holdings on disk."""

    def __init__(self, path: str) -> None:
        self._db = Database(path, MIGRATIONS)

    def close(self) -> None:
        self._db.close()

    def wanted(self) -> list[Wanted]:
        """All wanted attachments by name."""
        return [Wanted(row["name"], row["owner"]) for row in self._db.rows("SELECT * FROM attachments ORDER BY name")]

    def replace_wanted(self, wanted: Iterable[Wanted]) -> None:
        """Make `wanted` the whole set, in one transaction."""
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM attachments")
            connection.executemany(
                "INSERT INTO attachments VALUES (?, ?)", [(item.name, item.owner) for item in wanted]
            )

    def holdings(self) -> list[Holding]:
        """All holdings by name and epoch."""
        return [
            Holding(
                row["name"],
                row["owner"],
                row["epoch"],
                row["handle"],
                row["link"],
                row["remote_address"],
                bool(row["releasing"]),
            )
            for row in self._db.rows("SELECT * FROM holdings ORDER BY name, epoch")
        ]

    def add_holding(self, holding: Holding) -> None:
        """Record a lease. It takes the place of older ones of its name, which its owner has ended."""
        with self._db.transaction() as connection:
            connection.execute(
                "DELETE FROM holdings WHERE owner = ? AND name = ? AND epoch < ?",
                (holding.owner, holding.name, holding.epoch),
            )
            connection.execute(
                "INSERT OR REPLACE INTO holdings VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    holding.name,
                    holding.owner,
                    holding.epoch,
                    holding.handle,
                    holding.link,
                    holding.remote_address,
                    int(holding.releasing),
                ),
            )

    def release(self, owner: str, name: str, epoch: int) -> None:
        """Remember that the owner has to be told; survives a restart."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE holdings SET releasing = 1 WHERE owner = ? AND name = ? AND epoch = ?", (owner, name, epoch)
            )

    def remove_holding(self, owner: str, name: str, epoch: int) -> None:
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM holdings WHERE owner = ? AND name = ? AND epoch = ?", (owner, name, epoch))
