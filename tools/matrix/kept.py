# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that are kept: what each scenario has seen on each kernel when it ran there last.

No run sees all of it: one takes one kernel series, and few take the scenarios that are long. So a run renews what it has
seen anew, and leaves the rest. All but `begin` and `end` is pure.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]

# What the page says of a record. The rest, such as the kernel's release, differs from run to run.
FIELDS = ("kernel", "scenario", "bridge", "owner_iommu", "borrower_iommu", "device", "interrupts", "dma")
# When it was seen. It says nothing about what was seen.
WHEN = ("commit", "date")
# That a part of the long tier has passed.
PART_FIELDS = ("part", "commit", "time", "seconds")


def parse(text: str) -> list[dict[str, Any]]:
    """The records of a file, one JSON object in each line."""
    return [json.loads(line) for line in text.splitlines()]


def begin(directory: Path, scenario: str, kernel: str, commit: str, date: str) -> None:
    """Say that a scenario begins to run: what it has recorded so far on this kernel is what it saw the time before."""
    directory.mkdir(parents=True, exist_ok=True)
    _add(directory, scenario, {"begins": scenario, "kernel": kernel, "commit": commit, "date": date})


def end(directory: Path, scenario: str, kernel: str) -> None:
    """Say that it has passed: what it has recorded counts. What a run has seen that failed, or was ended, does not."""
    _add(directory, scenario, {"ends": scenario, "kernel": kernel})


def _add(directory: Path, scenario: str, line: Record) -> None:
    # Added, not written anew: on another kernel the scenario may be running now.
    with open(directory / f"{scenario}.jsonl", "a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")


def last_run(lines: Iterable[Record]) -> list[dict[str, Any]]:
    """The records of the last run that passed on each kernel in a scenario's file, with commit and day of its beginning."""
    when: dict[str, dict[str, Any]] = {}
    under_way: dict[str, list[dict[str, Any]]] = {}
    passed: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        kernel = line["kernel"]
        if "begins" in line:
            when[kernel] = {name: line[name] for name in WHEN}
            under_way[kernel] = []
        elif "ends" in line:
            passed[kernel] = under_way.pop(kernel, [])
        else:
            under_way.setdefault(kernel, []).append({**line, **when.get(kernel, {})})
    return [record for group in passed.values() for record in group]


def dated(records: Iterable[Record], today: str) -> list[Record]:
    """Records that say when they were seen, and if that is not known, that it was before today."""
    return [{"commit": "unknown", "date": f"before {today}", **record} for record in records]


def render(records: Iterable[Record], fields: Iterable[str] = FIELDS + WHEN) -> str:
    """The file of records: each once, in order, with nothing but some fields."""
    fields = tuple(fields)
    rows = sorted({tuple(record.get(field, "") for field in fields) for record in records})
    return "".join(json.dumps(dict(zip(fields, row, strict=True))) + "\n" for row in rows)


def renew(kept: Iterable[Record], ran: Iterable[Record], scenarios: Collection[str]) -> list[Record]:
    """The records to be kept after a run: `ran` instead of what the same scenarios saw before on the same kernels.

    Those of scenarios that are no more, because they are not in `scenarios`, are left out.
    """
    new = list(ran)
    anew = {(record["kernel"], record["scenario"]) for record in new}
    old = [record for record in kept if (record["kernel"], record["scenario"]) not in anew]
    return [record for record in old + new if record["scenario"] in scenarios]


def newest(records: Iterable[Record], parts: Collection[str]) -> list[Record]:
    """Of the records of parts of the long tier the newest of each part that there is."""
    last: dict[str, Record] = {}
    for record in records:
        part = record["part"]
        if part in parts and record["time"] >= last.get(part, record)["time"]:
            last[part] = record
    return [last[part] for part in sorted(last)]
