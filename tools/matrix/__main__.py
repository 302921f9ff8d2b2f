# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare docs/matrix.md with what the scenarios have recorded; with --write, write it."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from lab import kernels, topology
from lab.ntb.families import FAMILIES

from . import grid
from .page import page

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / ".build" / "matrix"
PAGE = ROOT / "docs" / "matrix.md"
SCENARIOS = ROOT / "molecule"


def _yaml(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def render() -> str:
    """The page of the records that there are."""
    lines = [line for path in sorted(RECORDS.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    axes = grid.Axes(
        tuple(kernels.SERIES), grid.bridges(FAMILIES), grid.iommus(topology.IOMMUS), _yaml("devices.yml")
    )
    seen = grid.ran(map(json.loads, lines), axes)
    return page(axes, seen, grid.explain(axes, seen, grid.rules(_yaml("reasons.yml"), axes)))


def unrecorded() -> list[str]:
    """The scenarios that record something, but have not."""
    return sorted(
        scenario.name
        for scenario in SCENARIOS.iterdir()
        if any("evidence.record(" in path.read_text(encoding="utf-8") for path in scenario.rglob("test_*.py"))
        and not (RECORDS / f"{scenario.name}.jsonl").exists()
    )


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.matrix", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the page, from whatever was recorded")
    write = parser.parse_args().write
    missing = unrecorded()
    if not write and (missing or kernels.chosen() != kernels.DEFAULT):
        print(f"Nothing to compare {PAGE.name} with: it is about {kernels.DEFAULT} and all scenarios; not run:", *missing)
        return 0
    try:
        text = render()
    except grid.MatrixError as error:
        print(f"tools.matrix: {error}", file=sys.stderr)
        return 1
    if write:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    name = str(PAGE.relative_to(ROOT))
    sys.stdout.writelines(
        difflib.unified_diff(old.splitlines(True), text.splitlines(True), name, "what the scenarios have recorded")
    )
    if old != text:
        print("docs/matrix.md is not what ran: look at the difference, then run tools/steps/matrix --write")
    return int(old != text)


if __name__ == "__main__":
    sys.exit(main())
