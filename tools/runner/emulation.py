# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether `make test` has to prove the emulated bridge: nothing but a change of the lab can break it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.matrix import revision

from . import long_tier, scenarios
from .report import Result

# Noted like a part of the long tier, among which it runs whatever has changed.
SCENARIO = scenarios.BRIDGE
CODE = ["lab", "molecule/lib", f"molecule/{SCENARIO}"]


def proven_at(root: Path) -> str:
    """The commit at which the scenario passed last, if what it proves is the same since; else "".

    Without git, or with a history that lacks that commit, it has to be proved.
    """
    seen = [str(record["commit"]) for record in long_tier.kept(root) if record["part"] == SCENARIO]
    if not seen or seen[-1].endswith("+"):  # nobody knows what had been changed then
        return ""
    differs = revision.is_older(root, seen[-1], CODE) or revision.is_changed(root, CODE)
    return "" if differs else seen[-1]


def keep(root: Path, results: Iterable[Result], commit: str) -> None:
    """Note that the scenario has passed, if it has."""
    for result in results:
        if result.ok and result.name.partition("@")[0] == f"molecule-{SCENARIO}":
            long_tier.keep(root, long_tier.Passed(SCENARIO, commit, revision.now(), round(result.seconds)))
