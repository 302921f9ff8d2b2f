# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare docs/matrix.md, and the records it is made of, with what scenarios have seen here; with --write, renew both.

When something was seen is written, but not compared: it differs from run to run. So it is with docs/long-tier.jsonl,
which says when each part of the long tier passed last.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lab import kernels, topology
from lab.ntb.families import FAMILIES
from tools.runner import emulation, long_tier

from . import grid, kept, revision, when
from .page import page

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / ".build" / "matrix"
KEPT = ROOT / "docs" / "matrix.jsonl"
PAGE = ROOT / "docs" / "matrix.md"
SCENARIOS = ROOT / "molecule"
LONG_RUNS = ROOT / ".build" / "long-tier.jsonl"
LONG_KEPT = ROOT / "docs" / "long-tier.jsonl"


def _yaml(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _page(records: Sequence[kept.Record]) -> str:
    """The page of some records, but for when they were seen. Raises MatrixError."""
    axes = grid.Axes(
        kernels.DEBIAN, grid.bridges(FAMILIES), grid.iommus(topology.IOMMUS), _yaml("devices.yml")
    )
    seen = grid.ran(records, axes)
    return page(axes, seen, grid.explain(axes, seen, grid.rules(_yaml("reasons.yml"), axes)))


def _scenarios() -> set[str]:
    return {file.parent.name for file in SCENARIOS.glob("*/molecule.yml")}


def _differ(path: Path, old: str, new: str) -> bool:
    """Whether a file is not what it should be; shows how."""
    name = str(path.relative_to(ROOT))
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, "what was seen"))
    return old != new


def _write(records: Sequence[kept.Record], text: str) -> None:
    parts = long_tier.names()
    noted = [*parts, emulation.SCENARIO]
    long = kept.newest(kept.parse(_text(LONG_KEPT)) + kept.parse(_text(LONG_RUNS)), noted)
    records = kept.dated(records, revision.today())
    older = functools.partial(revision.is_older, ROOT)
    KEPT.write_text(kept.render(records), encoding="utf-8")
    LONG_KEPT.write_text(kept.render(long, kept.PART_FIELDS), encoding="utf-8")
    PAGE.write_text(f"{text}\n{when.section(records, parts, long, older)}", encoding="utf-8")


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.matrix", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write them, with whatever was seen here")
    write = parser.parse_args().write
    ran = [record for path in sorted(RUNS.glob("*.jsonl")) for record in kept.last_run(kept.parse(_text(path)))]
    before = kept.parse(_text(KEPT))
    records = kept.renew(before, ran, _scenarios())
    try:
        text = _page(records)
    except grid.MatrixError as error:
        print(f"tools.matrix: {error}", file=sys.stderr)
        return 1
    runs = sorted({f"{record['scenario']} on {record['kernel']}" for record in ran})
    print("seen in this checkout:", ", ".join(runs) or "nothing")
    if write:
        _write(records, text)
        return 0
    facts = [kept.render(some, kept.FIELDS) for some in (before, records)]
    wrong = [_differ(KEPT, *facts), _differ(PAGE, when.without(_text(PAGE)), text)]
    if any(wrong):
        print("docs/matrix.md is not what was seen: look at the difference, then run tools/steps/matrix --write")
    return int(any(wrong))


if __name__ == "__main__":
    sys.exit(main())
