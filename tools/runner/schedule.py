# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step starts next, and until when. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from .plan import Step

LAB_GIBIBYTES = 3  # memory that a lab takes, with what its scenario runs beside it


class Limits(NamedTuple):
    """How many steps run side by side."""

    steps: int  # of any kind
    labs: int  # with a lab
    labs_beside_short: int  # with a lab, as long as there are short steps to run


class Deadline(NamedTuple):
    """When steps that still run are ended."""

    seconds: float  # after they began
    fails: bool  # those that are late have failed; else they are undecided


# Chosen by measurement.
ON_TWO_PROCESSORS = Limits(steps=2, labs=2, labs_beside_short=1)


def limits(processors: int, gibibytes: float, text: str = "") -> Limits:
    """The limits for a machine, or those that `text` says, three numbers. Raises ValueError if it does not."""
    if text:
        numbers = [int(word) if word.isdecimal() else -1 for word in text.replace(",", " ").split()]
        if len(numbers) != len(Limits._fields) or min(numbers[:2]) < 1 or numbers[2] < 0:
            raise ValueError(f"LIMITS has to be three numbers, the first two of them not 0: {text}")
        return Limits(*numbers)
    if processors <= 2:
        return ON_TWO_PROCESSORS
    labs = max(2, min(processors // 2, int(gibibytes // LAB_GIBIBYTES)))
    return Limits(processors, labs, labs)


def longest_first(steps: Sequence[Step]) -> list[Step]:
    """Steps in the order in which they shall start: by how long they and all that waits for them take."""

    def length(step: Step, seen: frozenset[str] = frozenset()) -> int:
        if step.name in seen:
            raise ValueError(f"{step.name} waits for itself")
        later = (length(other, seen | {step.name}) for other in steps if step.name in other.after)
        return step.seconds + max(later, default=0)

    return sorted(steps, key=length, reverse=True)


def following(waiting: Sequence[Step], running: Collection[Step], limit: Limits) -> Step | None:
    """The first of the steps in `waiting` that may start now."""
    if len(running) >= limit.steps:
        return None
    not_through = {step.name for step in (*waiting, *running)}
    labs = {step.name for step in (*waiting, *running) if step.lab}
    # What waits for labs itself is no reason for them to wait.
    short = any(not step.lab and not labs & set(step.after) for step in (*waiting, *running))
    full = sum(step.lab for step in running) >= (limit.labs_beside_short if short else limit.labs)
    for step in waiting:
        if not_through & set(step.after) or (step.lab and full):
            continue
        return step
    return None
