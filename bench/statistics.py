# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ratios and their spread. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of the rounds of a run."""

    median: float
    low: float
    high: float
    rounds: int

    def as_json(self) -> dict[str, float]:
        """As it is stored."""
        return {"median": self.median, "min": self.low, "max": self.high, "rounds": self.rounds}


def spread(values: Sequence[float]) -> Spread:
    """The spread of values, of which there must be one at least."""
    if not values:
        raise ValueError("no rounds")
    return Spread(statistics.median(values), min(values), max(values), len(values))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio of each round: both sides of a ratio come from the same round, so that drift cancels."""
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} rounds against {len(denominators)}")
    if any(value <= 0 for value in denominators):
        raise ValueError("a round took no time")
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """The spread of the rounds' ratios."""
    return spread(ratios(numerators, denominators))


def verdict(value: Spread, holds: Callable[[float], bool]) -> bool | None:
    """Whether an aim is met: by all that was measured, or by none of it; None where the spread crosses it."""
    low, high = holds(value.low), holds(value.high)
    return low if low == high else None
