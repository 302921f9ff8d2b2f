# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare docs/matrix.md, and the records it is made of, with what scenarios have seen here; with --write, renew both."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

import yaml

from lab import kernels, topology
from lab.ntb.families import FAMILIES

from . import grid, kept
from .page import page

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / ".build" / "matrix"
KEPT = ROOT / "docs" / "matrix.jsonl"
PAGE = ROOT / "docs" / "matrix.md"
SCENARIOS = ROOT / "molecule"


def _yaml(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _page(records: list[kept.Record]) -> str:
    """The page of some records. Raises MatrixError."""
    axes = grid.Axes(
        tuple(kernels.SERIES), grid.bridges(FAMILIES), grid.iommus(topology.IOMMUS), _yaml("devices.yml")
    )
    seen = grid.ran(records, axes)
    return page(axes, seen, grid.explain(axes, seen, grid.rules(_yaml("reasons.yml"), axes)))


def _scenarios() -> set[str]:
    return {file.parent.name for file in SCENARIOS.glob("*/molecule.yml")}


def _differences(path: Path, text: str) -> bool:
    """Whether a file is not what it should be; shows how."""
    old = _text(path)
    name = str(path.relative_to(ROOT))
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True), name, "what was seen"))
    return old != text


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.matrix", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write both, with whatever was seen here")
    write = parser.parse_args().write
    ran = [record for path in sorted(RUNS.glob("*.jsonl")) for record in kept.parse(_text(path))]
    records = kept.renew(kept.parse(_text(KEPT)), ran, _scenarios())
    try:
        wanted = {KEPT: kept.render(records), PAGE: _page(records)}
    except grid.MatrixError as error:
        print(f"tools.matrix: {error}", file=sys.stderr)
        return 1
    runs = sorted({f"{record['scenario']} on {record['kernel']}" for record in ran})
    print("seen in this checkout:", ", ".join(runs) or "nothing")
    if write:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        return 0
    wrong = [path for path, text in wanted.items() if _differences(path, text)]
    if wrong:
        print("docs/matrix.md is not what was seen: look at the difference, then run tools/steps/matrix --write")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
