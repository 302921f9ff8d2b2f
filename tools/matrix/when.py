# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the page that says when all was seen last. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .kept import Record

HEADING = "## When it was seen"
# What may change what is seen, beside the scenario itself.
CODE = ("kmod", "lab/ntb", "daemon", "plugins/module_utils/_pci")

TEXT = f"""{HEADING}

What a scenario has seen on a kernel is from one run of it, at the commit that was checked out then; `+` says that files
had been changed since that commit. **Older** is what was seen before {", ".join(f"`{path}`" for path in CODE)}
or the scenario changed last.
"""
LONG = """The parts of the long tier (`make test-long`), of which `make test-turn` runs the one that passed longest ago:
"""


def code(scenario: str) -> list[str]:
    """The paths that a scenario proves."""
    return [*CODE, f"molecule/{scenario}"]


Older = Callable[[str, list[str]], bool]


def _mark(older: bool) -> str:
    return "**older**" if older else ""


def section(records: Iterable[Record], parts: Sequence[str], seen: Sequence[Record], older: Older) -> str:
    """Both tables. `older` says of a commit whether it lacks a change of some paths."""
    rows = sorted({(record["kernel"], record["scenario"], record["date"], record["commit"]) for record in records})
    lines = [TEXT, "| kernel | scenario | seen last | at commit | |", "|---|---|---|---|---|"]
    for kernel, scenario, date, commit in rows:
        lines.append(f"| {kernel} | {scenario} | {date} | {commit} | {_mark(older(commit, code(scenario)))} |")
    lines += ["", LONG, "| part | passed last | at commit | minutes | |", "|---|---|---|---|---|"]
    known = {record["part"]: record for record in seen}
    for part in parts:
        record = known.get(part)
        if record:
            minutes = f"{record['seconds'] / 60:.0f}"
            mark = _mark(older(record["commit"], list(CODE)))
            lines.append(f"| {part} | {record['time'].partition('T')[0]} | {record['commit']} | {minutes} | {mark} |")
        else:
            lines.append(f"| {part} | never | | | |")
    return "\n".join(lines) + "\n"


def without(page: str) -> str:
    """A page without this part, which differs from run to run."""
    return page.partition(HEADING)[0].rstrip() + "\n"
