# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The borrower's store: attachments are what people want, histories what has become of them, holdings the leases."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace

from device_lending import renaming
from device_lending.policy import ATTACH_AGAIN, ENDS, ON_LOSS, USUAL, History, Policy
from device_lending.store import peers, values
from device_lending.store.base import Store
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
_SCHEMA_2 = """
ALTER TABLE holdings ADD COLUMN ttl REAL;
ALTER TABLE holdings ADD COLUMN renewed REAL;
ALTER TABLE holdings ADD COLUMN peer_epoch TEXT
"""
_SCHEMA_4 = """
ALTER TABLE attachments ADD COLUMN grace REAL;
ALTER TABLE attachments ADD COLUMN on_loss TEXT NOT NULL DEFAULT 'detach';
ALTER TABLE attachments ADD COLUMN attach_again TEXT NOT NULL DEFAULT 'always';
CREATE TABLE histories (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    attached INTEGER NOT NULL,
    epoch INTEGER,
    began INTEGER,
    ended TEXT NOT NULL,
    PRIMARY KEY (owner, name)
) WITHOUT ROWID
"""
_SCHEMA_5 = "ALTER TABLE attachments ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0"
_SCHEMA_6 = "ALTER TABLE holdings ADD COLUMN forced INTEGER NOT NULL DEFAULT 0"
_SCHEMA_7 = "ALTER TABLE histories ADD COLUMN formerly TEXT NOT NULL DEFAULT '[]'"
_SCHEMA_8 = "ALTER TABLE attachments ADD COLUMN driver_override TEXT"
MIGRATIONS = (_SCHEMA_1, _SCHEMA_2, peers.SCHEMA, _SCHEMA_4, _SCHEMA_5, _SCHEMA_6, _SCHEMA_7, _SCHEMA_8)


@dataclass(frozen=True)
class Wanted:
    """A person wants the lease `name` of `owner` attached here, by a policy.

    What is `by_hand` (see device_lending.purging) no list takes away unasked; None, which is never stored, stands for
    as it is.
    """

    name: str
    owner: str
    policy: Policy = USUAL
    by_hand: bool | None = False

    def document(self) -> dict[str, object]:
        """What `before` and `after` of the API hold: of the policy what is not so without a word."""
        own = {"by_hand": True} if self.by_hand else {}
        return {"name": self.name, "owner": self.owner, **self.policy.given(), **own}


@dataclass(frozen=True)
class Holding:
    """A lease the owner gave: `handle` is the lent device's number there, `link` the link's number here.

    While `releasing`, the owner has to be told that it is over. `ttl` is its time in seconds, `renewed` (seconds since
    1970) when the owner was asked that answered last, `peer_epoch` the incarnation of the owner; None when not known.
    `forced`: its device was returned with force, and goes although somebody uses it.
    """

    name: str
    owner: str
    epoch: int
    handle: int
    link: int
    remote_address: str
    releasing: bool = False
    ttl: float | None = None
    renewed: float | None = None
    peer_epoch: int | None = None
    forced: bool = False


