# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Choosing from what a command lists, and how it is printed: --filter, --quiet and --format."""

from __future__ import annotations

import argparse
import string
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from device_lending.asking import Document, Shown, Usage
from device_lending.table import render, text

Values = dict[str, Any]


class Part(NamedTuple):
    """Things of one kind: what a document calls them, as a daemon told them, and the cells of each one's row."""

    key: str
    items: Sequence[Document]
    rows: Sequence[Sequence[Any]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of a command that lists things."""
    parser.add_argument("--filter", metavar="KEY=VALUE", action="append", default=[],
                        help="list only what has this value; again with the same key: or this one; with another: and "
                             "this one; * stands for anything")  # fmt: skip
    either = parser.add_mutually_exclusive_group()
    either.add_argument("-q", "--quiet", action="store_true", help="print the first column only, without heading")
    either.add_argument("--format", metavar="TEMPLATE", help="print each with its values in place of {KEY}")


def shown(options: argparse.Namespace, headings: Sequence[str], parts: Sequence[Part], nothing: str) -> Shown:
    """The document and the text of what is chosen; `nothing` is the table without rows.

    A key is a heading, with "_" for a space, or what a document calls a value; a heading goes first. Raises Usage.
    """
    wanted = _wanted(options.filter)
    columns = [heading.replace(" ", "_") for heading in headings]
    found = [
        (part.key, item, {**item, **dict(zip(columns, row, strict=True))})
        for part in parts
        for item, row in zip(part.items, part.rows, strict=True)
    ]
    known = set(columns).union(*(values for _key, _item, values in found))
    _check_keys(wanted, known if found else wanted.keys() | known, "--filter")
    chosen = [row for row in found if all(_has(row[2].get(key), any_of) for key, any_of in wanted.items())]
    document = {part.key: [item for key, item, _values in chosen if key == part.key] for part in parts}
    rows = [values for _key, _item, values in chosen]
    if options.quiet:
        return document, "\n".join(text(values[columns[0]]) for values in rows)
    if options.format is not None:
        fields = _fields(options.format)
        _check_keys(fields, known if found else set(fields), "--format")
        return document, "\n".join(_formatted(options.format, values) for values in rows)
    table = render(headings, [[values[column] for column in columns] for values in rows])
    return document, table if rows else nothing


def _wanted(filters: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in filters:
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise Usage(f"--filter {item!r} is not KEY=VALUE, such as state=attached")
        found.setdefault(key, []).append(value)
    return found


def _has(value: Any, any_of: Sequence[str]) -> bool:
    """Whether a value, or one of a list, is one of these patterns, as it is printed."""
    given = [text(one) for one in value] if isinstance(value, list) and value else [text(value)]
    return any(fnmatchcase(one, pattern) for one in given for pattern in any_of)


def _fields(template: str) -> list[str]:
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise Usage(f"--format {template!r}: {error}; a brace itself is written twice") from error
    if any(conversion for _literal, _field, _spec, conversion in parsed):
        raise Usage(f"--format {template!r}: ! is not known in braces")
    return [name for _literal, name, _spec, _conversion in parsed if name is not None]


def _formatted(template: str, values: Values) -> str:
    made = ""
    for literal, name, spec, _conversion in string.Formatter().parse(template):
        made += literal
        if name is not None:
            try:
                made += format(text(values.get(name)), spec or "")
            except ValueError as error:
                raise Usage(f"--format {template!r}: {{{name}:{spec}}}: {error}") from error
    return made


def _check_keys(keys: Collection[str], known: Collection[str], option: str) -> None:
    for key in keys:
        if key not in known:
            raise Usage(f"{option}: there is no {key!r} here; there are: {', '.join(sorted(known))}")
