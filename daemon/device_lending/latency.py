# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""How long what is done to devices takes, counted as Prometheus' histograms are."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from device_lending.clock import Clock

# Seconds. A device is reset in a tenth of one, a driver may take half a minute, a person's grace longer.
BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


@dataclass
class Histogram:
    """How many took at most as long as each of BOUNDS and longer than the one before, the last: longer than all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Latencies:
    """Histograms of operations and their stages, which follow one another. `stages` has those of each operation, "" for
    all of it."""

    def __init__(self, stages: Mapping[str, Sequence[str]], clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found = {(operation, stage): Histogram() for operation, row in stages.items() for stage in row}

    def took(self, operation: str, stage: str, seconds: float) -> None:
        """A stage is over."""
        with self._lock:
            self._found[operation, stage].add(max(0.0, seconds))

    @contextmanager
    def timed(self, operation: str, stage: str) -> Iterator[None]:
        """What is done in here is a stage; what fails does not count."""
        begun = self._clock.monotonic()
        yield
        self.took(operation, stage, self._clock.monotonic() - begun)

    def all(self) -> dict[tuple[str, str], Histogram]:
        """The histogram of each operation and stage, the same instant for all."""
        with self._lock:
            return {key: Histogram(list(row.counts), row.total) for key, row in self._found.items()}
