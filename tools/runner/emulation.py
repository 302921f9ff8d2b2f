# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether `make test` has to prove the emulated bridge: nothing but a change of the lab can break it."""

from __future__ import annotations

from pathlib import Path

from tools.matrix import revision

from . import long_tier

SCENARIO = "bridge"
PART = "load"  # of the long tier, which runs the scenario whatever has changed
CODE = ["lab", "molecule/lib", f"molecule/{SCENARIO}"]


def proven_at(root: Path) -> str:
    """The commit at which the part with the scenario passed, if what it proves is the same since; else "".

    Without git, or with a history that lacks that commit, it has to be proved.
    """
    seen = [record["commit"] for record in long_tier.kept(root) if record["part"] == PART]
    if not seen or revision.is_older(root, seen[-1], CODE) or revision.is_changed(root, CODE):
        return ""
    return str(seen[-1])
