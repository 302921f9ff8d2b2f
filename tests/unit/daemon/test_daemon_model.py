# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Histories of hosts that lend each other devices, each from a seed; see simulation/.

DEVICE_LENDING_HISTORIES in the environment says how many, MODEL_SEED which one alone, with all that the daemons log.
"""

from __future__ import annotations

import os

import pytest
from simulation.histories import History

HISTORIES = int(os.environ.get("DEVICE_LENDING_HISTORIES", "100"))
PARTS = 10
SEED = os.environ.get("MODEL_SEED")


SEEDS = [range(part, HISTORIES, PARTS) for part in range(PARTS)] if SEED is None else [[int(SEED)]]


@pytest.mark.parametrize("seeds", SEEDS, ids=lambda seeds: f"from {seeds[0]}")
def test_histories(seeds):
    for seed in seeds:
        History(seed, verbose=SEED is not None).run()
