# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the tests look at while devices are lent, and when they are back."""

from __future__ import annotations

from typing import Any

import fabric
import pytest


@pytest.fixture(scope="session", params=fabric.leases(), ids=lambda lease: lease["name"])
def lease(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each lease of the lab: its hosts have different kernels."""
    return request.param
