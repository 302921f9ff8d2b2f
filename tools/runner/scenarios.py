# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Molecule scenarios there are, which lab and which kernels each runs on, and in which order.

Usage: python -m tools.runner.scenarios KIND

Prints those of a kind: `shared` use one lab, `own` have one each, and so has `kernels`, whose hosts run other kernels than
the one that is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from lab import kernels, topology

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("shared", "own", "kernels")

# What belongs to the long tier: it takes long, and is about what seldom changes.
LONG = ("boot", "commands", "endurance", "failures", "families", "hostile", "injected", "maintenance", "mixed_iommus",
        "modules", "new_kernel", "newcomer", "partial", "reserved", "signed", "tutorial", "vfio")

# Has tests run that are marked as long: all of them, or ONLY they. What only these have seen is no row of the matrix.
LONG_TESTS = "DEVICE_LENDING_LONG"
ONLY = "only"

# The one that proves the emulated bridge.
BRIDGE = "bridge"

# The order in the shared lab: `default` installs from nothing, what it leaves installed serves the others, and all is
# removed at last. Scenarios that are not here come first, by name.
ORDER = ("default", "bad_input", "faults", "commands", "boot", "maintenance", "reserved", "tutorial", "endurance",
         "teardown")


def every(root: Path = ROOT) -> dict[str, str]:
    """The kind of each scenario, in the order in which they run."""
    names = sorted(file.parent.name for file in (root / "molecule").glob("*/molecule.yml"))
    names.sort(key=lambda name: ORDER.index(name) if name in ORDER else -1)
    return {name: _kind(root, name) for name in names}


def series(name: str, root: Path = ROOT) -> list[str]:
    """The kernel series that a scenario runs on: those that its lab asks for, or else the one that everything does."""
    return _asked_for(root, name) or [kernels.chosen()]


def _asked_for(root: Path, name: str) -> list[str]:
    lab = root / "molecule" / name / "lab.yml"
    hosts = topology.load(lab).hosts if lab.exists() else ()
    return sorted({host.kernel for host in hosts if host.kernel})


def _kind(root: Path, name: str) -> str:
    create = root / "molecule" / name / "create.yml"
    if _asked_for(root, name):
        return "kernels"
    own = create.exists() and "own_lab.yml" in create.read_text(encoding="utf-8")
    return "own" if own else "shared"


def chosen(kind: str, known: dict[str, str], wanted: Iterable[str] = (), long: bool = False) -> list[str]:
    """The scenarios of a kind: those that are `wanted`, or else all of the short tier, or of the long one."""
    names = [name for name, its in known.items() if its == kind]
    wanted = set(wanted)
    if wanted:
        return [name for name in names if name in wanted]
    return [name for name in names if (name in LONG) == long]


def named() -> list[str]:
    """What the environment variable SCENARIOS names."""
    return os.environ.get("SCENARIOS", "").split()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    for scenario in chosen(sys.argv[1], every(), named()):
        print(scenario)
