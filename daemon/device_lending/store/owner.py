# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The owner's store: grants are what people want, leases what is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from device_lending import renaming, selecting
from device_lending.errors import LendingError
from device_lending.pci import traits
from device_lending.pci.traits import UNSEEN, Traits
from device_lending.store import peers, values
from device_lending.store.base import Store
from device_lending.store.db import Database, unwritable
from device_lending.store.labels import Label, Labels
from device_lending.store.watermark import Watermark

_SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE grants (
    name TEXT PRIMARY KEY,
    device TEXT NOT NULL,
    borrower TEXT NOT NULL,
    held TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE leases (
    address TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    borrower TEXT NOT NULL,
    link INTEGER NOT NULL,
    peer_epoch TEXT NOT NULL,
    epoch INTEGER NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('granted', 'active', 'returning', 'quarantined')),
    since REAL NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    driver TEXT,
    serial TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_live_lease_per_name ON leases (name) WHERE state != 'quarantined'
"""
_SCHEMA_2 = """
CREATE TABLE bans (
    host TEXT PRIMARY KEY,
    since REAL NOT NULL
) WITHOUT ROWID
"""
_SCHEMA_3 = "ALTER TABLE leases ADD COLUMN place TEXT"
_SCHEMA_4 = "ALTER TABLE leases ADD COLUMN due REAL; ALTER TABLE leases ADD COLUMN seen REAL"
_SCHEMA_6 = "ALTER TABLE grants ADD COLUMN grace REAL; ALTER TABLE leases ADD COLUMN grace REAL"
_SCHEMA_7 = "ALTER TABLE grants ADD COLUMN reserve INTEGER NOT NULL DEFAULT 0"
_SCHEMA_8 = "ALTER TABLE grants ADD COLUMN by_hand INTEGER NOT NULL DEFAULT 0"
_SCHEMA_9 = """
ALTER TABLE leases ADD COLUMN traits TEXT NOT NULL DEFAULT '{}';
UPDATE leases SET traits = json_object('serial', serial) WHERE serial IS NOT NULL;
ALTER TABLE leases DROP COLUMN serial
"""
_SCHEMA_10 = """
ALTER TABLE grants ADD COLUMN is_any INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN chosen TEXT NOT NULL DEFAULT '{}'
"""
MIGRATIONS = (
    _SCHEMA_1,
    _SCHEMA_2,
    _SCHEMA_3,
    _SCHEMA_4,
    peers.SCHEMA,
    _SCHEMA_6,
    _SCHEMA_7,
    _SCHEMA_8,
    _SCHEMA_9,
    _SCHEMA_10,
)


@dataclass(frozen=True)
class Grant:
    """The word of a person that `borrower` may borrow `device`.

    `held` says why it is not lent although granted (a person recalled it); "" when it is offered. `grace` is how many
    seconds the borrower has to hand the device over; None for as many as the configuration gives. With `reserve` this
    host does not use the device either while nobody borrows it. What is `by_hand` (see
    device_lending.purging) no list takes away unasked; None, which is never stored, stands for as it is.
    With `is_any` any function that `device` means will do, and `chosen` is a selector of the one that was taken.
    """

    name: str
    device: dict[str, Any] = field(hash=False)
    borrower: str
    held: str = ""
    grace: float | None = None
    reserve: bool = False
    by_hand: bool | None = False
    is_any: bool = False
    chosen: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def meant(self) -> dict[str, Any]:
        """The selector of the one function that it is about."""
        return self.chosen or self.device

    def document(self) -> dict[str, object]:
        """What `before` and `after` of the API hold."""
        own: dict[str, object] = {} if self.grace is None else {"grace": self.grace}
        if self.reserve:
            own["reserve"] = True
        if self.by_hand:
            own["by_hand"] = True
        if self.is_any:
            own["any"] = True
        return {"name": self.name, "device": self.device, "borrower": self.borrower, **own}


@dataclass(frozen=True)
class Ban:
    """The word of a person that a host is cut off. `since` is seconds since 1970."""

    host: str
    since: float


@dataclass(frozen=True)
class Lease:
    """One borrower's right to one device. `since` is seconds since 1970; `driver` the device's own driver.

    `link` and `peer_epoch` name the incarnation of the peer the lease was given to. `traits` and `place` say which
    device it is when its address has changed. `due` is when a recall turns to force,
    `seen` about when the borrower was last seen to want the lease, both in seconds since 1970. `grace` is that of its
    grant, which it outlives.
    """

    name: str
    address: str
    borrower: str
    link: int
    peer_epoch: int
    epoch: int
    state: str
    since: float
    message: str = ""
    driver: str | None = None
    traits: Traits = UNSEEN
    place: str | None = None
    due: float | None = None
    seen: float | None = None
    grace: float | None = None

    @property
    def live(self) -> bool:
        return self.state != "quarantined"


class OwnerStore(Store):
    """Grants and leases. Violated rules (two leases on one device) raise sqlite3.IntegrityError.

    What takes back works with a disk that cannot be written; what gives raises LendingError store_unwritable then.
    `labels` is the path of the file that says what a lost store does not; see store.labels.
    """

    def __init__(self, path: str, labels: str | None = None) -> None:
        super().__init__(Database(path, MIGRATIONS, _check))
        self._watermark = Watermark(f"{path}.epoch")
        self._labels = Labels(labels or f"{path}.labels")

    def grants(self) -> list[Grant]:
        """All grants by name."""
        return [_grant(row) for row in self._db.rows("SELECT * FROM grants ORDER BY name")]

    def replace_grants(self, grants: Iterable[Grant], renamed: Mapping[str, str] = renaming.NONE) -> None:
        """Make `grants` the whole set, in one transaction. What gives a right, and not only takes, must be written.

        Their leases have their grace from now on; a lease whose grant goes keeps the one it had. Leases of the grants
        in `renamed`, old names to new, have the new ones.
        """
        grants = list(grants)
        present = self.grants()
        with self._db.transaction(durable=any(grant not in present for grant in grants)) as connection:
            connection.executemany(
                "UPDATE leases SET name = ? WHERE name = ?", [(new, old) for old, new in renamed.items()]
            )
            connection.execute("DELETE FROM grants")
            connection.executemany(
                "INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        grant.name,
                        json.dumps(grant.device, sort_keys=True),
                        grant.borrower,
                        grant.held,
                        grant.grace,
                        grant.reserve,
                        bool(grant.by_hand),
                        grant.is_any,
                        json.dumps(grant.chosen, sort_keys=True),
                    )
                    for grant in grants
                ],
            )
            connection.executemany(
                "UPDATE leases SET grace = ? WHERE name = ? AND borrower = ?",
                [(grant.grace, grant.name, grant.borrower) for grant in grants],
            )

    def hold(self, name: str, why: str) -> None:
        """Do not lend a grant again until a person puts it again."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE grants SET held = ? WHERE name = ?", (why, name))

    def unhold(self, name: str) -> None:
        """Lend a grant again. Raises LendingError store_unwritable: it must not be forgotten."""
        with self._db.transaction(durable=True) as connection:
            connection.execute("UPDATE grants SET held = '' WHERE name = ?", (name,))

    def bans(self) -> list[Ban]:
        """All bans by host."""
        return [_ban(row) for row in self._db.rows("SELECT * FROM bans ORDER BY host")]

    def add_ban(self, ban: Ban) -> None:
        """A host that is banned already stays so since then."""
        with self._db.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO bans VALUES (?, ?)", (ban.host, ban.since))

    def remove_ban(self, host: str) -> None:
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM bans WHERE host = ?", (host,))

    def leases(self) -> list[Lease]:
        """All leases by name, quarantined devices included."""
        return [_lease(row) for row in self._db.rows("SELECT * FROM leases ORDER BY name, address")]

    def add_lease(self, lease: Lease, durable: bool = False) -> None:
        """Record a lease: one that is given, with `durable`, not without writing it; or one that was found."""
        with self._db.transaction(durable) as connection:
            connection.execute(
                "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    lease.address,
                    lease.name,
                    lease.borrower,
                    lease.link,
                    str(lease.peer_epoch),
                    lease.epoch,
                    lease.state,
                    lease.since,
                    lease.message,
                    lease.driver,
                    lease.place,
                    lease.due,
                    lease.seen,
                    lease.grace,
                    json.dumps(lease.traits.stored()),
                ),
            )
        if lease.live:
            # Of those that were found, others may follow.
            live = {row.epoch for row in self.leases() if row.live} if durable else None
            self._labels.put(lease.epoch, Label(lease.borrower, lease.driver, lease.traits, lease.place), live)

    def label(self, epoch: int) -> Label | None:
        """What is known of a lease that the store does not know."""
        return self._labels.get(epoch)

    def see_lease(self, address: str, seen: float) -> None:
        """Note the last sign of life."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE leases SET seen = ? WHERE address = ?", (seen, address))

    def set_lease(self, address: str, state: str, message: str) -> None:
        with self._db.transaction() as connection:
            connection.execute("UPDATE leases SET state = ?, message = ? WHERE address = ?", (state, message, address))

    def recall_lease(self, address: str, message: str, due: float, held: str = "") -> None:
        """The device is wanted back until `due`, in seconds since 1970; `held` puts its grant on hold as well."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE leases SET state = 'returning', message = ?, due = ? WHERE address = ?", (message, due, address)
            )
            if held:
                connection.execute(
                    "UPDATE grants SET held = ? WHERE name = (SELECT name FROM leases WHERE address = ?)",
                    (held, address),
                )

    def name_lease(self, address: str, grant: Grant) -> None:
        """Take it for the lease of a grant."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE leases SET name = ?, borrower = ?, grace = ?, message = '' WHERE address = ?",
                (grant.name, grant.borrower, grant.grace, address),
            )

    def move_leases(self, addresses: Mapping[str, str]) -> None:
        """Give leases the address that their device has now: old to new, which may be another one's old one."""
        with self._db.transaction() as connection:
            # Out of each other's way first: addresses are unique after each statement.
            for old in addresses:
                connection.execute("UPDATE leases SET address = ? WHERE address = ?", (f"from {old}", old))
            for old, new in addresses.items():
                connection.execute("UPDATE leases SET address = ? WHERE address = ?", (new, f"from {old}"))

    def remove_lease(self, address: str) -> None:
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM leases WHERE address = ?", (address,))

    def next_epoch(self, now: float, least: int = 0, durable: bool = True) -> int:
        """A lease epoch greater than all before, on disk before it is returned unless not `durable`.

        `now` (seconds since 1970) seeds it in milliseconds, so that it grows even when all on disk was lost; `least` is
        the greatest epoch the kernel knows, for a clock that was set back as well.
        """
        with self._db.transaction(durable) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
            epoch = following_epoch(row["value"] if row else 0, now, least)
            try:
                epoch = self._watermark.above(epoch)
            except OSError as error:
                if durable:
                    raise unwritable(f"{error.filename} cannot be written: {error.strerror}") from error
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))
        return epoch


