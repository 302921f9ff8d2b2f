# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How property tests draw their examples.

The same ones each time, so that a change is judged by what it changes; HYPOTHESIS_PROFILE=search looks for new ones. How
long an example takes says something about the machine, which may be busy, and nothing about the code.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("same", derandomize=True, database=None, **PATIENT)
settings.register_profile("search", max_examples=500, **PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_collection_modifyitems(items):
    """Leave to the long tier what is marked so."""
    if os.environ.get("DEVICE_LENDING_LONG"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="in the long tier"))
