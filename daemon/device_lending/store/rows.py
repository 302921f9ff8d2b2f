# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Making the rows of one database those of another one of the same schema, by no more changes than that takes."""

from __future__ import annotations

import sqlite3

from device_lending.store.examine import columns, tables

Row = tuple[object, ...]


def bring(source: sqlite3.Connection, target: sqlite3.Connection) -> bool:
    """Make the rows of `source` those of `target`; whether that changed any."""
    changed = False
    for table in tables(target):
        present, wanted = _rows(target, table), _rows(source, table)
        if present == wanted:
            continue
        changed = True
        names = [str(column[0]) for column in columns(target, table)]
        # All that goes first: what comes may have the key of what goes.
        same = " AND ".join(f"{name} IS ?" for name in names)
        _run(target, f"DELETE FROM {table} WHERE {same}", present - wanted)  # noqa: S608 - names of ours
        _run(target, f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", wanted - present)  # noqa: S608
    return changed


def _rows(connection: sqlite3.Connection, table: str) -> set[Row]:
    return {tuple(row) for row in connection.execute(f"SELECT * FROM {table}")}  # noqa: S608 - a name of ours


def _run(connection: sqlite3.Connection, statement: str, rows: set[Row]) -> None:
    if rows:
        connection.executemany(statement, rows)
