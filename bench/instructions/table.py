# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of counted instructions, for a terminal and for pages. Pure."""

from __future__ import annotations

import functools
import operator
from typing import Any

from bench.report import MARKS, machine, number
from bench.statistics import Spread, ratio, spread, verdict

Cells = tuple[str, ...]
HEAD: Cells = (
    "", "", "local, of all", "local", "borrowed", "of these ntb_lend", "owner's ntb_lend", "borrowed ÷ local", "aim",
)  # fmt: skip
# What a page for newcomers has of it: what was accessed how, and the ratio with its aim.
SHORT = (0, 1, 7, 8)


def _cells(job: dict[str, Any]) -> Cells:
    local, borrowed, ours, owner = (spread(job[key]) for key in ("local", "borrowed", "ours", "owner"))
    relative = ratio(job["borrowed"], job["local"])
    reached = MARKS[verdict(relative, functools.partial(operator.ge, job["aim"]))]
    return (
        job["around"], job["title"], number(spread(job["all"]).median), shown(local), shown(borrowed), shown(ours),
        f"{owner.median:.1f}",
        f"{relative.median:.3f} ({relative.low:.3f} – {relative.high:.3f})", f"≤ {job['aim']} {reached}",
    )  # fmt: skip


def shown(value: Spread) -> str:
    """A figure, and by how much of it rounds differ."""
    return f"{number(value.median)} ±{(value.high - value.low) / 2 / value.median * 100:.1f} %" if value.median else "0"


def lines(found: list[dict[str, Any]]) -> list[str]:
    """For a terminal."""
    rows = [HEAD, *map(_cells, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def conditions(run: dict[str, Any]) -> str:
    """One sentence on what was counted where."""
    about = run["conditions"]
    return (
        f"Instructions of the kernel, counted on {machine(about)}, load {about['load_end'][0]:.1f}; one bridge between the "
        f"hosts (1 hop); *no IOMMU* and *bounce pool*: on neither host, *with IOMMU*: on both; {about['rounds']} rounds."
    )


def markdown(run: dict[str, Any], short: bool) -> str:
    """For a page."""
    columns = SHORT if short else range(len(HEAD))
    rows = [[row[column] for column in columns] for row in (HEAD, *map(_cells, run["rows"]))]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join([conditions(run), "", *("| " + " | ".join(row) + " |" for row in rows)])
