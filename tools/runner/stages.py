# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the words of a command line stand for: steps that run side by side, one group of them after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.matrix import revision

from . import emulation, long_tier, plan, schedule
from .plan import ROOT, Step

PART = "long-"  # and the name of a part of the long tier


class Stage(NamedTuple):
    """Steps that are run together."""

    steps: list[Step]
    part: str = ""  # of the long tier
    deadline: schedule.Deadline | None = None
    after_failure: bool = True  # it runs even if something has failed before
    note: str = ""  # what is said before it begins


def of_words(words: Sequence[str], root: Path = ROOT, seconds: float | None = None) -> list[Stage]:
    """The stages that groups and steps make; raises KeyError with the names of those that there are not.

    `seconds` are what there is for a turn of the long tier, if not as many as it takes.
    """
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
            stages.append(_turn(root, seconds))
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


def _turn(root: Path, seconds: float | None) -> Stage:
    name = long_tier.turn(list(long_tier.IN_TURN), long_tier.kept(root), revision.commit(root).rstrip("+"))
    given = long_tier.LIMIT if seconds is None else min(seconds, long_tier.LIMIT)
    if given < long_tier.AIM:
        left = f"{max(given, 0):.0f} s are left, and it may take {long_tier.AIM:.0f}"
        note = f"Not begun: the part {name} of the long tier. {left}."
        return Stage([], note=note, after_failure=False)
    # How much less there is than a part may take says nothing of the part.
    deadline = schedule.Deadline(given, fails=given == long_tier.LIMIT)
    return _part(name, shorter=True)._replace(deadline=deadline, after_failure=False)


def _part(name: str, shorter: bool = False) -> Stage:
    return Stage(long_tier.steps(name, shorter), part=name)
