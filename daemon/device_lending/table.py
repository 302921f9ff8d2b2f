# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Tables for people: as wide as their content, no borders, easy to cut and grep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_UNITS = ("", "K", "M", "G", "T", "P")


def text(value: Any) -> str:
    """A cell: "-" for nothing, lists joined by commas."""
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def printable(line: str) -> str:
    """A line that means nothing to a terminal, whatever a peer has put into it."""
    return "".join(char if char.isprintable() else "?" for char in line)


def render(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns under upper-case headings."""
    cells = [[heading.upper() for heading in headings], *([text(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def pairs(items: Sequence[tuple[str, Any]]) -> str:
    """One "key: value" per line, values aligned."""
    width = max((len(key) for key, _value in items), default=0) + 1
    return "\n".join(f"{key + ':':<{width}} {text(value)}" for key, value in items)


def size(octets: int) -> str:
    """A size in binary units, e.g. 16K; exact, so a size between two units keeps the smaller one."""
    unit = 0
    while octets and octets % 1024 == 0 and unit < len(_UNITS) - 1:
        octets //= 1024
        unit += 1
    return f"{octets}{_UNITS[unit]}"