def following_epoch(last: int, now: float, least: int) -> int:
    """The epoch after `last` and `least`, at least the time in milliseconds."""
    return max(last + 1, least + 1, int(now * 1000))


def _grant(row: sqlite3.Row) -> Grant:
    return Grant(
        row["name"],
        json.loads(row["device"]),
        row["borrower"],
        row["held"],
        row["grace"],
        bool(row["reserve"]),
        bool(row["by_hand"]),
        bool(row["is_any"]),
        json.loads(row["chosen"]),
    )


def _lease(row: sqlite3.Row) -> Lease:
    return Lease(
        name=row["name"],
        address=row["address"],
        borrower=row["borrower"],
        link=row["link"],
        peer_epoch=int(row["peer_epoch"]),
        epoch=row["epoch"],
        state=row["state"],
        since=row["since"],
        message=row["message"],
        driver=row["driver"],
        traits=traits.read(json.loads(row["traits"])),
        place=row["place"],
        due=row["due"],
        seen=row["seen"],
        grace=row["grace"],
    )


def _ban(row: sqlite3.Row) -> Ban:
    return Ban(row["host"], row["since"])


def _check(connection: sqlite3.Connection) -> None:
    """Raises ValueError for what cannot be."""
    peers.check(connection)
    for grant in values.read(connection, "grants", _grant):
        values.host(f"the borrower of {grant.name}", grant.borrower)
        values.seconds(f"the grace of {grant.name}", grant.grace)
        try:
            selecting.parse(grant.device, grant.name)
            if grant.chosen:
                selecting.parse(grant.chosen, grant.name)
        except LendingError as error:
            raise ValueError(error.message) from error
    for ban in values.read(connection, "bans", _ban):
        values.time(f"the time of the ban of {ban.host}", ban.since)
    for lease in values.read(connection, "leases", _lease):
        values.address(f"the address of {lease.name}", lease.address)
        values.host(f"the borrower of {lease.name}", lease.borrower)
        values.number(f"the link of {lease.name}", lease.link)
        values.epoch(f"the epoch of {lease.name}", lease.epoch)
        values.peer_epoch(f"the incarnation of {lease.borrower}", lease.peer_epoch)
        values.seconds(f"the grace of {lease.name}", lease.grace)
        for moment in (lease.since, lease.due, lease.seen):
            values.time(f"a time of {lease.name}", moment)
    for row in connection.execute("SELECT * FROM meta"):
        values.epoch(f"the number {row['key']}", row["value"])
