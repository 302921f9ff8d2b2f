# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the words of a command line stand for: steps that run side by side, one group of them after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.matrix import revision

from . import emulation, long_tier, plan
from .plan import ROOT, Step

PART = "long-"  # and the name of a part of the long tier


class Stage(NamedTuple):
    """Steps that are run together."""

    steps: list[Step]
    part: str = ""  # of the long tier
    seconds: float | None = None  # it has to be through by then
    after_failure: bool = True  # it runs even if something has failed before
    note: str = ""  # what is said before it begins


def of_words(words: Sequence[str], root: Path = ROOT) -> list[Stage]:
    """The stages that groups and steps make; raises KeyError with the names of those that there are not."""
    stages: list[Stage] = []
    groups, known = plan.groups(), plan.catalogue()
    together: list[Step] = []
    missing = []
    for word in words:
        if word == "test":
            stages.append(_test(root))
        elif word == "test-long":
            stages += [_part(name) for name in long_tier.names()]
        elif word == "test-turn":
            name = long_tier.turn(list(long_tier.IN_TURN), long_tier.kept(root), revision.commit(root).rstrip("+"))
            stages.append(_part(name, shorter=True)._replace(seconds=long_tier.LIMIT, after_failure=False))
        elif word.removeprefix(PART) in long_tier.names() and word.startswith(PART):
            stages.append(_part(word.removeprefix(PART)))
        elif word in groups:
            together += groups[word]
        elif word in known or (root / "tools" / "steps" / word).is_file():
            together.append(known.get(word, Step(word)))
        else:
            missing.append(word)
    if missing:
        raise KeyError(", ".join(missing))
    return ([Stage(list(dict.fromkeys(together)))] if together else []) + stages


def _test(root: Path) -> Stage:
    commit = emulation.proven_at(root)
    if not commit:
        return Stage(plan.test())
    note = f"Not run: {emulation.SCENARIO}. What it proves is the same as at {commit}, where it passed."
    return Stage(plan.test([emulation.SCENARIO]), note=note)


def _part(name: str, shorter: bool = False) -> Stage:
    return Stage(long_tier.steps(name, shorter), part=name)
