# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Whether a SQLite file is a store: sound, of a known version, with the tables and kinds of values of that version."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Sequence

_KINDS: dict[str, type | tuple[type, ...]] = {"TEXT": str, "INTEGER": int, "REAL": (int, float)}


class Damaged(Exception):
    """A store that cannot be used; the text says what is wrong with it."""


def migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Take the schema to version len(migrations), each step all or nothing."""
    for number in range(version(connection), len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        for statement in migrations[number].split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={number + 1}")
        connection.execute("COMMIT")


def version(connection: sqlite3.Connection) -> int:
    """The version of the schema, 0 before there is one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def tables(connection: sqlite3.Connection) -> list[str]:
    """The names of the tables, without SQLite's own."""
    return [name for kind, name in _parts(connection) if kind == "table"]


def _parts(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Kind and name of what the schema consists of."""
    rows = connection.execute("SELECT type, name FROM sqlite_master ORDER BY type, name").fetchall()
    return [(row[0], row[1]) for row in rows if not row[1].startswith("sqlite_")]


def examine(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Raises Damaged, sqlite3.Error when the file is not a store that the daemon with these migrations can use."""
    found = connection.execute("PRAGMA quick_check").fetchone()[0]
    if found != "ok":
        raise Damaged(str(found).replace("\n", " "))
    number = version(connection)
    if number > len(migrations):
        raise Damaged(
            f"it has schema version {number}, this daemon knows up to {len(migrations)}; to use it, install the newer "
            "daemon again and move it back"
        )
    if number < 1:
        raise Damaged("there is no schema in it")
    parts, wanted = _shape(tuple(migrations[:number]))
    if _parts(connection) != parts:
        raise Damaged(f"what is in it is not schema version {number}")
    for table, its_columns in wanted.items():
        if columns(connection, table) != its_columns:
            raise Damaged(f"its table {table} is not that of schema version {number}")
        _examine_values(connection, table, its_columns)


@functools.cache
def _shape(migrations: tuple[str, ...]) -> tuple[list[tuple[str, str]], dict[str, list[tuple[object, ...]]]]:
    """What a schema consists of, and the columns of each of its tables."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        migrate(model, migrations)
        return _parts(model), {table: columns(model, table) for table in tables(model)}


def columns(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    """Name, type, whether null is refused, and place in the key, of each column."""
    rows = connection.execute(f"PRAGMA table_info({table})").fetchall()
    return [(row[1], row[2], row[3], row[5]) for row in rows]


def _examine_values(connection: sqlite3.Connection, table: str, wanted: list[tuple[object, ...]]) -> None:
    kinds = [_KINDS.get(str(column[1]), object) for column in wanted]
    for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - a name of ours
        for (name, *_rest), kind, value in zip(wanted, kinds, row, strict=True):
            if value is not None and not isinstance(value, kind):
                raise Damaged(f"column {name} of its table {table} holds {value!r}")
