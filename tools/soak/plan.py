# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in which order: the rows of the table of failures, drawn from a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# How often a row is drawn, if not once: one that boots a host takes a minute of the emulated machines, others seconds.
OFTEN = 6
BOOTS = ("reset", "power", "panics", "reboots", "anew")


def weight(name: str) -> int:
    """How often a row is drawn, compared with others."""
    return 1 if any(word in name for word in BOOTS) else OFTEN


def rows(table: Sequence[Mapping[str, Any]], seed: int) -> Iterator[Mapping[str, Any]]:
    """Rows of the table without end: the same ones for the same seed and table."""
    chance = random.Random(seed)
    weights = [weight(row["name"]) for row in table]
    while True:
        yield chance.choices(table, weights)[0]
