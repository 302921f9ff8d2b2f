# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The findings for programs and for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from device_lending.doctor.finding import STAGES, WRONG, Finding, first_wrong
from device_lending.table import pairs


def document(host: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """The form of `devlend doctor --json`: `wrong` is the first thing on the path that is, or null."""
    wrong = first_wrong(findings)
    return {
        "host": host,
        "wrong": wrong.document() if wrong else None,
        "findings": [finding.document() for finding in findings],
    }


def lines(report: dict[str, Any]) -> str:
    """A line for each stage with its worst finding, then the first thing that is wrong, then what else is."""
    findings = report["findings"]
    shown = "\n".join(_stage([row for row in findings if row["stage"] == stage]) for stage in STAGES)
    wrong = [row for row in findings if row["status"] == WRONG]
    notes = [row for row in findings if row["status"] != WRONG and row["advice"]]
    parts = [shown, _first(wrong[0]) if wrong else "Nothing is wrong on this host."]
    parts += [_section("Also wrong, perhaps because of that", wrong[1:])]
    parts += [_section("Could be better, or is not known", notes)]
    return "\n\n".join(filter(None, parts))


def _section(title: str, rows: Sequence[dict[str, Any]]) -> str:
    items = [f"  {row['stage']}: {row['text']}\n    {row['advice']}" for row in rows]
    return "\n".join([f"{title}:", *items]) if items else ""


def _stage(rows: list[dict[str, Any]]) -> str:
    """Findings of a stage come with what counts most first."""
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"{rows[0]['status']:<16}{rows[0]['stage']:<16}{rows[0]['text']}{more}"


def _first(row: dict[str, Any]) -> str:
    return pairs([("First wrong", f"{row['stage']}: {row['text']}"), ("What to do", row["advice"]),
                  *(("Seen", item) for item in row["evidence"])])  # fmt: skip
