# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of failures, made of the table and of what was measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

# What is measured, in seconds, and how the page says it.
TIMES = {
    "lasted": "lasted",
    "written last": "last write after",
    "written again": "writes again after",
    "offered again": "offered again after",
    "attached again": "attached again after",
}

HEAD = """<!--
SPDX-License-Identifier: GPL-3.0-or-later
Copyright: (c) 2026, the pcie.device_lending authors

Made by tools/steps/failures --write; do not edit.
-->
# What may fail, and what happens then

Each row is a test of the scenario `failures`: the borrower writes to a borrowed drive, block by block, each of which says
which one it is, and what the drive has acknowledged is noted outside of both hosts. Then the thing is done, and it is waited
for what must be true. In each row, beside what it says:

* no block that was acknowledged is missing or wrong afterwards, whoever has the drive;
* no kernel complains of anything but the I/O errors of the drive that is gone: no oops, no hang, no DMA that an IOMMU stops;
* where the borrower is lost, the owner has its drive back within the seconds that the row says after it has seen that;
* where the lease ends, writing ends with an error within {ends} seconds, and the next lease is another one.

Both hosts have IOMMUs, so that leases are fenced ([security.md](security.md)). The lab's processors are emulated, one or two
orders of magnitude slower than real ones, and hosts take most of the time that they are seen to take for booting. Limits are
those of the test. A restart in good order lasts until the next kernel begins: until its own ends, a host goes on lending.
"""


def newest(records: Iterable[Row]) -> dict[str, Row]:
    """The last record of each row."""
    return {record["name"]: record for record in records}


def _seconds(record: Row | None) -> str:
    if record is None:
        return "never run"
    return ", ".join(f"{text} {record[name]:g} s" for name, text in TIMES.items() if name in record)


def _limit(row: Row) -> str:
    offered = f", offered in {row['offered']} s" if "offered" in row else ""
    return f"{row['within']} s{offered}"


def page(table: Sequence[Row], seen: Mapping[str, Row], ends: int) -> str:
    """The page. `table` has the rows, `seen` the last record of each by its name, `ends` is in seconds."""
    lines = [HEAD.format(ends=ends)]
    lines += ["| what happens | what is true afterwards | limit | measured |", "|---|---|---|---|"]
    lines += [
        f"| {row['done']} | {row['after']} | {_limit(row)} | {_seconds(seen.get(row['name']))} |" for row in table
    ]
    releases = sorted({record["release"] for record in seen.values()})
    commits = sorted({record["commit"] for record in seen.values() if "commit" in record})
    lines += ["", f"Measured on {', '.join(releases) or 'no kernel yet'}, at {', '.join(commits) or 'no commit yet'}."]
    return "\n".join(lines) + "\n"


def texts(written: str) -> list[str]:
    """A page without what differs from run to run."""
    return [line.rpartition(" | ")[0] if line.startswith("| ") else line for line in written.splitlines()[:-1]]
