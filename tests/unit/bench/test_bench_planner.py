# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of planning says of its aims."""

from __future__ import annotations

import pytest

from bench import planner
from bench.statistics import Spread


@pytest.mark.parametrize(
    ("low", "high", "mark"),
    [(0.2, 1.0, "≤ 1000 ms ✓"), (0.2, 1.1, "≤ 1000 ms ?"), (1.1, 1.3, "≤ 1000 ms ✗")],
)
def test_an_aim_is_met_by_all_rounds_or_by_none(low, high, mark):
    seconds = Spread((low + high) / 2, low, high, 7)
    assert planner.line("all hosts", seconds, seconds, planner.AIMS["all hosts"]).endswith(mark)


def test_what_has_no_aim_is_not_judged():
    seconds = Spread(0.1, 0.1, 0.1, 7)
    assert "≤" not in planner.line("round trip", seconds, seconds)
