# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of a stretch of time, out of samples. Pure."""

from __future__ import annotations

from collections.abc import Sequence

Samples = Sequence[tuple[float, dict[str, int]]]


def share(samples: Samples, host: str, begin: float, end: float) -> float:
    """How many processors a host's CPUs kept busy between two times; raises ValueError where samples are missing."""
    inside = [(when, values[host]) for when, values in samples if begin <= when <= end]
    if len(inside) < 2:
        raise ValueError(f"{len(inside)} samples between {begin:.2f} and {end:.2f}")
    (first, start), (last, stop) = inside[0], inside[-1]
    return (stop - start) / 1e9 / (last - first)


def us_per_io(busy: float, idle: float, io_us: float) -> float:
    """Processor time for each access in us, given processors busy then and when idle, and the time of an access."""
    return (busy - idle) * io_us
