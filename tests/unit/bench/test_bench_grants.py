# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark of grants measures, and what it says of its aim."""

from __future__ import annotations

import pytest

from bench import grants


def test_grants_and_commits_are_measured():
    found = grants.measure(rounds=1, seconds=0.01)
    assert [len(values) for values in found.values()] == [1, 1, 1]
    assert min(value for (value,) in found.values()) > 0


@pytest.mark.parametrize(("granted", "mark"), [([50, 60], "✓"), ([40, 60], "?"), ([4, 6], "✗")])
def test_the_aim_is_met_by_all_rounds_or_by_none(granted, mark):
    rows = grants.lines({"1 grant in a request": granted, grants.COMMITS: [100, 100]})
    assert rows[-1].startswith("1 grant in a request ÷ commits")
    assert rows[-1].endswith(f"≥ 0.5 {mark}")
