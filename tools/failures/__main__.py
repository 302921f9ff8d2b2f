# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare docs/failure-modes.md with the table of the scenario `failures`; with --write, renew it.

What was measured in this checkout goes into it then. A row that was never run is an error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from tools.matrix import kept

from .page import newest, page, texts

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = ROOT / "molecule" / "failures"
RUNS = ROOT / ".build" / "failures.jsonl"
KEPT = ROOT / "docs" / "failure-modes.jsonl"
PAGE = ROOT / "docs" / "failure-modes.md"


def _records(path: Path) -> list[dict[str, Any]]:
    return kept.parse(path.read_text(encoding="utf-8")) if path.exists() else []


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.failures", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it")
    write = parser.parse_args().write
    plan = yaml.safe_load((SCENARIO / "table.yml").read_text(encoding="utf-8"))
    table, ends = plan["failures"], plan["ends"]
    seen = newest(_records(KEPT) + (_records(RUNS) if write else []))
    names = [row["name"] for row in table]
    text = page(table, {name: seen[name] for name in names if name in seen}, ends)
    if write:
        KEPT.write_text("".join(json.dumps(seen[name]) + "\n" for name in names if name in seen), encoding="utf-8")
        PAGE.write_text(text, encoding="utf-8")
    never = [name for name in names if name not in seen]
    if never:
        print(f"never run: {', '.join(never)}: run tools/run molecule-failures, then tools/steps/failures --write")
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if texts(old) != texts(text):
        print("docs/failure-modes.md is not what the table says: run tools/steps/failures --write")
        return 1
    return int(bool(never))


if __name__ == "__main__":
    sys.exit(main())