class BorrowerStore(Store):
    """Wanted attachments with their histories, and holdings.

    With a disk that cannot be written nothing new is wanted (LendingError store_unwritable); all else goes on.
    """

    def __init__(self, path: str) -> None:
        super().__init__(Database(path, MIGRATIONS, _check))

    def wanted(self) -> list[Wanted]:
        """All wanted attachments by name."""
        return [_wanted(row) for row in self._db.rows("SELECT * FROM attachments ORDER BY name")]

    def replace_wanted(
        self,
        wanted: Iterable[Wanted],
        forced: Iterable[Wanted] = (),
        renamed: Mapping[tuple[str, str], str] = renaming.NONE,
    ) -> None:
        """Make `wanted` the whole set, in one transaction. What is new in it must be written.

        Histories of what is not in it are forgotten. The leases of `forced`, which is not in it, go with force.
        Histories and leases of `renamed`, by owner and old name, have the new ones.
        """
        wanted = list(wanted)
        with self._db.transaction(durable=not set(wanted) <= set(self.wanted())) as connection:
            names = [(new, owner, old) for (owner, old), new in renamed.items()]
            connection.executemany("UPDATE OR REPLACE histories SET name = ? WHERE owner = ? AND name = ?", names)
            connection.executemany("UPDATE OR REPLACE holdings SET name = ? WHERE owner = ? AND name = ?", names)
            connection.execute("DELETE FROM attachments")
            connection.executemany(
                "INSERT INTO attachments (name, owner, by_hand, grace, on_loss, attach_again, driver_override)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(item.name, item.owner, bool(item.by_hand), *astuple(item.policy)) for item in wanted],
            )
            connection.execute("DELETE FROM histories WHERE (owner, name) NOT IN (SELECT owner, name FROM attachments)")
            connection.execute(
                "UPDATE holdings SET forced = 0 WHERE (owner, name) IN (SELECT owner, name FROM attachments)"
            )
            connection.executemany(
                "UPDATE holdings SET forced = 1 WHERE owner = ? AND name = ?",
                [(item.owner, item.name) for item in forced],
            )

    def histories(self) -> dict[tuple[str, str], History]:
        """What has become of wanted attachments, by owner and name."""
        return {(row["owner"], row["name"]): _history(row) for row in self._db.rows("SELECT * FROM histories")}

    def remember(self, owner: str, name: str, history: History) -> None:
        """Note what has become of an attachment, if it is wanted still."""
        with self._db.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO histories SELECT owner, name, ?, ?, ?, ?, ? FROM attachments"
                " WHERE owner = ? AND name = ?",
                (
                    history.attached,
                    history.epoch,
                    history.began,
                    history.ended,
                    json.dumps(history.formerly),
                    owner,
                    name,
                ),
            )

    def holdings(self) -> list[Holding]:
        """All holdings by name and epoch."""
        return [_holding(row) for row in self._db.rows("SELECT * FROM holdings ORDER BY name, epoch")]

    def add_holding(self, holding: Holding) -> None:
        """Record a lease. It takes the place of older ones of its name, which its owner has ended."""
        with self._db.transaction() as connection:
            connection.execute(
                "DELETE FROM holdings WHERE owner = ? AND name = ? AND epoch < ?",
                (holding.owner, holding.name, holding.epoch),
            )
            _insert(connection, holding)

    def renew(self, owner: str, name: str, epoch: int, renewed: float, ttl: float | None) -> None:
        """The owner has answered for a lease; without `ttl` that stays as it is."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE holdings SET renewed = ?, ttl = COALESCE(?, ttl) WHERE owner = ? AND name = ? AND epoch = ?",
                (renewed, ttl, owner, name, epoch),
            )

    def release(self, holding: Holding) -> None:
        """Remember that the owner has to be told, also of a lease that the store did not know; survives a restart."""
        with self._db.transaction() as connection:
            _insert(connection, replace(holding, releasing=True))

    def remove_holding(self, owner: str, name: str, epoch: int) -> None:
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM holdings WHERE owner = ? AND name = ? AND epoch = ?", (owner, name, epoch))


def _insert(connection: sqlite3.Connection, holding: Holding) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO holdings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            holding.name,
            holding.owner,
            holding.epoch,
            holding.handle,
            holding.link,
            holding.remote_address,
            int(holding.releasing),
            holding.ttl,
            holding.renewed,
            None if holding.peer_epoch is None else str(holding.peer_epoch),
            int(holding.forced),
        ),
    )


def _wanted(row: sqlite3.Row) -> Wanted:
    policy = Policy(row["grace"], row["on_loss"], row["attach_again"], row["driver_override"])
    return Wanted(row["name"], row["owner"], policy, bool(row["by_hand"]))


def _history(row: sqlite3.Row) -> History:
    return History(row["attached"], row["epoch"], row["began"], row["ended"], tuple(json.loads(row["formerly"])))


def _holding(row: sqlite3.Row) -> Holding:
    return Holding(
        row["name"],
        row["owner"],
        row["epoch"],
        row["handle"],
        row["link"],
        row["remote_address"],
        bool(row["releasing"]),
        row["ttl"],
        row["renewed"],
        None if row["peer_epoch"] is None else int(row["peer_epoch"]),
        bool(row["forced"]),
    )


def _check(connection: sqlite3.Connection) -> None:
    """Raises ValueError for what cannot be."""
    peers.check(connection)
    for wanted in values.read(connection, "attachments", _wanted):
        values.host(f"the owner of {wanted.name}", wanted.owner)
        values.seconds(f"the grace of {wanted.name}", wanted.policy.grace)
        values.one_of(f"on_loss of {wanted.name}", wanted.policy.on_loss, ON_LOSS)
        values.one_of(f"attach_again of {wanted.name}", wanted.policy.attach_again, ATTACH_AGAIN)
        values.driver(f"the driver of {wanted.name}", wanted.policy.driver_override)
    for history in values.read(connection, "histories", _history):
        values.number("how often an attachment has come", history.attached)
        values.one_of("why a device went", history.ended, ("", *ENDS))
        for name in history.formerly:
            if not isinstance(name, str):
                raise ValueError(f"a former name of an attachment is {name!r}")
        for epoch in (history.epoch, history.began):
            values.epoch("the epoch of an attachment's lease", epoch)
    for holding in values.read(connection, "holdings", _holding):
        values.host(f"the owner of {holding.name}", holding.owner)
        values.epoch(f"the epoch of {holding.name}", holding.epoch)
        values.number(f"the handle of {holding.name}", holding.handle)
        values.number(f"the link of {holding.name}", holding.link)
        values.seconds(f"the time of {holding.name}", holding.ttl)
        values.time(f"when {holding.name} was renewed", holding.renewed)
        values.peer_epoch(f"the incarnation of {holding.owner}", holding.peer_epoch)
