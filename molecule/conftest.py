# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Hosts and leases of the lab for the tests of all scenarios."""

from __future__ import annotations

import os
from typing import Any

import fabric
import pytest
from testinfra.host import Host


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the long tier what is marked so."""
    if os.environ.get("DEVICE_LENDING_LONG"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="in the long tier"))


@pytest.fixture(scope="session")
def lease() -> dict[str, Any]:
    """The lease that the tests look at: the first of the inventory."""
    return fabric.leases()[0]


@pytest.fixture(scope="session")
def owner(lease: dict[str, Any]) -> Host:
    """The host that has the device."""
    return fabric.connect(lease["owner"])


@pytest.fixture(scope="session")
def borrower(lease: dict[str, Any]) -> Host:
    """The host that uses it."""
    return fabric.connect(lease["borrower"])


@pytest.fixture(scope="session")
def attached(borrower: Host, lease: dict[str, Any]) -> dict[str, Any]:
    """The attachment of the lease, which must be complete."""
    found = fabric.attachment(borrower, lease["name"])
    assert found is not None, f"{lease['borrower']} knows no attachment {lease['name']}"
    assert found["state"] == "attached", found
    return found
