# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Histories of hosts that lend each other devices, each from a seed; see simulation/.

DEVICE_LENDING_HISTORIES in the environment says how many, MODEL_SEED which one alone, with all that the daemons log.
"""

from __future__ import annotations

import os

import pytest
from simulation.histories import History

HISTORIES = int(os.environ.get("DEVICE_LENDING_HISTORIES", "150"))
PARTS = 10
SEED = os.environ.get("MODEL_SEED")


@pytest.mark.skipif(SEED is not None, reason="another seed is asked for")
@pytest.mark.parametrize("part", range(PARTS))
def test_histories(part):
    for seed in range(part, HISTORIES, PARTS):
        History(seed).run()


@pytest.mark.skipif(SEED is None, reason="no seed is asked for")
def test_history():
    History(int(SEED or 0), verbose=True).run()
